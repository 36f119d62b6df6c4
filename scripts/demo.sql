-- The session that `make demo` shows, run by psql as the superuser of a new database,
-- from the root of the checkout.
-- Statements that must fail stand under ON_ERROR_STOP off; demo_rejected.sql then stops the demo
-- if they did not.
\set acme '11111111-1111-4111-8111-111111111111'
\set globex '22222222-2222-4222-8222-222222222222'
\set SHOW_CONTEXT never
\pset pager off
\pset footer off
\pset linestyle unicode
\pset border 2
\set ECHO queries

\echo
\echo '━━ 1. Create the extension and set it up'
\echo '   CREATE EXTENSION brings the code, setup() makes the tables that hold your data.'
\echo
CREATE EXTENSION activity_log;
SELECT activity.setup();
\echo '   status() says how it stands; what is not as it could be comes with advice.'
\echo
SELECT area, count(*) AS items, count(*) FILTER (WHERE NOT ok) AS not_ok
FROM activity.status() GROUP BY area ORDER BY area;
SELECT item, value, advice FROM activity.status() WHERE NOT ok;

\echo
\echo '━━ 2. Say what an event looks like'
\echo '   An action has a name and a JSON Schema; what does not fit is not recorded.'
\echo
SELECT activity.register_action(
    action => 'invoice.paid',
    description => 'A customer has paid an invoice',
    metadata_schema => '{
        "type": "object",
        "required": ["amount", "currency"],
        "properties": {
            "amount": {"type": "number", "minimum": 0},
            "currency": {"type": "string", "pattern": "^[A-Z]{3}$"}
        }
    }',
    object_type => 'invoice');

\echo
\echo '━━ 3. Two logins'
\echo '   The application writes and reads for the tenant that it names. The other login belongs'
\echo '   to the tenant Globex and is pinned to it.'
\echo
CREATE ROLE demo_app LOGIN IN ROLE activity_writer, activity_reader;
CREATE ROLE demo_other LOGIN IN ROLE activity_reader;
INSERT INTO activity.role_tenants (role_name, tenant_id) VALUES ('demo_other', :'globex');

\echo
\echo '━━ 4. Record, as the application: who and where is said once for a transaction'
\echo
\set QUIET off
\connect - demo_app
\set QUIET on
BEGIN;
SELECT activity.set_context(
    tenant_id => :'acme', actor_id => 'alice', actor_type => 'user',
    client_ip => '203.0.113.7', user_agent => 'demo/1.0', request_id => 'request-1');
SELECT activity.record('invoice.paid', jsonb_build_object('amount', 100 * n, 'currency', 'EUR'),
    object_type => 'invoice', object_id => 'A-' || n)
FROM generate_series(1, 7) AS n;
COMMIT;

\echo '   … an event for the other tenant …'
\echo
BEGIN;
SELECT activity.set_context(
    tenant_id => :'globex', actor_id => 'bob', actor_type => 'user',
    client_ip => '2001:db8::42', request_id => 'request-2');
SELECT activity.record('invoice.paid', '{"amount": 5, "currency": "USD"}',
    object_type => 'invoice', object_id => 'G-1');
COMMIT;

\echo '   … and one with secrets where they should not be.'
\echo
BEGIN;
SELECT activity.set_context(
    tenant_id => :'acme', actor_id => 'alice', actor_type => 'user', client_ip => '203.0.113.7');
SELECT activity.record('invoice.paid',
    '{"amount": 8, "currency": "EUR", "password": "correct horse", "note": "card 4111 1111 1111 1111"}',
    object_type => 'invoice', object_id => 'A-8');
COMMIT;

\echo
\echo '━━ 5. An event that does not fit its schema is refused, with the reason'
\echo
\set ON_ERROR_STOP off
SELECT activity.record('invoice.paid', '{"amount": "a lot"}', tenant_id => :'acme');
\set ON_ERROR_STOP on
\i scripts/demo_rejected.sql

\echo
\echo '━━ 6. So is an action that nobody registered'
\echo
\set ON_ERROR_STOP off
SELECT activity.record('invoice.payed', '{"amount": 1, "currency": "EUR"}', tenant_id => :'acme');
\set ON_ERROR_STOP on
\i scripts/demo_rejected.sql

