-- list() and get(): a tenant's log, page by page, newest occurrence first.
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set acme '7ead0000-0000-4000-8000-000000000001'
\set globex '7ead0000-0000-4000-8000-000000000002'
SELECT ordinal, version FROM activity.register_actions('[
    {"action": "read.file.opened"}, {"action": "read.file.closed"}, {"action": "read_more.file.opened"}]')
    WITH ORDINALITY AS r (action, version, ordinal);
-- What there is to read: five events of Acme, one of Globex.
BEGIN;
SELECT activity.set_context(tenant_id => :'acme') IS NOT NULL AS context;
SELECT ordinal, inserted, error FROM activity.record_many('[
    {"action": "read.file.opened",      "object_type": "file",  "object_id": "1", "actor_id": "alice", "request_id": "r-1", "occurred_at": "2023-01-01T00:00:01Z", "metadata": {"size": 1, "tags": ["a", "b"]}},
    {"action": "read.file.closed",      "object_type": "file",  "object_id": "1", "actor_id": "alice", "request_id": "r-1", "occurred_at": "2023-01-01T00:00:02Z", "client_ip": "203.0.113.7"},
    {"action": "read_more.file.opened", "object_type": "photo", "object_id": "1", "actor_id": "bob",   "request_id": "r-2", "occurred_at": "2023-01-01T00:00:03Z", "client_ip": "203.0.113.8"},
    {"action": "read.file.opened",      "object_type": "file",  "object_id": "2", "actor_id": "bob",   "request_id": "r-3", "occurred_at": "2023-01-01T00:00:04Z", "status": "denied"},
    {"action": "read.file.closed",      "object_type": "file",  "object_id": "2", "actor_id": "bob",   "request_id": "r-3", "occurred_at": "2023-01-01T00:00:04Z", "client_ip": "203.0.113.7"},
    {"action": "read.file.opened",      "object_type": "file",  "object_id": "9", "actor_id": "zoe",   "tenant_id": "7ead0000-0000-4000-8000-000000000002"}]');
COMMIT;

-- The whole log of a tenant, newest first; of two that occurred at the same time the later recorded.
SELECT occurred_at, action, object_id, actor_id, status FROM activity.list(tenant_id => :'acme');

-- Without an argument the context says which tenant; with neither there is none.
BEGIN;
SELECT activity.set_context(tenant_id => :'globex') IS NOT NULL AS context;
SELECT object_id, actor_id FROM activity.list();
COMMIT;
SELECT * FROM activity.list();
\echo :LAST_ERROR_SQLSTATE

-- A tenant without events has none: no rows, no error.
SELECT count(*) FROM activity.list(tenant_id => '7ead0000-0000-4000-8000-0000000000ff');

-- Each filter alone.
SELECT 'action' AS filter, string_agg(to_char(occurred_at, 'SS'), ' ') AS seconds FROM activity.list(:'acme', action => 'read.file.opened')
UNION ALL SELECT 'action prefix', string_agg(to_char(occurred_at, 'SS'), ' ') FROM activity.list(:'acme', action => 'read.*')
UNION ALL SELECT 'actor', string_agg(to_char(occurred_at, 'SS'), ' ') FROM activity.list(:'acme', actor_id => 'alice')
UNION ALL SELECT 'object type', string_agg(to_char(occurred_at, 'SS'), ' ') FROM activity.list(:'acme', object_type => 'photo')
UNION ALL SELECT 'object id', string_agg(to_char(occurred_at, 'SS'), ' ') FROM activity.list(:'acme', object_id => '1')
UNION ALL SELECT 'request', string_agg(to_char(occurred_at, 'SS'), ' ') FROM activity.list(:'acme', request_id => 'r-3')
UNION ALL SELECT 'status', string_agg(to_char(occurred_at, 'SS'), ' ') FROM activity.list(:'acme', status => 'denied')
UNION ALL SELECT 'address', string_agg(to_char(occurred_at, 'SS'), ' ') FROM activity.list(:'acme', client_ip => '203.0.113.7')
UNION ALL SELECT 'since, inclusive', string_agg(to_char(occurred_at, 'SS'), ' ') FROM activity.list(:'acme', since => '2023-01-01 00:00:03+00')
UNION ALL SELECT 'until, exclusive', string_agg(to_char(occurred_at, 'SS'), ' ') FROM activity.list(:'acme', until => '2023-01-01 00:00:03+00')
UNION ALL SELECT 'metadata', string_agg(to_char(occurred_at, 'SS'), ' ') FROM activity.list(:'acme', metadata => '{"tags": ["b"]}');

