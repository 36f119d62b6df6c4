-- Notices an event that comes into a partition after it was closed, which only a superuser or a
-- session that was held up for long can do: what is known of the partition no longer holds.
CREATE FUNCTION activity._reopened() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE activity.partition_ranges r
    SET state = 'open', closed_at = NULL, oldest = NULL, newest = NULL, rows = NULL,
        swept_policies = NULL, swept_at = NULL, archived_at = NULL
    WHERE r.partition = TG_TABLE_NAME AND r.closed_at IS NOT NULL;
    RETURN NEW;
END
$$;

-- One run of the maintenance. The rights of the steps are theirs; what commits between them must
-- be a procedure with the caller's rights and without settings of its own, so every name and
-- operator here is spelt out.
CREATE PROCEDURE activity.maintain(INOUT summary jsonb DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
    v_obstacle pg_catalog.text := activity._begin_maintenance();
    v_step pg_catalog.text;
    v_wait pg_catalog.float8;
    v_is_first pg_catalog.bool;
BEGIN
    IF v_obstacle IS NOT NULL THEN
        summary := pg_catalog.jsonb_build_object('skipped', v_obstacle);
        RETURN;
    END IF;
    COMMIT;
    -- What a step decides on has to be what is committed at that moment.
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    FOREACH v_step IN ARRAY activity._maintenance_steps() LOOP
        v_is_first := true;
        LOOP
            v_wait := activity._maintain_step(v_step, v_is_first);
            COMMIT;
            SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
            EXIT WHEN v_wait IS NULL;
            v_is_first := false;
            PERFORM pg_catalog.pg_sleep(v_wait);
        END LOOP;
    END LOOP;
    summary := activity._end_maintenance();
END
$$;

-- What is known of each partition; see the view.
CREATE FUNCTION activity._partitions()
RETURNS TABLE (partition text, lower_bound timestamptz, upper_bound timestamptz, state text, rows bigint, bytes bigint,
               index_bytes bigint, oldest timestamptz, newest timestamptz, held_since timestamptz, archive text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Bounds are printed and read back.
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
BEGIN
    IF to_regclass('activity.events') IS NULL OR to_regclass('activity.partition_ranges') IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        WITH attached AS (
            SELECT c.oid, c.relname::text AS name, c.reltuples, i.inhdetachpending AS is_leaving,
                   substring(b FROM 'FROM \(''([^'']+)''\)')::timestamptz AS lower_bound,
                   substring(b FROM 'TO \(''([^'']+)''\)')::timestamptz AS upper_bound
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            CROSS JOIN LATERAL pg_get_expr(c.relpartbound, c.oid) b
            WHERE i.inhparent = 'activity.events'::regclass
        )
        SELECT coalesce(a.name, r.partition), coalesce(a.lower_bound, r.lower_bound), coalesce(a.upper_bound, r.upper_bound),
               CASE WHEN a.name IS NULL AND t.oid IS NULL THEN 'archived'
                    WHEN a.name IS NULL OR a.is_leaving THEN 'detached'
                    WHEN a.lower_bound > now() THEN 'future'
                    WHEN a.upper_bound > now() THEN 'live'
                    WHEN r.held_since IS NOT NULL THEN 'held'
                    WHEN r.closed_at IS NOT NULL THEN 'closed'
                    ELSE 'live' END,
               CASE WHEN t.oid IS NULL THEN r.archive_rows
                    -- The statistics of writers know of a partition that was never analysed.
                    ELSE coalesce(r.rows, nullif(pg_stat_get_live_tuples(t.oid), 0), nullif(t.reltuples, -1)::bigint, 0) END,
               CASE WHEN t.oid IS NULL THEN 0 ELSE pg_table_size(t.oid) END,
               CASE WHEN t.oid IS NULL THEN 0 ELSE pg_indexes_size(t.oid) END,
               r.oldest, r.newest, r.held_since, CASE WHEN r.archived_at IS NOT NULL THEN r.archive_manifest END
        FROM attached a
        FULL JOIN activity.partition_ranges r ON r.partition = a.name
        LEFT JOIN pg_class t ON t.relname = coalesce(a.name, r.partition) AND t.relnamespace = 'activity'::regnamespace
        -- What was dropped without an archive is in activity.partition_ranges only.
        WHERE a.name IS NOT NULL OR r.state <> 'dropped' OR r.archived_at IS NOT NULL
        ORDER BY 2;
END
$$;

CREATE VIEW activity.partitions AS SELECT * FROM activity._partitions();

-- What status() says of retention.
CREATE FUNCTION activity._retention_status()
RETURNS TABLE (area text, item text, value text, ok boolean, advice text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_last timestamptz;
    v_run uuid;
    v_number bigint;
    v_text text;
    v_is_run boolean;
BEGIN
    SELECT l.finished_at, l.run_id INTO v_last, v_run
    FROM activity.maintenance_log l WHERE l.step = 'run' ORDER BY l.started_at DESC LIMIT 1;
    v_is_run := CASE
        WHEN v_last IS NOT NULL THEN v_last > now() - interval '1 day'
        -- The worker has still to come to it.
        ELSE current_setting('activity.maintenance_interval') <> '0'
             AND ',' || replace(current_setting('shared_preload_libraries'), ' ', '') || ',' LIKE '%,activity_log,%'
             AND (SELECT l.set_up_at FROM activity.log l) > now() - interval '1 day'
    END;
    RETURN QUERY VALUES ('retention', 'maintain() ran last', coalesce(v_last::text, 'never'),
        coalesce(v_is_run, false),
        CASE WHEN v_is_run IS NOT TRUE THEN
            'Let something call it: the preloaded worker, SELECT activity.schedule_maintenance(); with pg_cron, or any cron with psql -c ''CALL activity.maintain()''.' END);

    SELECT count(*), string_agg(DISTINCT concat_ws(' ', l.step, l.partition, l.detail ->> 'sqlstate'), ', ')
    INTO v_number, v_text
    FROM activity.maintenance_log l
    WHERE l.run_id = v_run AND l.outcome IN ('gave_up', 'failed') AND l.step <> 'run';
    RETURN QUERY VALUES ('retention', 'steps that did not get through', v_number::text, v_number = 0,
        CASE WHEN v_number > 0 THEN format('%s. 55P03 means that somebody holds a lock: look for long transactions in pg_stat_activity. SELECT * FROM activity.maintenance_log;', v_text) END);

    SELECT count(*) INTO v_number FROM activity._partitions() p WHERE p.state = 'future';
    RETURN QUERY VALUES ('retention', 'partitions ahead', v_number::text, v_number >= 3,
        CASE WHEN v_number < 3 THEN 'CALL activity.maintain();' END);

    SELECT count(*) INTO v_number FROM activity._partitions() p WHERE p.held_since IS NOT NULL;
    RETURN QUERY VALUES ('retention', 'partitions kept by a hold', v_number::text, v_number = 0,
        CASE WHEN v_number > 0 THEN 'They would be gone but for a legal hold: SELECT * FROM activity.legal_holds WHERE released_at IS NULL;' END);

    SELECT count(*) INTO v_number
    FROM activity.partition_ranges r WHERE r.state = 'detaching' AND r.swept_at < now() - interval '1 hour';
    RETURN QUERY VALUES ('retention', 'partitions that can''t be detached', v_number::text, v_number = 0,
        CASE WHEN v_number > 0 THEN 'Long transactions are in the way. The preloaded worker or pg_cron detach concurrently; maintain() by itself waits for 40 ms only.' END);

    -- Larger than this a partition is slow to archive, to vacuum and to restore.
    SELECT count(*), min(p.partition) INTO v_number, v_text
    FROM activity._partitions() p WHERE p.bytes + p.index_bytes > 100::bigint << 30;
    RETURN QUERY VALUES ('retention', 'partitions over 100 GB', v_number::text, v_number = 0,
        CASE WHEN v_number > 0 THEN format('%s is one. SELECT activity.setup(partition_interval => ...) makes them shorter from the next period on.', v_text) END);

    SELECT count(*) INTO v_number FROM activity.retention_policies;
    RETURN QUERY VALUES ('retention', 'policies', v_number::text, true, NULL::text);
END
$$;
