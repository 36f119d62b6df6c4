-- The captures that what has just been dropped may concern, and whether their table itself is gone.
WITH object AS MATERIALIZED (
    SELECT * FROM pg_catalog.pg_event_trigger_dropped_objects()
), touched AS (
    -- Columns, and tables themselves.
    SELECT o.objid AS relation FROM object o WHERE o.classid = 'pg_catalog.pg_class'::regclass
    UNION
    -- What the dropped triggers were on.
    SELECT k.oid
    FROM object o
    JOIN pg_catalog.pg_namespace n ON n.nspname = o.address_names[1]
    JOIN pg_catalog.pg_class k ON k.relnamespace = n.oid AND k.relname = o.address_names[2]
    WHERE o.object_type = 'trigger'
)
SELECT c.capture_id,
       EXISTS (SELECT FROM object o
               WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.objsubid = 0 AND o.objid = c.relation)
FROM activity.captures c
WHERE activity._is_home()
  AND EXISTS (SELECT FROM touched t
              WHERE t.relation = c.relation
                 -- Of a partition that is gone nothing else tells whose it was.
                 OR c.partitions ? t.relation::text
                 OR c.relation IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(t.relation::regclass) a))
