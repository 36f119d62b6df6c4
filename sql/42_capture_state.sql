-- What the triggers of captured tables are, and what they should be. Read by attach(), setup(),
-- coverage(), status() and after DDL. The planner can't know how little these functions return, and
-- without the setting it would compile for seconds what runs for milliseconds.

-- The triggers of capture on one table, each by what its function, its type and its name make of it;
-- kind is NULL for one that is not as attach() makes it.
CREATE FUNCTION activity._capture_triggers_of(p_relation oid)
RETURNS TABLE (relation oid, name text, kind text, capture_id text, enabled text, is_clone boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    SELECT t.tgrelid, t.tgname::text,
           -- One that can be deferred would log a change after its effects.
           CASE WHEN t.tgqual IS NULL AND t.tgattr::text = '' AND t.tgconstraint = 0 AND t.tgname = '!activity_capture_' || k.kind
                THEN k.kind END,
           convert_from(substring(t.tgargs FROM 1 FOR 36), 'UTF8'), t.tgenabled::text, t.tgparentid <> 0
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    LEFT JOIN (VALUES ('_capture_row', 29, 'row'),
                      ('_capture_statement', 4, 'insert'),
                      ('_capture_statement', 16, 'update'),
                      ('_capture_statement', 8, 'delete'),
                      ('_capture_truncate', 34, 'truncate')) k (function, type, kind)
           ON k.function = p.proname AND k.type = t.tgtype
    WHERE t.tgrelid = p_relation
      AND p.pronamespace = 'activity'::regnamespace
      AND p.proname IN ('_capture_row', '_capture_statement', '_capture_truncate')
$$;

-- The same for all tables.
CREATE FUNCTION activity._capture_triggers()
RETURNS TABLE (relation oid, name text, kind text, capture_id text, enabled text, is_clone boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    SELECT o.*
    FROM (SELECT DISTINCT t.tgrelid
          FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
          WHERE p.pronamespace = 'activity'::regnamespace
            AND p.proname IN ('_capture_row', '_capture_statement', '_capture_truncate')) r
    CROSS JOIN LATERAL activity._capture_triggers_of(r.tgrelid) o
$$;

-- The table of each capture: at home the one with the remembered OID; without it the one with its
-- triggers, or else with the remembered name. NULL if there is none.
CREATE FUNCTION activity._captured_tables()
RETURNS TABLE (capture_id uuid, relation oid)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    SELECT c.capture_id, coalesce(
        (SELECT k.oid FROM pg_class k
         WHERE k.oid = c.relation AND k.relkind IN ('r', 'p') AND activity._is_home()),
        -- A copy of the table with its triggers is another table.
        (SELECT t.relation
         FROM activity._capture_triggers() t
         JOIN pg_class k ON k.oid = t.relation JOIN pg_namespace n ON n.oid = k.relnamespace
         WHERE t.capture_id = c.capture_id::text AND NOT t.is_clone
           -- Everybody may make a row trigger, and only the log one for TRUNCATE.
           AND (t.kind IN ('insert', 'update', 'delete')
                OR t.kind = 'row' AND EXISTS (
                    SELECT FROM activity._capture_triggers() s
                    WHERE s.relation = t.relation AND s.capture_id = t.capture_id AND s.kind = 'truncate'))
         ORDER BY (n.nspname = c.schema_name AND k.relname = c.table_name) DESC, t.relation
         LIMIT 1),
        (SELECT k.oid FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace
         WHERE n.nspname = c.schema_name AND k.relname = c.table_name AND k.relkind IN ('r', 'p')))
    FROM activity.captures c
$$;

-- Why a table has to be captured row by row; NULL if statements will do. Statement triggers fire
-- after all row triggers of the statement, so what one of those changes would be logged before its
-- cause. Checks of foreign keys change nothing; their actions do.
CREATE FUNCTION activity._row_level_reason(p_relation oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    SELECT CASE
        WHEN c.relkind = 'p' THEN 'it is partitioned'
        WHEN c.relispartition THEN 'it is a partition'
        WHEN EXISTS (SELECT FROM pg_inherits i WHERE p_relation IN (i.inhrelid, i.inhparent)) THEN 'it takes part in inheritance'
        ELSE (
            SELECT CASE WHEN t.tgisinternal THEN 'a foreign key changes other rows' ELSE 'it has another AFTER ROW trigger' END
            FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
            WHERE t.tgrelid = p_relation
              -- ROW, neither BEFORE nor INSTEAD OF
              AND t.tgtype & 67 = 1
              AND t.tgenabled <> 'D'
              AND NOT (p.pronamespace = 'activity'::regnamespace AND p.proname = '_capture_row')
              AND (NOT t.tgisinternal
                   OR (p.pronamespace = 'pg_catalog'::regnamespace
                       AND p.proname IN ('RI_FKey_cascade_del', 'RI_FKey_cascade_upd', 'RI_FKey_setnull_del',
                                         'RI_FKey_setnull_upd', 'RI_FKey_setdefault_del', 'RI_FKey_setdefault_upd')))
            ORDER BY t.tgisinternal, t.tgname
            LIMIT 1)
        END
    FROM pg_class c WHERE c.oid = p_relation
$$;

-- The trigger that fires before capture for the same row, which only a name that begins with a blank
-- or a control character does; NULL if there is none.
CREATE FUNCTION activity._earlier_trigger(p_relation oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    SELECT min(t.tgname)::text
    FROM pg_trigger t
    WHERE (t.tgrelid = p_relation OR t.tgrelid IN (SELECT p.relid FROM pg_partition_tree(p_relation::regclass) p))
      -- ROW, neither BEFORE nor INSTEAD OF
      AND t.tgtype & 67 = 1
      AND t.tgenabled <> 'D' AND NOT t.tgisinternal
      AND t.tgname < '!activity_capture_row'
$$;

-- The triggers that a captured table has at a level: on the table itself and on its partitions.
-- Where enabled is D, it does no harm if there is none.
CREATE FUNCTION activity._wanted_triggers(p_relation oid, p_level text, p_replicated boolean)
RETURNS TABLE (relation oid, is_root boolean, kind text, name text, enabled text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    WITH member AS (
        SELECT p_relation AS relation, true AS is_root
        UNION ALL
        SELECT p.relid::oid, false
        FROM pg_partition_tree(p_relation::regclass) p JOIN pg_class c ON c.oid = p.relid
        WHERE p.relid <> p_relation AND c.relkind IN ('r', 'p')
    ), everywhere AS (
        SELECT CASE WHEN p_replicated THEN 'A' ELSE 'O' END AS enabled
    )
    SELECT m.relation, m.is_root, k.kind, '!activity_capture_' || k.kind,
           CASE
               WHEN k.kind = 'truncate' THEN e.enabled
               WHEN k.kind = 'row' THEN
                   CASE WHEN p_level = 'row' THEN e.enabled WHEN p_replicated THEN 'R' ELSE 'D' END
               WHEN p_level = 'row' THEN 'D'
               ELSE 'O'
           END
    FROM member m CROSS JOIN everywhere e
    CROSS JOIN (VALUES ('row'), ('insert'), ('update'), ('delete'), ('truncate')) k (kind)
    WHERE m.is_root OR k.kind IN ('row', 'truncate')
$$;

-- The level that a captured table should be at. What was asked for as 'statement' goes row by row
-- as well once that is needed: the order of the log comes first.
CREATE FUNCTION activity._wanted_level(p_level text, p_relation oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    SELECT CASE WHEN p_level <> 'row' AND activity._row_level_reason(p_relation) IS NULL THEN 'statement'
                ELSE 'row' END
$$;

-- The level at which the triggers on the table itself are complete; NULL if they are at none.
CREATE FUNCTION activity._level_in_effect(p_capture_id uuid, p_relation oid, p_replicated boolean) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    SELECT l.level
    FROM (VALUES ('statement'), ('row')) l (level)
    WHERE (SELECT bool_and(coalesce(a.enabled, 'D') = w.enabled)
           FROM activity._wanted_triggers(p_relation, l.level, p_replicated) w
           LEFT JOIN activity._capture_triggers_of(p_relation) a
             ON a.capture_id = p_capture_id::text AND a.kind = w.kind
           WHERE w.is_root AND w.kind <> 'truncate')
$$;

-- Every trigger that is wanted, beside what there is: is_sound is false where they differ. One
-- capture, or all. A table that is complete at level row may stay there.
CREATE FUNCTION activity._capture_soundness(p_capture_id uuid)
RETURNS TABLE (capture_id uuid, relation oid, level text, kind text, is_wanted boolean, is_there boolean, is_sound boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    WITH actual AS MATERIALIZED (
        SELECT * FROM activity._capture_triggers()
    ), captured AS MATERIALIZED (
        SELECT c.capture_id, t.relation, c.replicated,
               CASE WHEN activity._level_in_effect(c.capture_id, t.relation, c.replicated) = 'row'
                    THEN 'row' ELSE activity._wanted_level(c.level, t.relation) END AS level
        FROM activity.captures c JOIN activity._captured_tables() t USING (capture_id)
        WHERE t.relation IS NOT NULL AND (p_capture_id IS NULL OR c.capture_id = p_capture_id)
    )
    SELECT c.capture_id, w.relation, c.level, w.kind, w.enabled <> 'D', a.enabled IS NOT NULL,
           coalesce(a.enabled, 'D') = w.enabled
    FROM captured c
    CROSS JOIN LATERAL activity._wanted_triggers(c.relation, c.level, c.replicated) w
    LEFT JOIN actual a ON a.relation = w.relation AND a.capture_id = c.capture_id::text AND a.kind = w.kind
$$;

-- How many triggers of captured tables, and event triggers that watch over them, are not as
-- setup() makes them; 0 before setup().
CREATE FUNCTION activity._capture_gaps() RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
    IF to_regclass('activity.captures') IS NULL THEN
        RETURN 0;
    END IF;
    RETURN (SELECT count(*) FROM activity._capture_soundness(NULL) s WHERE NOT s.is_sound)
         + activity._missing_event_triggers();
END
$$;

CREATE FUNCTION activity._missing_event_triggers() RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    SELECT count(*)
    FROM (VALUES ('activity_schema_changed', '_on_schema_change'), ('activity_dropped', '_on_drop')) w (name, function)
    WHERE NOT EXISTS (
        SELECT FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid
        WHERE e.evtname = w.name AND e.evtenabled = 'A'
          AND p.pronamespace = 'activity'::regnamespace AND p.proname = w.function)
$$;

-- Fired after DDL, by event triggers that setup() makes. They are C functions and resolve no name.
CREATE FUNCTION activity._on_schema_change() RETURNS event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'activity_on_schema_change';
COMMENT ON FUNCTION activity._on_schema_change() IS 'Follows captured tables through DDL.';
CREATE FUNCTION activity._on_drop() RETURNS event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'activity_on_drop';
COMMENT ON FUNCTION activity._on_drop() IS 'Notices when captured tables, or the triggers on them, are dropped.';
