-- record(): one event, written with the transaction of its caller.
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set acme '7ec00000-0000-4000-8000-000000000001'
\set globex '7ec00000-0000-4000-8000-000000000002'
SELECT activity.register_action('record.noted');
SELECT activity.register_action('record.measured', metadata_schema => '{"required": ["amount"]}');

-- Everything given. The id is a UUID of version 7 that carries the time of recording.
SELECT activity.record(
    action => 'record.measured', metadata => '{"amount": 12.50, "unit": null}', tenant_id => :'acme',
    actor_id => 'alice', actor_type => 'user', object_type => 'scale', object_id => 'S-1',
    status => 'failure', client_ip => '203.0.113.7', user_agent => 'browser/1.0',
    request_id => 'request-1', occurred_at => '2023-07-10 12:00:00+00', idempotency_key => 'everything') AS id \gset
SELECT action, action_version, status, source, actor_type, actor_id, object_type, object_id,
       request_id, ip_prefix, user_agent, metadata, changes, occurred_at
FROM activity.get(:'id');
SELECT substr(:'id', 15, 1) AS version, db_role, xact IS NOT NULL AS xact, gen,
       octet_length(ip_hash) AS hash_bytes, recorded_at BETWEEN now() - interval '1 hour' AND clock_timestamp() AS just_now
FROM activity.events WHERE event_id = :'id';

-- What is not given comes from the context; NULL and empty text mean not given.
BEGIN;
SELECT activity.set_context(
    tenant_id => :'acme', actor_id => 'carol', actor_type => 'service', client_ip => '2001:db8:7::7',
    user_agent => 'job/2', request_id => 'request-2') IS NOT NULL AS context;
SELECT activity.record('record.noted', object_id => 'from context') AS id \gset
SELECT activity.record(
    action => 'record.noted', metadata => NULL, tenant_id => NULL, actor_id => NULL, actor_type => '',
    object_type => '', object_id => 'explicit NULL', status => NULL, client_ip => NULL,
    user_agent => '', request_id => NULL, occurred_at => NULL, idempotency_key => '') IS NOT NULL AS recorded;
COMMIT;
SELECT object_id, actor_type, actor_id, status, request_id, ip_prefix, user_agent, metadata,
       occurred_at = recorded_at AS occurred_when_recorded
FROM activity.list(tenant_id => :'acme', actor_id => 'carol') ORDER BY object_id;

-- Type and id of the actor are a pair: if the caller gives either, neither comes from the context.
BEGIN;
SELECT activity.set_context(tenant_id => :'acme', actor_id => 'carol', actor_type => 'service') IS NOT NULL AS context;
SELECT activity.record('record.noted', object_id => 'id only', actor_id => 'dave') IS NOT NULL AS recorded;
SELECT activity.record('record.noted', object_id => 'type only', actor_type => 'system') IS NOT NULL AS recorded;
COMMIT;
SELECT object_id, actor_type, actor_id
FROM activity.list(tenant_id => :'acme') WHERE object_id LIKE '% only' ORDER BY object_id;

-- An argument beats the context: this event is the other tenant's.
BEGIN;
SELECT activity.set_context(tenant_id => :'acme') IS NOT NULL AS context;
SELECT activity.record('record.noted', tenant_id => :'globex', object_id => 'elsewhere') IS NOT NULL AS recorded;
COMMIT;
SELECT object_id FROM activity.list(tenant_id => :'globex');
SELECT count(*) AS in_acme FROM activity.list(tenant_id => :'acme') WHERE object_id = 'elsewhere';

-- One statement from a pool.
SELECT activity.record('record.noted', object_id => 'one statement') IS NOT NULL AS recorded
FROM activity.set_context(tenant_id => :'acme', actor_id => 'erin', actor_type => 'user');
SELECT actor_id FROM activity.list(tenant_id => :'acme') WHERE object_id = 'one statement';

