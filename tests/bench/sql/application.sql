-- The action that is recorded, in both registries, and the application's role: it may write and
-- nothing else, but for reading what its own backend has used of the CPU.
SELECT activity.register_action('invoice.payment.received', metadata_schema => $${
    "type": "object",
    "properties": {
        "invoice": {"type": "string", "maxLength": 40},
        "amount": {"type": "number", "minimum": 0},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
        "method": {"enum": ["card", "transfer", "cash"]},
        "is_partial": {"type": "boolean"},
        "note": {"type": "string", "maxLength": 200}
    },
    "required": ["invoice", "amount", "currency"],
    "additionalProperties": false
}$$);
INSERT INTO bench.actions VALUES (
    'invoice.payment.received', 1,
    '{invoice,amount,currency}', '{invoice,amount,currency,method,is_partial,note}');

CREATE ROLE bench_application LOGIN IN ROLE activity_writer, pg_read_server_files;
GRANT USAGE ON SCHEMA bench TO bench_application;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA bench TO bench_application;
GRANT TRUNCATE ON bench.staged TO bench_application;
GRANT EXECUTE ON FUNCTION pg_read_file(text) TO bench_application;
GRANT USAGE ON SCHEMA activity TO bench_application;
