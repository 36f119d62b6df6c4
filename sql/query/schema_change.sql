-- The captures that the DDL command which has just ended may concern: of the tables it names, of
-- the tables those are parts of, have as parts or refer to, and all of them where a schema got
-- another name. And whether the command was about the captured table, or a part of it.
WITH RECURSIVE command AS MATERIALIZED (
    SELECT * FROM pg_catalog.pg_event_trigger_ddl_commands()
), object AS (
    SELECT CASE c.classid
               WHEN 'pg_catalog.pg_class'::regclass THEN c.objid
               WHEN 'pg_catalog.pg_trigger'::regclass THEN (SELECT t.tgrelid FROM pg_catalog.pg_trigger t WHERE t.oid = c.objid)
           END AS relation
    FROM command c
), part AS (
    SELECT o.relation FROM object o WHERE o.relation IS NOT NULL
    UNION
    SELECT i.inhrelid FROM part p JOIN pg_catalog.pg_inherits i ON i.inhparent = p.relation
), altered AS (
    SELECT p.relation FROM part p
    UNION
    SELECT a.relid::oid FROM object o CROSS JOIN LATERAL pg_catalog.pg_partition_ancestors(o.relation::regclass) a
), touched AS (
    SELECT a.relation FROM altered a
    UNION
    SELECT i.inhparent FROM object o JOIN pg_catalog.pg_inherits i ON i.inhrelid = o.relation
    UNION
    SELECT k.confrelid FROM object o JOIN pg_catalog.pg_constraint k ON k.conrelid = o.relation AND k.contype = 'f'
)
SELECT c.capture_id, c.relation IN (SELECT a.relation FROM altered a)
FROM activity.captures c
WHERE activity._is_home()
  AND (c.relation IN (SELECT t.relation FROM touched t)
       OR EXISTS (SELECT FROM command WHERE classid = 'pg_catalog.pg_namespace'::regclass AND command_tag = 'ALTER SCHEMA'))