-- Several together; nothing fits all of the last.
SELECT occurred_at, action FROM activity.list(
    tenant_id => :'acme', action => 'read.*', actor_id => 'alice', object_type => 'file', object_id => '1',
    request_id => 'r-1', status => 'success', since => '2023-01-01', until => '2023-01-02', metadata => '{"size": 1}');
SELECT occurred_at, action FROM activity.list(
    tenant_id => :'acme', action => 'read.file.closed', client_ip => '203.0.113.7', object_id => '2');
SELECT count(*) FROM activity.list(tenant_id => :'acme', actor_id => 'alice', status => 'denied');

-- NULL and empty text mean not given.
SELECT count(*) FROM activity.list(
    tenant_id => :'acme', action => '', actor_id => NULL, object_type => '', object_id => NULL, request_id => '',
    status => '', client_ip => NULL, since => NULL, until => NULL, metadata => NULL, cursor => '', page_size => NULL);
SELECT count(*) FROM activity.list(tenant_id => :'acme', metadata => '{}', since => '-infinity', until => 'infinity');

-- A filter that can't be is refused.
SELECT * FROM activity.list(:'acme', action => 'read*');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(:'acme', action => '*');
SELECT * FROM activity.list(:'acme', status => 'great');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(:'acme', metadata => '[1]');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(:'acme', page_size => 0);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(:'acme', page_size => 1001);
SELECT * FROM activity.list(:'acme', page_size => -1);

-- Pages: the cursor of a row opens what follows it, also between two of the same time.
SELECT cursor AS first FROM activity.list(tenant_id => :'acme', page_size => 1) \gset
SELECT occurred_at, action FROM activity.list(tenant_id => :'acme', page_size => 2, cursor => :'first');
SELECT cursor AS second FROM activity.list(tenant_id => :'acme', page_size => 2, cursor => :'first') OFFSET 1 \gset
SELECT occurred_at, action FROM activity.list(tenant_id => :'acme', page_size => 2, cursor => :'second');
SELECT cursor AS last FROM activity.list(tenant_id => :'acme', page_size => 2, cursor => :'second') OFFSET 1 \gset
SELECT count(*) AS after_the_last FROM activity.list(tenant_id => :'acme', cursor => :'last');

-- A new event does not disturb a reader who is on the way; filters may change between pages.
SELECT activity.record('read.file.opened', tenant_id => :'acme', object_id => 'new', occurred_at => '2023-01-01 00:00:05+00') IS NOT NULL AS recorded;
SELECT occurred_at, action FROM activity.list(tenant_id => :'acme', page_size => 2, cursor => :'first');
SELECT occurred_at, action FROM activity.list(tenant_id => :'acme', actor_id => 'alice', cursor => :'second');

-- A cursor is URL-safe text, bound to its tenant; damaged, truncated or made up it is refused.
SELECT :'first' ~ '^[A-Za-z0-9_-]+$' AS url_safe;
SELECT * FROM activity.list(tenant_id => :'globex', cursor => :'first');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(tenant_id => :'acme', cursor => left(:'first', -1));
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(tenant_id => :'acme', cursor => overlay(:'first' PLACING CASE substr(:'first', 10, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM 10));
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.list(tenant_id => :'acme', cursor => :'first' || 'A');
SELECT * FROM activity.list(tenant_id => :'acme', cursor => '!');
SELECT * FROM activity.list(tenant_id => :'acme', cursor => repeat('A', 100000));

-- Reading assigns no transaction id.
BEGIN;
SELECT count(*) FROM activity.list(tenant_id => :'acme');
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_transaction_id;
ROLLBACK;
BEGIN READ ONLY;
SELECT count(*) FROM activity.list(tenant_id => :'acme', client_ip => '203.0.113.7');
ROLLBACK;

-- get(): one event by its id; nothing for an id that is nobody's, also one of another kind.
SELECT event_id AS id FROM activity.list(tenant_id => :'acme', object_id => 'new') \gset
SELECT tenant_id, action, object_id FROM activity.get(:'id');
SELECT count(*) FROM activity.get('019a0000-0000-7000-8000-000000000000');
SELECT count(*) FROM activity.get('7ead0000-0000-4000-8000-000000000001');
SELECT * FROM activity.get(NULL);
\echo :LAST_ERROR_SQLSTATE
