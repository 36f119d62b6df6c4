-- The log itself. The columns stand in the order that wastes no byte on alignment, and
-- src/record/insert.rs writes them in this order.
CREATE TABLE IF NOT EXISTS activity.events (
    recorded_at     timestamptz NOT NULL,
    occurred_at     timestamptz NOT NULL,
    xact            xid8 NOT NULL,
    gen             int NOT NULL,
    action_version  int,
    event_id        uuid NOT NULL,
    tenant_id       uuid NOT NULL,
    action          text COLLATE "C" NOT NULL,
    status          text COLLATE "C" NOT NULL CONSTRAINT events_status_check CHECK (status IN ('success', 'failure', 'error', 'denied')),
    source          text COLLATE "C" NOT NULL CONSTRAINT events_source_check CHECK (source IN ('api', 'capture', 'import', 'system')),
    actor_type      text COLLATE "C",
    actor_id        text COLLATE "C",
    object_type     text COLLATE "C",
    object_id       text COLLATE "C",
    request_id      text COLLATE "C",
    ip_hash         bytea,
    ip_prefix       cidr,
    user_agent      text,
    db_role         text COLLATE "C",
    metadata        jsonb NOT NULL,
    changes         jsonb,
    -- The tenant's timeline, newest occurrence first when read backwards.
    PRIMARY KEY (tenant_id, occurred_at, event_id, recorded_at)
) PARTITION BY RANGE (recorded_at);
COMMENT ON TABLE activity.events IS 'The log: append only, partitioned by the time of recording, read through row security or activity.list().';

-- CREATE INDEX IF NOT EXISTS would wait for every writer before it finds the index.
DO $indexes$
DECLARE
    v_index record;
BEGIN
    FOR v_index IN
        SELECT * FROM (VALUES
            -- Finds one event by its id, whoever asks. Ids increase with time: it grows at its end.
            ('events_event_id_idx', '(event_id)'),
            ('events_action_idx', '(tenant_id, action, occurred_at, event_id)'),
            ('events_actor_idx', '(tenant_id, actor_id, occurred_at, event_id) WHERE actor_id IS NOT NULL'),
            ('events_object_idx', '(tenant_id, object_id, object_type, occurred_at, event_id) WHERE object_id IS NOT NULL'),
            ('events_request_idx', '(tenant_id, request_id, occurred_at) WHERE request_id IS NOT NULL'),
            ('events_ip_hash_idx', '(tenant_id, ip_hash, occurred_at) WHERE ip_hash IS NOT NULL'),
            -- What has become visible since a snapshot, for streaming and sealing.
            ('events_stream_idx', '(tenant_id, gen, xact, event_id)')
        ) AS wanted (name, definition)
        WHERE pg_catalog.to_regclass('activity.' || wanted.name) IS NULL
    LOOP
        EXECUTE pg_catalog.format('CREATE INDEX %I ON activity.events %s', v_index.name, v_index.definition);
    END LOOP;
END
$indexes$;

CREATE TABLE IF NOT EXISTS activity.idempotency_keys (
    tenant_id        uuid NOT NULL,
    idempotency_key  text COLLATE "C" NOT NULL,
    event_id         uuid NOT NULL,
    recorded_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, idempotency_key)
);
COMMENT ON TABLE activity.idempotency_keys IS 'Keys of record() and the event that each stands for.';
-- Reached by functions only, also for members of pg_read_all_data.
ALTER TABLE activity.idempotency_keys ENABLE ROW LEVEL SECURITY;
