-- Two months of long ago with {events} events each: one is a partition, the other a table of its own
-- with the same indexes. Both are filled first and indexed then.
DO $$
DECLARE
    v_from timestamptz := timestamptz '2019-01-01 00:00+00';
    v_to timestamptz := timestamptz '2019-02-01 00:00+00';
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['activity.events_p2019_01', 'plain_month'] LOOP
        EXECUTE format('CREATE TABLE %s (LIKE activity.events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', v_table);
        EXECUTE format(
            $insert$
            INSERT INTO %s (recorded_at, occurred_at, xact, gen, event_id, tenant_id, action, status, source, actor_type,
                            actor_id, object_type, object_id, request_id, metadata)
            SELECT at, at, '1', 1,
                   (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(random, 1, 3)
                       || '8' || substr(random, 4, 15))::uuid,
                   md5((number %% 50)::text)::uuid, 'invoice.payment.received', 'success', 'api', 'user', 'user_' || number %% 500,
                   'invoice', 'inv_' || number %% 10000, random,
                   jsonb_build_object('invoice', 'inv_' || number %% 10000, 'amount', number %% 1000, 'currency', 'EUR')
            FROM (SELECT number, md5(number::text) AS random, %L::timestamptz + number * (%L::timestamptz - %L::timestamptz) / {events} AS at
                  FROM generate_series(0, {events} - 1) AS number) AS spread
            $insert$, v_table, v_from, v_to, v_from);
    END LOOP;
    EXECUTE format('ALTER TABLE activity.events ATTACH PARTITION activity.events_p2019_01 FOR VALUES FROM (%L) TO (%L)', v_from, v_to);
END
$$;
-- The same indexes, which LIKE takes from a partition.
CREATE TABLE plain_month_indexed (LIKE activity.events_p2019_01 INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
DO $$
DECLARE
    v_index text;
BEGIN
    FOR v_index IN
        SELECT replace(replace(pg_get_indexdef(indexrelid), 'plain_month_indexed', 'plain_month'), ' INDEX plain_month', ' INDEX of_plain_month')
        FROM pg_index WHERE indrelid = 'plain_month_indexed'::regclass
    LOOP
        EXECUTE v_index;
    END LOOP;
END
$$;
DROP TABLE plain_month_indexed;
SELECT activity.setup();
VACUUM ANALYZE plain_month;
VACUUM ANALYZE activity.events_p2019_01;
CALL activity.maintain();
SELECT activity.set_retention('1 year', confirm => true);
CHECKPOINT;
