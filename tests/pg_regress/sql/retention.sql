-- Retention: policies, holds and a run of the maintenance, on a log with an old month.
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';

-- A month of long ago, as years of service would have left it.
CREATE TABLE activity.events_p2020_01 (LIKE activity.events INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE activity.events ATTACH PARTITION activity.events_p2020_01 FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
SELECT activity.setup();
INSERT INTO activity.events (recorded_at, occurred_at, xact, gen, event_id, tenant_id, action, status, source, actor_id, metadata)
SELECT '2020-01-01'::timestamptz + i * interval '1 hour', '2020-01-01'::timestamptz + i * interval '1 hour', '1', 1, gen_random_uuid(),
       ('7e7e0000-0000-4000-8000-00000000000' || i % 2)::uuid, CASE WHEN i % 4 < 2 THEN 'auth.login' ELSE 'doc.read' END, 'success', 'api', 'u' || i % 5, '{}'
FROM generate_series(1, 400) i;

-- Without a policy nothing goes.
CALL activity.maintain() \gset run_
SELECT :'run_summary'::jsonb -> 'ok' AS ok, :'run_summary'::jsonb -> 'drop' AS drops;
SELECT partition, lower_bound, upper_bound, state, rows, oldest, newest FROM activity.partitions ORDER BY lower_bound LIMIT 1;

-- A first policy that removes something wants a confirmation, and says what it would remove.
SELECT activity.set_retention('1 year');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.set_retention('10 years');
SELECT activity.set_retention('1 year', tenant_id => '7e7e0000-0000-4000-8000-000000000001');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.set_retention('1 year', tenant_id => '7e7e0000-0000-4000-8000-000000000001', confirm => true);
SELECT activity.set_retention(action => 'auth.*', preset => 'forever');
SELECT tenant_id, category, action, preset, keep, online FROM activity.retention_policies ORDER BY created_at;
SELECT partition, decision, removes, held, keeps FROM activity.retention_preview() WHERE upper_bound < '2021-01-01';

-- What makes no sense is refused.
SELECT activity.set_retention();
SELECT activity.set_retention('-1 day');
SELECT activity.set_retention('1 year', preset => 'soc2');
SELECT activity.set_retention('1 year', category => 'security', action => 'auth.login');
SELECT activity.set_retention('1 year', online => '1 month');

-- What is held stays, whatever the policies say.
SELECT activity.hold('7e7e0000-0000-4000-8000-000000000001', 'case 4711', actor_id => 'u3') AS hold \gset
SELECT activity.hold('7e7e0000-0000-4000-8000-000000000001');
SELECT activity.hold(reason => 'no aim');
CALL activity.maintain() \gset run_
SELECT :'run_summary'::jsonb -> 'ok' AS ok;
SELECT tenant_id, action, count(*), count(*) FILTER (WHERE actor_id = 'u3') AS of_u3
FROM activity.events WHERE recorded_at < '2020-02-01' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT item, value, ok FROM activity.status() WHERE area = 'retention' AND item LIKE '%hold%';

SELECT activity.release_hold(:'hold', 'settled');
SELECT activity.release_hold(:'hold', 'settled');
CALL activity.maintain() \gset run_
SELECT tenant_id, action, count(*) FROM activity.events WHERE recorded_at < '2020-02-01' GROUP BY 1, 2 ORDER BY 1, 2;

-- Nobody keeps anything: the month goes as a whole, and the log says so.
SELECT activity.set_retention(action => 'auth.*', preset => 'none', confirm => true);
SELECT activity.set_retention(preset => 'soc2', confirm => true) -> 'removes' AS removes;
CALL activity.maintain() \gset run_
SELECT count(*) FROM activity.partitions WHERE lower_bound < '2021-01-01';
SELECT partition, state, dropped_at IS NOT NULL AS is_dropped FROM activity.partition_ranges WHERE lower_bound < '2021-01-01';
SELECT action, count(*) FROM activity.list(tenant_id => '00000000-0000-0000-0000-000000000000', action => 'activity.*', page_size => 1000)
WHERE action ~ 'hold|retention|partition' GROUP BY 1 ORDER BY 1;

-- It commits, so it can't be part of a transaction.
BEGIN;
CALL activity.maintain();
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
