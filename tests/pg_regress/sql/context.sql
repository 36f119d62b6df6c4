-- Context: who acts, for which tenant, in which request. Six settings of the session that record()
-- falls back to.
\set SHOW_CONTEXT never
\set acme 'c0700000-0000-4000-8000-000000000001'
\set globex 'c0700000-0000-4000-8000-000000000002'

-- Nothing is set at first.
SELECT activity.context();

-- set_context() returns the tenant and lasts until the end of the transaction.
BEGIN;
SELECT activity.set_context(
    tenant_id => :'acme', actor_id => 'alice', actor_type => 'user', client_ip => '203.0.113.7',
    user_agent => 'browser/1.0', request_id => 'request-1');
SELECT jsonb_pretty(activity.context());
COMMIT;
SELECT activity.context();

-- Each call replaces all six: nothing of an earlier request stays.
BEGIN;
SELECT activity.set_context(tenant_id => :'acme', actor_id => 'alice', request_id => 'request-1');
SELECT activity.set_context(tenant_id => :'globex');
SELECT activity.context();
COMMIT;

-- NULL and empty text mean not given; with no tenant at all the result is NULL.
BEGIN;
SELECT activity.set_context(tenant_id => :'acme', actor_id => '', actor_type => NULL, request_id => '');
SELECT activity.context();
SELECT activity.set_context() IS NULL AS no_tenant;
SELECT activity.context();
COMMIT;

-- Rolled back, by transaction and by savepoint, the context is what it was before.
BEGIN;
SELECT activity.set_context(tenant_id => :'acme');
SAVEPOINT before_globex;
SELECT activity.set_context(tenant_id => :'globex', actor_id => 'bob');
ROLLBACK TO SAVEPOINT before_globex;
SELECT activity.context();
ROLLBACK;
SELECT activity.context();

-- is_local => false lasts for the session; a local one covers it until its transaction ends.
SELECT activity.set_context(tenant_id => :'acme', actor_id => 'alice', is_local => false);
BEGIN;
SELECT activity.set_context(tenant_id => :'globex');
SELECT activity.context();
COMMIT;
SELECT activity.context();

-- clear_context() empties both.
SELECT activity.clear_context();
SELECT activity.context();

-- SET and SET LOCAL do the same for one setting.
BEGIN;
SET LOCAL activity.tenant_id = 'c0700000-0000-4000-8000-000000000001';
SET LOCAL activity.client_ip = '2001:db8::1';
SELECT activity.context();
COMMIT;
SELECT activity.context();

-- The forms of a UUID that the type uuid reads are one tenant.
BEGIN;
SET LOCAL activity.tenant_id = '{C0700000-0000-4000-8000-000000000001}';
SELECT activity.context();
COMMIT;

-- A value that is none is refused where it is set, and is not repeated in the message.
SET activity.tenant_id = 'acme';
\echo :LAST_ERROR_SQLSTATE
SET activity.client_ip = '300.1.2.3';
\echo :LAST_ERROR_SQLSTATE
SELECT set_config('activity.client_ip', 'AWS Internal', false);
\echo :LAST_ERROR_SQLSTATE
SELECT activity.set_context(tenant_id => 'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.context();

-- Outside a transaction block a local context is gone before anything can use it.
SELECT activity.set_context(tenant_id => :'acme');

-- In one statement it is of use, and then there is no warning.
SELECT activity.context() FROM activity.set_context(tenant_id => :'acme', actor_id => 'alice');

-- client_ip(): without trusted proxies the peer is the client, whatever the headers say.
SELECT activity.client_ip('198.51.100.1', '198.51.100.2', '203.0.113.9') AS peer;

-- Behind a trusted proxy it is the rightmost entry that is no proxy; what a client wrote to the
-- left of it does not count.
SELECT activity.client_ip('1.2.3.4, 198.51.100.1, 10.0.0.5', NULL, '10.0.0.9', '{10.0.0.0/8}') AS client;

-- Ports, brackets and spaces are taken off.
SELECT activity.client_ip(' 198.51.100.1:8080', NULL, '10.0.0.9', '{10.0.0.0/8}') AS with_port,
       activity.client_ip('[2001:db8::7]:443', NULL, '10.0.0.9', '{10.0.0.0/8}') AS in_brackets,
       activity.client_ip('::ffff:198.51.100.1', NULL, '10.0.0.9', '{10.0.0.0/8}') AS mapped;

-- X-Real-IP counts where X-Forwarded-For has no entry.
SELECT activity.client_ip('', '198.51.100.3', '10.0.0.9', '{10.0.0.0/8}') AS real_ip;

-- Garbage ends the walk at the last hop that can be believed.
SELECT activity.client_ip('198.51.100.1, unknown', NULL, '10.0.0.9', '{10.0.0.0/8}') AS garbage,
       activity.client_ip('not an address', 'neither', '10.0.0.9', '{10.0.0.0/8}') AS only_garbage;

-- All trusted: the leftmost. Nothing at all: NULL. A proxy that is no network: refused.
SELECT activity.client_ip('10.0.0.1, 10.0.0.2', NULL, '10.0.0.9', '{10.0.0.0/8}') AS all_trusted,
       activity.client_ip() AS nothing,
       activity.client_ip(NULL, NULL, '10.0.0.9', '{NULL}') AS null_proxy;
SELECT activity.client_ip('198.51.100.1', NULL, '10.0.0.9', '{10.0.0.0/33}');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.client_ip('198.51.100.1', NULL, '10.0.0.9', '{proxy}');
\echo :LAST_ERROR_SQLSTATE
