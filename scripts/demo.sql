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
\echo '    A rule makes an event of the business out of a change of a row.'
\echo
CREATE TABLE orders (id int PRIMARY KEY, tenant_id uuid NOT NULL, status text NOT NULL, note text);
GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO demo_app;
SELECT activity.attach('orders', exclude => '{note}');
SELECT activity.register_action('order.paid');
SELECT activity.on_change('orders', 'order.paid',
    when_condition => $$OLD.status = 'open' AND NEW.status = 'paid'$$,
    metadata => $$jsonb_build_object('order', NEW.id)$$);
SELECT table_name, level, state FROM activity.coverage() WHERE captured;
\set QUIET off
\connect - demo_app
\set QUIET on
BEGIN;
SELECT activity.set_context(tenant_id => :'acme', actor_id => 'alice', request_id => 'request-3');
INSERT INTO orders SELECT n, :'acme', 'open', 'not for the log' FROM generate_series(1, 2) AS n;
UPDATE orders SET status = 'paid' WHERE id = 1;
DELETE FROM orders WHERE id = 2;
COMMIT;
SELECT action, actor_id, object_id, metadata, changes
FROM activity.list(:'acme', page_size => 5);

\echo '    The row as it stood before its last change, told by the log alone:'
\echo
SELECT activity.row_as_of('orders', '{"id": 1}',
           (SELECT recorded_at - interval '1 microsecond' FROM activity.list(:'acme', action => 'orders.updated')))
FROM activity.set_context(:'acme');

\echo
\echo '━━ 11. Follow a tenant live: listen, then read on from the cursor whenever the channel rings'
\echo '    The notification carries no data; the row without an event says that this is all for now.'
\echo
SELECT activity.listen(:'acme');
SELECT activity.stream_start() AS position \gset
SELECT activity.record('invoice.paid', '{"amount": 9, "currency": "EUR"}', tenant_id => :'acme', object_id => 'A-9');
-- What psql has been notified of, it shows after a statement.
SELECT pg_sleep(1);
SELECT action, object_id, left(next_cursor, 12) || '…' AS next_cursor
FROM activity.read_stream(:'acme', cursor => :'position');

\echo
\echo '━━ 12. An event that stays although its transaction fails'
\echo
SELECT activity.stream_start() AS position \gset
BEGIN;
SELECT activity.record_durable('invoice.paid', '{"amount": 0, "currency": "EUR"}',
    tenant_id => :'acme', object_id => 'A-10', status => 'failure');
ROLLBACK;
SELECT action, object_id, status
FROM activity.read_stream(:'acme', cursor => :'position') WHERE event_id IS NOT NULL;

\echo
\echo '━━ 13. Keep it as long as the law says, and no longer'
\echo '    maintain() makes, closes, archives and drops partitions; the worker also runs it by itself.'
\echo
\set QUIET off
\connect - postgres
\set QUIET on
SELECT activity.set_retention(preset => 'hipaa');
SELECT activity.hold(:'acme', 'case 2026-17', actor_id => 'alice');
CALL activity.maintain();
SELECT partition, state, rows FROM activity.partitions ORDER BY lower_bound LIMIT 3;

\echo
\echo '━━ 14. Figures, for a person and for Prometheus'
\echo
SELECT name, kind, labels, value FROM activity.metrics() WHERE value > 0 ORDER BY 1, 3 LIMIT 8;
