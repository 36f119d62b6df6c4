-- Access: four roles, the pins of a role to its tenants, row security, append only.
\set SHOW_CONTEXT never
\set acme 'acce5500-0000-4000-8000-000000000001'
\set globex 'acce5500-0000-4000-8000-000000000002'
\set system '00000000-0000-0000-0000-000000000000'
CREATE ROLE regress_writer IN ROLE activity_writer;
CREATE ROLE regress_reader IN ROLE activity_reader;
CREATE ROLE regress_auditor IN ROLE activity_auditor;
CREATE ROLE regress_admin IN ROLE activity_admin;
CREATE ROLE regress_stranger;
CREATE ROLE regress_pinned IN ROLE activity_reader, activity_writer;
INSERT INTO activity.role_tenants (role_name, tenant_id) VALUES ('regress_pinned', :'globex');
SELECT activity.register_action('access.tried');
SELECT activity.record('access.tried', tenant_id => :'acme', object_id => 'a') AS acme_event \gset
SELECT activity.record('access.tried', tenant_id => :'globex', object_id => 'g') AS globex_event \gset
SELECT activity.record('access.tried', tenant_id => :'system', object_id => 's') AS system_event \gset

-- A stranger may not even look into the schema.
SET ROLE regress_stranger;
SELECT activity.record('access.tried', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM activity.events;
\echo :LAST_ERROR_SQLSTATE

-- A writer records, and reads nothing.
SET ROLE regress_writer;
SELECT activity.record('access.tried', tenant_id => :'acme', object_id => 'by writer') IS NOT NULL AS recorded;
SELECT * FROM activity.list(tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.get(:'acme_event');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM activity.events;
\echo :LAST_ERROR_SQLSTATE
INSERT INTO activity.events SELECT * FROM activity.events;
\echo :LAST_ERROR_SQLSTATE
SELECT activity.register_action('access.more');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.setup();
\echo :LAST_ERROR_SQLSTATE

-- The system tenant and the namespace activity are not for writers.
SELECT activity.record('access.tried', tenant_id => :'system');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('activity.log.set_up', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE

-- A reader reads the tenant of the argument or of the context, and records nothing.
SET ROLE regress_reader;
SELECT object_id, db_role = session_user || '/regress_writer' AS by_writer FROM activity.list(tenant_id => :'acme') ORDER BY object_id;
SELECT activity.record('access.tried', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(tenant_id => :'system');
\echo :LAST_ERROR_SQLSTATE

-- Inside a context a reader stays inside it.
BEGIN;
SELECT activity.set_context(tenant_id => :'acme') IS NOT NULL AS context;
SELECT object_id FROM activity.get(:'acme_event');
SELECT object_id FROM activity.get(:'globex_event');
SELECT object_id FROM activity.list() ORDER BY object_id;
SELECT object_id FROM activity.list(tenant_id => :'globex');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- get() needs to know the tenant.
SELECT * FROM activity.get(:'acme_event');
\echo :LAST_ERROR_SQLSTATE

-- Direct reads go through row security: the context's tenant, nothing without one, never the
-- system tenant. Partitions are closed.
SELECT count(*) FROM activity.events;
BEGIN;
SET LOCAL activity.tenant_id = 'acce5500-0000-4000-8000-000000000001';
SELECT object_id FROM activity.events ORDER BY object_id;
SET LOCAL activity.tenant_id = '00000000-0000-0000-0000-000000000000';
SELECT count(*) FROM activity.events;
ROLLBACK;
RESET ROLE;
SELECT tableoid::regclass AS partition FROM activity.events WHERE event_id = :'acme_event' \gset
SET ROLE regress_reader;
SELECT set_config('activity.tenant_id', :'acme', false) IS NOT NULL AS context;
\set VERBOSITY sqlstate
SELECT count(*) FROM :partition;
\set VERBOSITY default
RESET activity.tenant_id;
SELECT count(*) FROM activity.idempotency_keys;
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) > 0 AS registry_is_open FROM activity.actions;

-- A pin binds also where only the rights of the role are used: in its functions, and in what the
-- server runs as the owner of a table.
RESET ROLE;
CREATE FUNCTION pinned_reads(tenant uuid) RETURNS bigint LANGUAGE sql SECURITY DEFINER
    AS 'SELECT count(*) FROM activity.list(tenant_id => tenant)';
ALTER FUNCTION pinned_reads OWNER TO regress_pinned;
SELECT pinned_reads(:'globex') > 0 AS own_tenant;
SELECT pinned_reads(:'acme');
\echo :LAST_ERROR_SQLSTATE
DROP FUNCTION pinned_reads;
SET ROLE regress_pinned;

-- A pinned role reaches its own tenant and no other, whatever the context says.
SET ROLE regress_pinned;
SELECT object_id FROM activity.list(tenant_id => :'globex');
SELECT activity.record('access.tried', tenant_id => :'globex', object_id => 'pinned') IS NOT NULL AS recorded;
SELECT * FROM activity.list(tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('access.tried', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT activity.set_context(tenant_id => :'acme') IS NOT NULL AS context;
SELECT count(*) FROM activity.events;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT activity.set_context(tenant_id => :'globex') IS NOT NULL AS context;
SELECT object_id FROM activity.events ORDER BY object_id;
SELECT activity.record_many('[{"action": "access.tried", "tenant_id": "acce5500-0000-4000-8000-000000000001"}]');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
INSERT INTO activity.role_tenants VALUES ('regress_pinned', :'acme');
\echo :LAST_ERROR_SQLSTATE

-- A pin that is taken away counts from the next statement on.
RESET ROLE;
UPDATE activity.role_tenants SET tenant_id = :'acme' WHERE role_name = 'regress_pinned';
SET ROLE regress_pinned;
SELECT count(*) > 0 AS reads_acme FROM activity.list(tenant_id => :'acme');
SELECT * FROM activity.list(tenant_id => :'globex');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- activity.require_pin = on: a role without pins reaches no tenant.
SET activity.require_pin = on;
SET ROLE regress_reader;
SELECT * FROM activity.list(tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_writer;
SELECT activity.record('access.tried', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_auditor;
SELECT count(*) > 0 AS auditor_reads FROM activity.list(tenant_id => :'acme');
RESET ROLE;
RESET activity.require_pin;

-- An auditor reads every tenant, the system's too, but through functions only.
SET ROLE regress_auditor;
SELECT object_id FROM activity.get(:'acme_event') UNION ALL SELECT object_id FROM activity.get(:'system_event');
SELECT count(*) > 0 AS reads_system FROM activity.list(tenant_id => :'system');
SELECT count(*) FROM activity.events;
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) > 0 AS reads_status FROM activity.status();
SELECT activity.record('access.tried', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE

-- An admin keeps registry and pins and writes for the system; it can't read a partition either.
SET ROLE regress_admin;
SELECT activity.register_action('access.more');
SELECT activity.setup() IS NOT NULL AS set_up;
SELECT activity.record('activity.note', tenant_id => :'system') IS NOT NULL AS recorded;
SELECT role_name FROM activity.role_tenants WHERE role_name LIKE 'regress%';
\set VERBOSITY sqlstate
SELECT count(*) FROM :partition;
\set VERBOSITY default
UPDATE activity.actions SET version = 7;
\echo :LAST_ERROR_SQLSTATE

-- What a policy can't let through, a setting can't either.
SET ROLE regress_reader;
SET activity.require_pin = off;
\echo :LAST_ERROR_SQLSTATE
SET activity.registry = off;
\echo :LAST_ERROR_SQLSTATE
SET row_security = off;
SELECT count(*) FROM activity.events;
\echo :LAST_ERROR_SQLSTATE
RESET row_security;
RESET ROLE;

-- Append only, for the owner too, on the parent and on a partition, also for replicas.
UPDATE activity.events SET object_id = 'b' WHERE event_id = :'acme_event';
\echo :LAST_ERROR_SQLSTATE
DELETE FROM activity.events WHERE false;
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY sqlstate
UPDATE :partition SET object_id = 'b';
DELETE FROM :partition;
TRUNCATE :partition;
SET session_replication_role = replica;
TRUNCATE :partition;
TRUNCATE activity.events CASCADE;
RESET session_replication_role;
\set VERBOSITY default
SELECT object_id FROM activity.get(:'acme_event');

-- Tenants whose ids are no UUIDs.
INSERT INTO activity.tenants (tenant_id, external_id, name) VALUES (:'acme', 'org_42', 'Acme');
SELECT activity.tenant('org_42');
SELECT activity.tenant('org_43');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.tenant(NULL);
\echo :LAST_ERROR_SQLSTATE
DELETE FROM activity.tenants WHERE external_id = 'org_42';

DELETE FROM activity.role_tenants WHERE role_name = 'regress_pinned';
DROP ROLE regress_writer, regress_reader, regress_auditor, regress_admin, regress_stranger, regress_pinned;
