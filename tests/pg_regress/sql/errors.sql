-- Errors: one case for each that a client can get, with SQLSTATE, message, detail and hint.
-- None repeats metadata, a secret or an address. docs/errors.md is the same table.
-- The errors of the key file, which is named at server start, are in tests/integration.
\set SHOW_CONTEXT never
\set acme 'e6606500-0000-4000-8000-000000000001'
SELECT activity.register_action('errors.tried');
SELECT activity.register_action('errors.strict', metadata_schema => '{"properties": {"n": {"type": "integer"}}, "required": ["m"]}');
SELECT activity.register_action('errors.retired');
SELECT activity.retire_action('errors.retired');

-- 42704: an action that is not registered.
SELECT activity.record('errors.unheard.of', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE

-- 23514: metadata against the schema; the detail is JSON with a pointer for each problem.
SELECT activity.record('errors.strict', '{"n": "hunter2", "password": "hunter2"}', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE

-- 22023: a retired action.
SELECT activity.record('errors.retired', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE

-- 22023: a value that can't be used.
SELECT activity.record('Errors Tried', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('errors.tried', '[]', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('errors.tried', '"hunter2"', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('errors.tried', (repeat('{"a": ', 70) || '1' || repeat('}', 70))::jsonb, tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('errors.tried', '{"n": 1e1001}', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('errors.tried', status => 'hunter2', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('errors.tried', occurred_at => 'infinity', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('errors.tried', occurred_at => now() + interval '1 hour', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.record_many('{}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.record_many('"hunter2"');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.record_many('[]', on_error => 'hunter2');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.register_action('activity.mine');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.register_action('errors.bad', metadata_schema => '{"type": "hunter2"}');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.register_action('errors.bad', severity => 'hunter2');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.register_actions('[{"hunter2": 1}]');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.register_actions('[{"action": "errors.bad", "controls": "hunter2"}]');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.register_actions('[{"action": "errors.bad", "keep": "hunter2"}]');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.install_taxonomy('hunter2');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.setup(partition_interval => '1 hour');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.setup(premake => 1001);
\echo :LAST_ERROR_SQLSTATE
SELECT activity.client_ip('192.0.2.1', NULL, '192.0.2.2', '{hunter2}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(:'acme', action => 'hunter2');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(:'acme', status => 'hunter2');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(:'acme', page_size => 0);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(:'acme', cursor => 'hunter2');
\echo :LAST_ERROR_SQLSTATE
SET activity.tenant_id = 'hunter2';
\echo :LAST_ERROR_SQLSTATE
SET activity.client_ip = '192.0.2.256';
\echo :LAST_ERROR_SQLSTATE
SET activity.redact_keys = 'nickname, --';
\echo :LAST_ERROR_SQLSTATE

-- 22004: missing.
SELECT activity.record(NULL, tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('errors.tried');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.record_many(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list();
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.get(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT activity.tenant(NULL);
\echo :LAST_ERROR_SQLSTATE

-- 22001: too large; the message names the limit, the hint the setting.
SELECT activity.record('errors.tried', jsonb_build_object('text', repeat('x', 20000)), tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('errors.tried', object_id => repeat('x', 600), tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE

-- The first event's code: a batch.
SELECT r.* FROM activity.set_context(tenant_id => :'acme'), activity.record_many(
    '[{"action": "errors.strict", "metadata": {"n": "hunter2"}}, {"action": "errors.tried", "status": "hunter2"}]') AS r;
\echo :LAST_ERROR_SQLSTATE

-- 42704: a tenant by a name that nobody gave.
SELECT activity.tenant('hunter2');
\echo :LAST_ERROR_SQLSTATE

-- 42501: not allowed.
CREATE ROLE regress_errors IN ROLE activity_writer, activity_reader;
INSERT INTO activity.role_tenants VALUES ('regress_errors', 'e6606500-0000-4000-8000-000000000002');
SET ROLE regress_errors;
SELECT activity.record('errors.tried', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('errors.tried', tenant_id => '00000000-0000-0000-0000-000000000000');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('activity.note', tenant_id => 'e6606500-0000-4000-8000-000000000002');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.register_action('errors.bad');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
DELETE FROM activity.role_tenants WHERE role_name = 'regress_errors';
SET ROLE regress_errors;
BEGIN;
SELECT activity.set_context(tenant_id => :'acme') IS NOT NULL AS context;
SELECT * FROM activity.list(tenant_id => 'e6606500-0000-4000-8000-000000000002');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
RESET ROLE;
SET activity.require_pin = on;
SET ROLE regress_errors;
SELECT activity.record('errors.tried', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
RESET activity.require_pin;
DROP ROLE regress_errors;
DELETE FROM activity.events;
\echo :LAST_ERROR_SQLSTATE

-- 25006: the server's own, for a read-only transaction; 25001 is a warning of a lost context.
BEGIN READ ONLY;
SELECT activity.record('errors.tried', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT activity.set_context(tenant_id => :'acme') IS NOT NULL AS context;

-- 55000: no partition takes an event of today, and not set up.
SELECT e.tableoid::regclass AS partition FROM activity.events e ORDER BY recorded_at DESC LIMIT 1 \gset
BEGIN;
SET LOCAL client_min_messages = error;
ALTER TABLE activity.events DETACH PARTITION :partition;
SELECT activity.record('errors.tried', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SET LOCAL client_min_messages = error;
ALTER TABLE activity.events RENAME TO something_else;
SELECT activity.record('errors.tried', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- 0P000: a role of ours that may log in stops the installation.
CREATE DATABASE regress_errors_roles;
ALTER ROLE activity_auditor LOGIN;
\connect regress_errors_roles
CREATE EXTENSION activity_log;
\echo :LAST_ERROR_SQLSTATE
ALTER ROLE activity_auditor NOLOGIN;

-- 0A000: an encoding other than UTF-8 does too.
CREATE DATABASE regress_errors_latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
\connect regress_errors_latin
CREATE EXTENSION activity_log;
\echo :LAST_ERROR_SQLSTATE
\connect activity_regress
DROP DATABASE regress_errors_roles;
DROP DATABASE regress_errors_latin;

-- XX000: what can't happen names the place and nothing else.
SELECT activity._changed();
\echo :LAST_ERROR_SQLSTATE
