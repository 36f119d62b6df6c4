-- The next statements that bring the triggers of capture $1 (text), of the table $2, to level $3,
-- with replicated changes if $4: run them and ask again, until there are none.
WITH wanted AS (
    SELECT * FROM activity._wanted_triggers($2, $3, $4)
), actual AS (
    SELECT t.tgrelid AS relation, t.tgname::text AS name, t.tgenabled::text AS enabled, t.tgparentid <> 0 AS is_clone,
           s.kind, s.capture_id
    FROM pg_catalog.pg_trigger t
    LEFT JOIN activity._capture_triggers() s ON s.relation = t.tgrelid AND s.name = t.tgname
    WHERE t.tgrelid IN (SELECT relation FROM wanted)
), stray AS (
    -- What is left on a partition that was detached, and what was renamed. A row trigger on another
    -- table is somebody's own.
    SELECT s.relation, s.name FROM activity._capture_triggers() s
    WHERE s.capture_id = $1 AND NOT s.is_clone
      AND CASE WHEN s.relation IN (SELECT relation FROM wanted)
               THEN s.kind IS NULL AND s.name NOT IN (SELECT w.name FROM wanted w WHERE w.relation = s.relation)
               ELSE s.kind <> 'row' END
), joined AS (
    SELECT w.*, a.name IS NOT NULL AS is_there, a.enabled AS actual_enabled, a.is_clone,
           a.kind IS NOT DISTINCT FROM w.kind AND a.capture_id IS NOT DISTINCT FROM $1 AS is_ours
    FROM wanted w LEFT JOIN actual a USING (relation, name)
)
SELECT CASE
    WHEN is_there AND NOT is_ours THEN
        pg_catalog.format('DROP TRIGGER %I ON %s', name, relation::regclass)
    WHEN NOT is_there THEN
        pg_catalog.format('CREATE TRIGGER %I %s EXECUTE FUNCTION activity._capture_%s(%L)', name,
            CASE kind
                WHEN 'row' THEN pg_catalog.format('AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW', relation::regclass)
                WHEN 'insert' THEN pg_catalog.format('AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT', relation::regclass)
                WHEN 'update' THEN pg_catalog.format('AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT', relation::regclass)
                WHEN 'delete' THEN pg_catalog.format('AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT', relation::regclass)
                ELSE pg_catalog.format('BEFORE TRUNCATE ON %s FOR EACH STATEMENT', relation::regclass)
            END,
            CASE kind WHEN 'row' THEN 'row' WHEN 'truncate' THEN 'truncate' ELSE 'statement' END, $1)
    ELSE
        pg_catalog.format('ALTER TABLE %s %s TRIGGER %I', relation::regclass,
            CASE enabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'O' THEN 'ENABLE' ELSE 'DISABLE' END, name)
END
FROM joined
WHERE CASE
    WHEN is_there THEN NOT (is_ours AND actual_enabled = enabled)
    -- The clones of a row trigger come with the one on the root.
    ELSE enabled <> 'D' AND (is_root OR kind = 'truncate')
END
UNION ALL
SELECT pg_catalog.format('DROP TRIGGER %I ON %s', name, relation::regclass) FROM stray
