-- record_many(): a batch of events from one JSON array, with record()'s argument names as keys.
\set SHOW_CONTEXT never
\set acme '7ec0a000-0000-4000-8000-000000000001'
\set globex '7ec0a000-0000-4000-8000-000000000002'
SELECT activity.register_action('batch.noted');
SELECT activity.register_action('batch.measured', metadata_schema => '{"required": ["amount"]}');
SELECT activity.set_context(tenant_id => :'acme', actor_id => 'alice', actor_type => 'user', is_local => false);

-- Good events; what is not given comes from the context.
SELECT ordinal, event_id IS NOT NULL AS has_id, inserted, error FROM activity.record_many('[
    {"action": "batch.noted", "object_id": "1"},
    {"action": "batch.noted", "object_id": "2", "actor_id": "bob", "status": "denied", "metadata": {"n": 2}},
    {"action": "batch.measured", "object_id": "3", "metadata": {"amount": 3}, "client_ip": "203.0.113.7",
     "occurred_at": "2023-07-10T12:00:00Z", "user_agent": "import", "request_id": "r-3", "object_type": "scale",
     "actor_type": "service", "idempotency_key": "three"},
    {"action": "batch.noted", "object_id": "4", "tenant_id": "7ec0a000-0000-4000-8000-000000000002"}]');
SELECT object_id, action, action_version, status, actor_type, actor_id, object_type, request_id, ip_prefix, metadata
FROM activity.list() ORDER BY object_id;
SELECT object_id FROM activity.events WHERE tenant_id = :'globex';

-- Ids increase with the ordinal.
SELECT bool_and(event_id > previous) AS increasing
FROM (SELECT event_id, lag(event_id) OVER (ORDER BY ordinal) AS previous
      FROM activity.record_many((SELECT jsonb_agg('{"action": "batch.noted", "object_id": "many"}'::jsonb)
                                 FROM generate_series(1, 250)))) AS ids;
SELECT count(*) FROM activity.events WHERE tenant_id = :'acme' AND object_id = 'many';

-- The empty batch, and NULL values of keys, which mean not given.
SELECT * FROM activity.record_many('[]');
SELECT ordinal, inserted, error FROM activity.record_many('[{
    "action": "batch.noted", "metadata": null, "tenant_id": null, "actor_id": null, "actor_type": "",
    "object_type": null, "object_id": "nulls", "status": null, "client_ip": null, "user_agent": null,
    "request_id": "", "occurred_at": null, "idempotency_key": null}]', on_error => NULL);
SELECT actor_type, actor_id, status, metadata FROM activity.list(object_id => 'nulls');

-- The array as a JSON string, as some drivers send it; metadata as a JSON string inside.
SELECT ordinal, inserted, error FROM activity.record_many(to_jsonb(
    '[{"action": "batch.measured", "object_id": "text", "metadata": "{\"amount\": 1}"}]'::text));
SELECT metadata FROM activity.list(object_id => 'text');

-- One bad event fails the whole call; the detail lists each by its ordinal.
SELECT * FROM activity.record_many('[
    {"action": "batch.noted", "object_id": "good"},
    {"action": "batch.measured", "metadata": {"password": "hunter2"}},
    {"action": "batch.unheard.of"},
    {"action": "batch.noted", "status": "great"}]');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM activity.list(object_id => 'good');

-- on_error => 'skip' records the good ones and gives the bad ones back.
SELECT ordinal, event_id IS NOT NULL AS has_id, inserted, jsonb_pretty(error) AS error FROM activity.record_many('[
    {"action": "batch.noted", "object_id": "good"},
    {"action": "batch.measured", "metadata": {"password": "hunter2"}},
    {"action": "batch.unheard.of"},
    {"action": "batch.noted", "object_id": "good"}]', on_error => 'skip');
SELECT count(*) FROM activity.list(object_id => 'good');

-- What can be wrong with one event.
SELECT ordinal, error ->> 'sqlstate' AS sqlstate, error ->> 'message' AS message FROM activity.record_many('[
    1,
    null,
    [],
    {},
    {"action": null},
    {"action": 5},
    {"action": "batch.noted", "colour": "red"},
    {"action": "batch.noted", "tenant_id": "acme"},
    {"action": "batch.noted", "tenant_id": "00000000-0000-0000-0000-000000000000", "object_id": "system"},
    {"action": "batch.noted", "client_ip": "300.1.2.3"},
    {"action": "batch.noted", "occurred_at": "yesterday-ish"},
    {"action": "batch.noted", "occurred_at": "infinity"},
    {"action": "batch.noted", "occurred_at": 1689000000},
    {"action": "batch.noted", "metadata": []},
    {"action": "batch.noted", "metadata": "no json"},
    {"action": "Batch.Noted"}]', on_error => 'skip');

-- No tenant anywhere.
BEGIN;
SELECT activity.set_context() IS NULL AS no_tenant;
SELECT ordinal, error ->> 'sqlstate' AS sqlstate FROM activity.record_many('[{"action": "batch.noted"}]', on_error => 'skip');
ROLLBACK;

-- Bad arguments of the call itself.
SELECT * FROM activity.record_many(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.record_many('{"action": "batch.noted"}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.record_many('"no json"');
SELECT * FROM activity.record_many('[]', on_error => 'ignore');
\echo :LAST_ERROR_SQLSTATE

-- Idempotency keys: known from before, and twice in one batch.
SELECT ordinal, inserted, event_id = first_value(event_id) OVER (ORDER BY ordinal) AS same_as_first
FROM activity.record_many('[
    {"action": "batch.noted", "object_id": "keyed", "idempotency_key": "k-1"},
    {"action": "batch.noted", "object_id": "keyed", "idempotency_key": "k-2"},
    {"action": "batch.noted", "object_id": "keyed", "idempotency_key": "k-1"}]');
SELECT ordinal, inserted FROM activity.record_many('[
    {"action": "batch.noted", "object_id": "keyed", "idempotency_key": "k-2"},
    {"action": "batch.noted", "object_id": "keyed", "idempotency_key": "k-3"}]');
SELECT count(*) FROM activity.list(object_id => 'keyed');

-- Rolled back.
BEGIN;
SELECT inserted FROM activity.record_many('[{"action": "batch.noted", "object_id": "undone", "idempotency_key": "k-4"}]');
ROLLBACK;
SELECT count(*) FROM activity.list(object_id => 'undone');
SELECT inserted FROM activity.record_many('[{"action": "batch.noted", "object_id": "undone", "idempotency_key": "k-4"}]');

-- activity.on_error = warn: the call returns nothing and the business goes on.
SET activity.on_error = warn;
SELECT * FROM activity.record_many('[{"action": "batch.noted", "object_id": "lost"}, {"action": "batch.unheard.of"}]');
SELECT * FROM activity.record_many(NULL);
SELECT ordinal, inserted, error ->> 'sqlstate' AS sqlstate
FROM activity.record_many('[{"action": "batch.noted", "object_id": "kept"}, {"action": "batch.unheard.of"}]', on_error => 'skip');
RESET activity.on_error;
SELECT object_id FROM activity.list() WHERE object_id IN ('lost', 'kept');

SELECT activity.clear_context();

-- One call has its limit: everything in it is in memory until it is written.
SELECT count(*) FROM activity.record_many((SELECT jsonb_agg('{}'::jsonb) FROM generate_series(1, 10001)));
\echo :LAST_ERROR_SQLSTATE
