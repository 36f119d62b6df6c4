-- The log as a stream: cursors, bookmarks, filters, consumers.
\set ON_ERROR_STOP 0
SET activity.registry = off;
\set tenant '\'5ea30000-0000-4000-8000-000000000001\''
\set other '\'5ea30000-0000-4000-8000-000000000002\''

-- From now on.
SELECT activity.stream_start() AS start \gset
SELECT event_id IS NULL AS is_bookmark, action FROM activity.read_stream(:tenant, :'start');

SELECT count(activity.record('order.placed', jsonb_build_object('n', n), :tenant)) FROM generate_series(1, 3) n;
SELECT count(activity.record('order.paid', tenant_id => :tenant));
SELECT count(activity.record('order.placed', tenant_id => :other));

-- Everything once, and a bookmark behind it.
SELECT event_id IS NULL AS is_bookmark, action, metadata, next_cursor ~ '^[A-Za-z0-9_-]+$' AS is_url_safe
FROM activity.read_stream(:tenant, :'start');

-- In pages: one that is full has no bookmark.
SELECT event_id IS NULL AS is_bookmark, metadata, next_cursor AS last
FROM activity.read_stream(:tenant, :'start', page_size => 2) WITH ORDINALITY ORDER BY ordinality DESC LIMIT 1 \gset
\echo :is_bookmark :metadata
SELECT event_id IS NULL AS is_bookmark, action, metadata FROM activity.read_stream(:tenant, :'last', page_size => 500);

-- Only some actions.
SELECT action FROM activity.read_stream(:tenant, :'start', actions => ARRAY['order.paid', 'refund.*']) WHERE event_id IS NOT NULL;
SELECT count(event_id) FROM activity.read_stream(:tenant, :'start', actions => '{order.*}');

-- Of every tenant, for who may.
SELECT tenant_id, count(*) FROM activity.read_stream(cursor => :'start') WHERE action LIKE 'order.%' GROUP BY 1 ORDER BY 1;

-- What is written in this transaction comes when it is committed.
BEGIN;
SELECT count(activity.record('order.shipped', tenant_id => :tenant));
SELECT count(event_id) FROM activity.read_stream(:tenant, :'start');
COMMIT;
SELECT count(event_id) FROM activity.read_stream(:tenant, :'start');

-- From a time on.
SELECT count(event_id) FROM activity.read_stream(:tenant, activity.stream_start(at => now() - interval '1 day'));
SELECT count(event_id) FROM activity.read_stream(:tenant, activity.stream_start(at => now() + interval '1 day'));

-- Refused.
SELECT * FROM activity.read_stream(:other, :'last');
SELECT * FROM activity.read_stream(:tenant, 'no cursor');
SELECT * FROM activity.read_stream(:tenant, page_size => 0);
SELECT * FROM activity.read_stream(:tenant, actions => '{Order}');

-- Consumers.
SELECT activity.create_consumer('shipping', :tenant, ARRAY['order.*']) ~ '^[A-Za-z0-9_-]+$' AS has_cursor;
SELECT count(activity.record('order.shipped', tenant_id => :tenant)) FROM generate_series(1, 3);
SELECT name, actions, lag_events, lag_seconds > 0 AS lags, held_by IS NULL AS is_free, problem FROM activity.consumers;
BEGIN;
SELECT next_cursor AS reached FROM activity.poll('shipping', 2) WITH ORDINALITY ORDER BY ordinality DESC LIMIT 1 \gset
SELECT activity.ack('shipping', :'reached') AS began \gset
SELECT count(event_id) FROM activity.poll('shipping');
COMMIT;
SELECT lag_events, held_by = pg_backend_pid() AS is_mine FROM activity.consumers;
SELECT activity.ack('shipping', :'began') = :'reached' AS gives_back_the_other;
SELECT count(event_id) FROM activity.poll('shipping');
SELECT activity.create_consumer('shipping', :other);
SELECT activity.create_consumer('Not A Name');
SELECT activity.ack('shipping', 'no cursor');
SELECT activity.drop_consumer('shipping');
SELECT * FROM activity.poll('shipping');
