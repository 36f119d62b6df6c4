-- Two years of events in monthly partitions of the past, {events} in all, half of them of one
-- tenant. record() can't write into the past, so they are inserted as they would have been written.
DO $$
DECLARE
    v_now timestamptz := date_trunc('month', now(), 'UTC');
    v_from timestamptz;
    v_to timestamptz;
BEGIN
    FOR months IN 2..25 LOOP
        v_from := (v_now AT TIME ZONE 'UTC' - make_interval(months => months)) AT TIME ZONE 'UTC';
        v_to := (v_now AT TIME ZONE 'UTC' - make_interval(months => months - 1)) AT TIME ZONE 'UTC';
        EXECUTE format(
            'CREATE TABLE activity.%I PARTITION OF activity.events FOR VALUES FROM (%L) TO (%L)',
            'past_' || to_char(v_from AT TIME ZONE 'UTC', 'YYYY_MM'), v_from, v_to);
    END LOOP;
END
$$;

INSERT INTO activity.events
    (recorded_at, occurred_at, xact, gen, event_id, tenant_id, action, status, source, actor_type,
     actor_id, object_type, object_id, request_id, metadata)
SELECT at, at, pg_current_xact_id(), 1,
       (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(random, 1, 3)
           || '8' || substr(random, 4, 15))::uuid,
       CASE number % 2 WHEN 0 THEN '{tenant}' ELSE md5((number % 50)::text) END::uuid,
       'invoice.payment.received', 'success', 'api', 'user', 'user_' || number % 500,
       'invoice', 'inv_' || number % 10000, random,
       jsonb_build_object('invoice', 'inv_' || number % 10000, 'amount', number % 1000, 'currency', 'EUR')
FROM (
    SELECT number, md5(number::text) AS random, first + (last - first) * (number / {events}::float8) AS at
    FROM generate_series(0, {events} - 1) AS number,
         (SELECT min(lower) AS first, max(upper) AS last
          FROM (SELECT (regexp_match(bounds, 'FROM \(''(.*?)''\)'))[1]::timestamptz AS lower,
                       (regexp_match(bounds, 'TO \(''(.*?)''\)'))[1]::timestamptz AS upper
                FROM (SELECT pg_get_expr(relpartbound, oid) AS bounds FROM pg_class
                      WHERE relname LIKE 'past\_%' AND relkind = 'r') AS past) AS bounds) AS span
) AS spread;

CREATE ROLE bench_reader LOGIN IN ROLE activity_reader, pg_read_server_files;
GRANT EXECUTE ON FUNCTION pg_read_file(text) TO bench_reader;