-- No tenant anywhere, no action: never a silent NULL, never the system tenant.
SELECT activity.record('record.noted');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record(NULL, tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE

-- Metadata: NULL and JSON null are none; a JSON string that holds an object is that object.
SELECT activity.record('record.noted', 'null', tenant_id => :'acme', object_id => 'metadata 1') IS NOT NULL AS recorded;
SELECT activity.record('record.noted', to_jsonb('{"a": [1, 2.50, "x"]}'::text), tenant_id => :'acme', object_id => 'metadata 2') IS NOT NULL AS recorded;
SELECT object_id, metadata FROM activity.list(tenant_id => :'acme') WHERE object_id LIKE 'metadata %' ORDER BY object_id;

-- Any other shape is refused.
SELECT activity.record('record.noted', '[1, 2]', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('record.noted', '5', tenant_id => :'acme');
SELECT activity.record('record.noted', '"no json"', tenant_id => :'acme');
SELECT activity.record('record.noted', to_jsonb('[1]'::text), tenant_id => :'acme');

-- A document that is nested too deeply is refused, and not taken for none, however deep it is.
SELECT activity.record('record.noted', ('{"a":' || repeat('[', 70) || repeat(']', 70) || '}')::jsonb, tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('record.noted', ('{"a":' || repeat('[', 1500) || repeat(']', 1500) || '}')::jsonb, tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE

-- Status is one of four.
SELECT activity.record('record.noted', status => 'denied', tenant_id => :'acme') IS NOT NULL AS recorded;
SELECT activity.record('record.noted', status => 'Success', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE

-- occurred_at may lie anywhere in the past, and five minutes ahead: clocks differ.
SELECT activity.record('record.noted', occurred_at => now() + interval '4 minutes', tenant_id => :'acme') IS NOT NULL AS recorded;
SELECT activity.record('record.noted', occurred_at => '0044-03-15 BC', tenant_id => :'acme') IS NOT NULL AS recorded;
SELECT activity.record('record.noted', occurred_at => now() + interval '6 minutes', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('record.noted', occurred_at => 'infinity', tenant_id => :'acme');
SELECT activity.record('record.noted', occurred_at => '-infinity', tenant_id => :'acme');

-- Sizes: the message names the limit. A user agent comes from the client, so it is cut instead.
SELECT activity.record('record.noted', actor_id => repeat('x', 513), tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('record.noted', object_type => repeat('x', 101), tenant_id => :'acme');
SELECT activity.record('record.noted', idempotency_key => repeat('x', 513), tenant_id => :'acme');
SELECT activity.record('record.noted', jsonb_build_object('text', repeat('x', 17000)), tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('record.noted', actor_id => repeat('x', 512), user_agent => repeat('ä', 300), tenant_id => :'acme', object_id => 'long') IS NOT NULL AS recorded;
SELECT octet_length(actor_id) AS actor_bytes, octet_length(user_agent) AS user_agent_bytes
FROM activity.list(tenant_id => :'acme') WHERE object_id = 'long';

-- A network is no client: nobody knows which of its hosts is meant. The same everywhere.
SELECT activity.record('record.noted', tenant_id => :'acme', client_ip => '198.51.100.0/24');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.set_context(tenant_id => :'acme', client_ip => '198.51.100.0/24');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(tenant_id => :'acme', client_ip => '198.51.100.0/24');
\echo :LAST_ERROR_SQLSTATE
SELECT error->>'message' AS message FROM activity.record_many(
    '[{"action": "record.noted", "client_ip": "198.51.100.0/24"}]', on_error => 'skip');

-- A mask that covers all of the address says nothing, nor does IPv6 clothing of IPv4.
SELECT activity.record('record.noted', tenant_id => :'acme', object_id => 'address 1', client_ip => '198.51.100.7/32') IS NOT NULL AS recorded;
SELECT activity.record('record.noted', tenant_id => :'acme', object_id => 'address 2', client_ip => '::ffff:198.51.100.7') IS NOT NULL AS recorded;
SELECT object_id, ip_prefix, ip_hash = lag(ip_hash) OVER (ORDER BY object_id) AS same_hash
FROM activity.events WHERE tenant_id = :'acme' AND object_id LIKE 'address %' ORDER BY object_id;

-- The same idempotency key: the same id, and one event. Another tenant's key is another key.
SELECT activity.record('record.noted', idempotency_key => 'once', object_id => 'first', tenant_id => :'acme') AS id \gset
SELECT activity.record('record.noted', idempotency_key => 'once', object_id => 'second', tenant_id => :'acme') = :'id' AS same;
SELECT activity.record('record.noted', idempotency_key => 'once', object_id => 'third', tenant_id => :'globex') = :'id' AS same;
SELECT tenant_id, object_id FROM activity.events WHERE object_id IN ('first', 'second', 'third') ORDER BY event_id;

-- A key that was taken in a savepoint which is rolled back is free again.
BEGIN;
SAVEPOINT before;
SELECT activity.record('record.noted', idempotency_key => 'savepoint', object_id => 'undone', tenant_id => :'acme') IS NOT NULL AS recorded;
ROLLBACK TO SAVEPOINT before;
SELECT activity.record('record.noted', idempotency_key => 'savepoint', object_id => 'kept', tenant_id => :'acme') IS NOT NULL AS recorded;
COMMIT;
SELECT object_id FROM activity.list(tenant_id => :'acme') WHERE object_id IN ('undone', 'kept');

-- Rolled back with the business transaction.
BEGIN;
SELECT activity.record('record.noted', object_id => 'rolled back', tenant_id => :'acme') IS NOT NULL AS recorded;
ROLLBACK;
SELECT count(*) FROM activity.list(tenant_id => :'acme') WHERE object_id = 'rolled back';

-- From a DO block, and from PL/pgSQL that catches the refusal and goes on.
DO $$
BEGIN
    PERFORM activity.record('record.noted', object_id => 'from DO', tenant_id => '7ec00000-0000-4000-8000-000000000001');
    BEGIN
        PERFORM activity.record('record.measured', object_id => 'caught', tenant_id => '7ec00000-0000-4000-8000-000000000001');
    EXCEPTION WHEN check_violation THEN
        RAISE NOTICE 'caught %', SQLSTATE;
    END;
END
$$;
SELECT object_id FROM activity.list(tenant_id => :'acme') WHERE object_id IN ('from DO', 'caught');

-- A read-only transaction records nothing.
BEGIN READ ONLY;
SELECT activity.record('record.noted', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- activity.on_error = warn: the business write goes on, the event is lost with a warning.
CREATE TABLE business (id int);
SET activity.on_error = warn;
BEGIN;
INSERT INTO business VALUES (1);
SELECT activity.record('record.measured', '{"secret": "hunter2"}', tenant_id => :'acme') IS NULL AS lost;
SELECT activity.record('record.unheard.of', tenant_id => :'acme') IS NULL AS lost;
SELECT activity.record('record.noted') IS NULL AS lost;
COMMIT;
RESET activity.on_error;
TABLE business;
DROP TABLE business;

-- record_login() and record_logout(): typed, for what every application has. Rolled back, so that
-- other sessions find the registry without these actions.
\set ON_ERROR_ROLLBACK on
BEGIN;
SELECT activity.install_taxonomy('saas') IS NOT NULL AS installed;
SELECT activity.record_login(actor_id => 'frank', tenant_id => :'acme') IS NOT NULL AS recorded;
SELECT activity.record_login(
    actor_id => 'frank', success => false, reason => 'wrong_password', tenant_id => :'acme',
    client_ip => '203.0.113.7', metadata => '{"attempt": 2}') IS NOT NULL AS recorded;
SELECT activity.record_login(actor_id => 'frank', success => NULL, tenant_id => :'acme') IS NOT NULL AS recorded;
-- What the caller's metadata says is not overwritten by a default.
SELECT activity.record_login(actor_id => 'frank', tenant_id => :'acme', metadata => '{"method": "saml"}') IS NOT NULL AS recorded;
-- Without an actor both parts of it come from the context.
SELECT activity.record_login(actor_id => NULL) IS NOT NULL AS recorded
FROM activity.set_context(tenant_id => :'acme', actor_id => 'frank', actor_type => 'admin');
SELECT activity.clear_context() AS cleared;
SELECT activity.record_logout(actor_id => 'frank', tenant_id => :'acme') IS NOT NULL AS recorded;
SELECT activity.record_login(actor_id => 'frank', method => 'telepathy', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record_login(actor_id => 'frank');
\echo :LAST_ERROR_SQLSTATE
SELECT action, status, actor_type, actor_id, ip_prefix, metadata
FROM activity.list(tenant_id => :'acme', actor_id => 'frank') ORDER BY event_id;
ROLLBACK;
\set ON_ERROR_ROLLBACK off

-- The log is append only, for its owner too.
UPDATE activity.events SET action = 'record.changed' WHERE tenant_id = :'acme';
\echo :LAST_ERROR_SQLSTATE
DELETE FROM activity.events;
\echo :LAST_ERROR_SQLSTATE
TRUNCATE activity.events;
\echo :LAST_ERROR_SQLSTATE
