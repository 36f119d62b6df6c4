-- Set-up: what the extension needs before it records, and what setup() makes. Runs before every
-- other session, which find the database as this one leaves it.
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- Installing brings code and roles, but no table that holds events.
CREATE EXTENSION activity_log;
SELECT to_regclass('activity.events') IS NULL AS no_events_yet;
SELECT rolname, rolcanlogin, rolsuper, rolcreaterole, rolbypassrls
FROM pg_roles WHERE rolname LIKE 'activity\_%' ORDER BY rolname;

-- Before setup() nothing can be recorded or read, and the error says what to do.
SELECT activity.record('auth.login', tenant_id => '5e700000-0000-4000-8000-000000000001');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(tenant_id => '5e700000-0000-4000-8000-000000000001');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.register_action('auth.login');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.migrate();
\echo :LAST_ERROR_SQLSTATE
SELECT area, item, value, ok, advice FROM activity.status() WHERE area = 'log';

-- Bad options are refused and leave nothing behind.
SELECT activity.setup(partition_interval => '90 minutes');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.setup(partition_interval => '-1 month');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.setup(premake => 0);
\echo :LAST_ERROR_SQLSTATE
SELECT to_regclass('activity.events') IS NULL AS no_events_yet;

-- Rolled back, it was never there.
BEGIN;
SELECT activity.setup() IS NOT NULL AS set_up;
ROLLBACK;
SELECT to_regclass('activity.events') IS NULL AS no_events_yet;
SELECT activity.record('auth.login', tenant_id => '5e700000-0000-4000-8000-000000000001');
\echo :LAST_ERROR_SQLSTATE

-- The real one. NULL means not given: one month, twelve months ahead.
SELECT activity.setup(partition_interval => NULL, premake => NULL);
SELECT partition_interval, premake, schema_version FROM activity.log;

-- Run again it finds everything done; a new number of periods makes what is missing.
SELECT activity.setup();
SELECT activity.setup(premake => 13);
SELECT activity.setup();
SELECT activity.migrate();

-- What it has made. Only the key table belongs to the extension.
SELECT c.relname, c.relkind,
       EXISTS (SELECT FROM pg_depend d
               WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AS is_member
FROM pg_class c
WHERE c.relnamespace = 'activity'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S') AND NOT c.relispartition
ORDER BY c.relname;
SELECT indexrelid::regclass AS index, indisunique FROM pg_index
WHERE indrelid = 'activity.events'::regclass ORDER BY indexrelid::regclass::text;

-- Partitions: the month before now, this one, and thirteen ahead, without gap or overlap.
SELECT count(*) AS partitions,
       count(*) FILTER (WHERE c.relname ~ '^events_p\d{4}_\d\d$') AS named_by_month,
       count(*) FILTER (WHERE c.relrowsecurity) AS with_row_security,
       count(*) FILTER (WHERE EXISTS (
           SELECT FROM pg_trigger t
           WHERE t.tgrelid = c.oid AND t.tgname = 'append_only' AND t.tgenabled = 'A')) AS guarded
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'activity.events'::regclass;
WITH bounds AS (
    SELECT (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1]::timestamptz AS lower,
           (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz AS upper
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'activity.events'::regclass
), ordered AS (
    SELECT lower, upper, lead(lower) OVER (ORDER BY lower) AS next FROM bounds
)
SELECT bool_and(upper = next) FILTER (WHERE next IS NOT NULL) AS seamless,
       min(lower) = date_trunc('month', now(), 'UTC') - interval '1 month' AS holds_last_month,
       max(upper) > now() + interval '12 months' AS holds_a_year
FROM ordered;

-- The log's first event is about itself, under the system tenant.
SELECT action, tenant_id, status, source, db_role, metadata - 'partitions' AS metadata
FROM activity.events ORDER BY event_id LIMIT 1;

-- status() says how it stands.
SELECT area, item,
       CASE WHEN item IN ('version', 'set up', 'made until') THEN '...' ELSE value END AS value,
       ok, advice
FROM activity.status() WHERE area <> 'worker';