\echo
\echo '━━ 7. Read a tenant''s log page by page: the cursor of the last row opens the next page'
\echo
\echo '   Page 1'
SELECT occurred_at, action, actor_id, object_id, left(cursor, 12) || '…' AS cursor
FROM activity.list(tenant_id => :'acme', page_size => 3);
\set ECHO none
SELECT cursor AS page FROM activity.list(tenant_id => :'acme', page_size => 3)
WITH ORDINALITY ORDER BY ordinality DESC LIMIT 1 \gset
\set ECHO queries
\echo '   Page 2'
SELECT occurred_at, action, actor_id, object_id, left(cursor, 12) || '…' AS cursor
FROM activity.list(tenant_id => :'acme', page_size => 3, cursor => :'page');
\set ECHO none
SELECT cursor AS page FROM activity.list(tenant_id => :'acme', page_size => 3, cursor => :'page')
WITH ORDINALITY ORDER BY ordinality DESC LIMIT 1 \gset
\set ECHO queries
\echo '   Page 3'
SELECT occurred_at, action, actor_id, object_id, left(cursor, 12) || '…' AS cursor
FROM activity.list(tenant_id => :'acme', page_size => 3, cursor => :'page');

\echo
\echo '━━ 8. The other tenant''s login sees its own event and nothing else'
\echo
\set QUIET off
\connect - demo_other
\set QUIET on
SELECT action, actor_id, object_id FROM activity.list(tenant_id => :'globex');
BEGIN;
SET LOCAL activity.tenant_id = :'globex';
SELECT count(*) AS events_seen_in_the_table FROM activity.events;
COMMIT;

\echo '   Asking for the tenant Acme is refused:'
\echo
\set ON_ERROR_STOP off
SELECT action, actor_id, object_id FROM activity.list(tenant_id => :'acme');
\set ON_ERROR_STOP on
\i scripts/demo_rejected.sql

\echo
\echo '━━ 9. What is stored, as the superuser sees it: no address, no secret'
\echo '   The address is there as a keyed hash and its network.'
\echo
\set QUIET off
\connect - postgres
\set QUIET on
SELECT object_id, encode(ip_hash, 'hex') AS ip_hash, ip_prefix
FROM activity.events WHERE object_id IN ('A-1', 'A-8', 'G-1') ORDER BY object_id;
SELECT jsonb_pretty(metadata) AS metadata FROM activity.events WHERE object_id = 'A-8';

\echo
\echo '━━ 10. Capture a table: no change to the application, no right of its login on the log'
\echo
CREATE TABLE orders (id int PRIMARY KEY, tenant_id uuid NOT NULL, status text, amount numeric(10, 2), note text);
GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO demo_app;
SELECT activity.attach('orders', exclude => '{note}') IS NOT NULL AS is_captured;
SELECT activity.register_action('order.paid');
SELECT activity.on_change('orders', 'order.paid',
    when_condition => $$OLD.status = 'open' AND NEW.status = 'paid'$$,
    metadata => $$jsonb_build_object('amount', NEW.amount)$$) IS NOT NULL AS has_rule;

\echo '   The application works as ever; the context says who it was.'
\echo
\set QUIET off
\connect - demo_app
\set QUIET on
BEGIN;
SELECT activity.set_context(tenant_id => :'acme', actor_id => 'carol', request_id => 'request-3');
INSERT INTO orders VALUES (1, :'acme', 'open', 10, 'not for the log');
UPDATE orders SET amount = 12.5 WHERE id = 1;
COMMIT;
\set ECHO none
SELECT now() AS before_payment \gset
\set ECHO queries
BEGIN;
SELECT activity.set_context(tenant_id => :'acme', actor_id => 'dave', request_id => 'request-4');
UPDATE orders SET status = 'paid' WHERE id = 1;
DELETE FROM orders WHERE id = 1;
COMMIT;

\echo '   What happened to the order, field by field, and the row as it stood before it was paid:'
\echo
BEGIN;
SELECT activity.set_context(tenant_id => :'acme');
SELECT action, actor_id, field, old, new
FROM activity.object_history('orders', '1') WHERE field IS DISTINCT FROM 'tenant_id';
SELECT activity.row_as_of('orders', '{"id": 1}', :'before_payment');
COMMIT;

\echo
\echo '━━ 11. Follow the log: what has committed since a cursor, each event once'
\echo
SELECT activity.stream_start() AS start \gset
SELECT activity.record('invoice.paid', '{"amount": 9, "currency": "EUR"}', tenant_id => :'acme', actor_id => 'erin');
SELECT action, actor_id, event_id IS NULL AS is_bookmark, left(next_cursor, 12) || '…' AS next_cursor
FROM activity.read_stream(:'acme', cursor => :'start');

\echo
\echo '━━ 12. Keep it as long as you say, and hold what a court asks for'
\echo
\set QUIET off
\connect - postgres
\set QUIET on
SELECT activity.set_retention(preset => 'hipaa');
SELECT activity.hold(:'globex', 'case 2026-17') IS NOT NULL AS is_held;
\echo '   Shorter needs a yes:'
\echo
\set ON_ERROR_STOP off
SELECT activity.set_retention('30 days');
\set ON_ERROR_STOP on
\i scripts/demo_rejected.sql
CALL activity.maintain();
SELECT partition, state, rows, lower_bound::date FROM activity.partitions ORDER BY lower_bound LIMIT 3;
