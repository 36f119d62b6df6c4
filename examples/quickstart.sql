-- The quick start of README.md as one file, for psql as a superuser in a new database:
--     createdb quickstart && psql -X -d quickstart -f examples/quickstart.sql

\set ON_ERROR_STOP on

-- Install, and say what an event looks like.
CREATE EXTENSION activity_log;
SELECT activity.setup();

SELECT activity.register_action(
    action => 'invoice.paid',
    description => 'A customer has paid an invoice.',
    metadata_schema => '{
        "type": "object",
        "required": ["amount", "currency"],
        "properties": {
            "amount": {"type": "integer", "minimum": 0},
            "currency": {"type": "string", "pattern": "^[A-Z]{3}$"}
        }
    }');

-- A login for the application: it may write and read, for the tenant that it names.
CREATE ROLE quickstart_app LOGIN IN ROLE activity_writer, activity_reader;
SET ROLE quickstart_app;

-- Say once who acts, then record, in the transaction that changes your own tables.
BEGIN;
SELECT activity.set_context(
    tenant_id => '11111111-1111-4111-8111-111111111111',
    actor_id => 'alice',
    actor_type => 'user',
    client_ip => '203.0.113.7',
    request_id => 'req-1');
SELECT activity.record('invoice.paid', '{"amount": 4200, "currency": "EUR"}',
    object_type => 'invoice', object_id => 'A-1');
COMMIT;

-- Refused: the metadata does not fit its schema.
\set ON_ERROR_STOP off
SELECT activity.record('invoice.paid', '{"amount": "a lot"}',
    tenant_id => '11111111-1111-4111-8111-111111111111');
\set ON_ERROR_STOP on

-- Read it back, newest first.
SELECT occurred_at, action, actor_id, object_id, metadata, cursor
FROM activity.list(tenant_id => '11111111-1111-4111-8111-111111111111', page_size => 20);

RESET ROLE;
