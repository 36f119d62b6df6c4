-- Every table of users and every capture: schema, table, object type, whether changes are captured
-- at this moment, the level, the state, and advice.
WITH soundness AS MATERIALIZED (
    SELECT * FROM activity._capture_soundness(NULL)
), captured AS (
    SELECT c.*, t.relation AS found,
           c.paused_at IS NOT NULL AND (c.paused_until IS NULL OR c.paused_until > clock_timestamp()) AS is_paused,
           activity._row_level_reason(t.relation) AS reason,
           activity._earlier_trigger(t.relation) AS earlier_trigger,
           activity._level_in_effect(c.capture_id, t.relation, c.replicated) AS level_in_effect,
           (SELECT min(s.level) FROM soundness s WHERE s.capture_id = c.capture_id) AS wanted_level,
           (SELECT count(*) FROM soundness s WHERE s.capture_id = c.capture_id AND s.is_wanted AND s.is_sound) AS sound,
           (SELECT count(*) FROM soundness s WHERE s.capture_id = c.capture_id AND NOT s.is_sound) AS unsound,
           (SELECT count(*) FROM activity.capture_rules r WHERE r.capture_id = c.capture_id AND r.problem IS NOT NULL) AS bad_rules,
           (SELECT min(h.inhrelid::regclass::text)
            FROM pg_inherits h JOIN pg_class k ON k.oid = h.inhrelid
            WHERE h.inhparent = t.relation AND NOT k.relispartition
              AND h.inhrelid NOT IN (SELECT o.relation FROM activity._captured_tables() o WHERE o.relation IS NOT NULL)) AS uncaptured_child
    FROM activity.captures c JOIN activity._captured_tables() t USING (capture_id)
), tables AS (
    SELECT k.oid, n.nspname::text AS schema_name, k.relname::text AS table_name, k.relispartition,
           k.oid IN (SELECT g.relation FROM activity._capture_triggers() g WHERE NOT g.is_clone) AS has_orphans,
           EXISTS (SELECT FROM pg_index i WHERE i.indrelid = k.oid AND i.indisvalid AND (i.indisprimary OR i.indisreplident)) AS has_key,
           EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = k.oid AND d.deptype = 'e') AS is_member
    FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace
    WHERE k.relkind IN ('r', 'p') AND k.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'activity')
), states AS (
    SELECT coalesce(t.schema_name, c.schema_name) AS schema_name, coalesce(t.table_name, c.table_name) AS table_name,
           c.capture_id, c.object_type, c.wanted_level, c.level_in_effect, c.bad_rules, t.has_key, c.is_paused, c.paused_until, c.reason, c.earlier_trigger, c.uncaptured_child,
           CASE
               WHEN c.capture_id IS NULL AND t.has_orphans THEN 'orphan trigger'
               WHEN c.capture_id IS NULL THEN 'not captured'
               WHEN c.found IS NULL THEN 'table is gone'
               WHEN c.level_in_effect = 'statement' AND c.wanted_level = 'row' THEN 'unsafe level'
               WHEN c.sound = 0 THEN 'disabled'
               WHEN c.unsound > 0 THEN 'partly disabled'
               WHEN c.is_paused THEN 'paused'
               WHEN c.earlier_trigger IS NOT NULL THEN 'unsafe order'
               ELSE 'active'
           END AS state
    FROM tables t FULL JOIN captured c ON c.found = t.oid
    WHERE c.capture_id IS NOT NULL
       OR NOT t.is_member
          -- Partitions are captured with their parent, or through it.
          AND NOT t.relispartition
)
SELECT schema_name, table_name, object_type, state IN ('active', 'unsafe level', 'unsafe order') AND is_paused IS NOT TRUE,
       coalesce(level_in_effect, wanted_level),
       state || CASE WHEN state = 'paused' AND paused_until IS NOT NULL
                     THEN ' until ' || to_char(paused_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') ELSE '' END,
       CASE state
           WHEN 'not captured' THEN format('SELECT activity.attach(%L);', format('%I.%I', schema_name, table_name))
           WHEN 'orphan trigger' THEN 'A trigger on it names a capture that is not its own, and writes no event: DROP TRIGGER ends it.'
           WHEN 'table is gone' THEN 'SELECT activity.setup(); forgets the capture, unless the table comes back before.'
           WHEN 'disabled' THEN 'Its triggers are missing or disabled: SELECT activity.setup(); puts them back. Find out who took them away.'
           WHEN 'partly disabled' THEN 'Some of its triggers are missing or not as they should be: SELECT activity.setup(); puts them right. Find out who changed them.'
           WHEN 'paused' THEN format('SELECT activity.resume(%L);', format('%I.%I', schema_name, table_name))
           WHEN 'unsafe order' THEN format('Trigger %I fires before capture, so that what it changes is logged before its cause: ALTER TRIGGER %1$I ON %I.%I RENAME TO a name that sorts behind "!activity".', earlier_trigger, schema_name, table_name)
           WHEN 'unsafe level' THEN format('Changes may be logged before their cause, since %s: SELECT activity.setup(); brings it to level row.', coalesce(reason, 'it was attached so'))
           ELSE CASE
               WHEN bad_rules > 0 THEN 'A rule no longer fits the table: SELECT * FROM activity.capture_rules WHERE problem IS NOT NULL;'
               WHEN uncaptured_child IS NOT NULL THEN format('What a statement changes in its child %s is not captured: SELECT activity.attach(%L);', uncaptured_child, uncaptured_child)
               WHEN NOT has_key THEN 'It has no primary key: its events name no object, and row_as_of() can''t tell its rows apart.'
           END
       END
FROM states
ORDER BY 1, 2
