-- The log itself. The columns stand in the order that wastes no byte on alignment, and
-- src/record/insert.rs writes them in this order.
CREATE TABLE activity.events (
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

-- Finds one event by its id, whoever asks. Ids increase with time: this index grows at its end.
CREATE INDEX events_event_id_idx ON activity.events (event_id);
CREATE INDEX events_action_idx ON activity.events (tenant_id, action, occurred_at, event_id);
CREATE INDEX events_actor_idx ON activity.events (tenant_id, actor_id, occurred_at, event_id)
    WHERE actor_id IS NOT NULL;
CREATE INDEX events_object_idx ON activity.events (tenant_id, object_id, object_type, occurred_at, event_id)
    WHERE object_id IS NOT NULL;
CREATE INDEX events_request_idx ON activity.events (tenant_id, request_id, occurred_at)
    WHERE request_id IS NOT NULL;
CREATE INDEX events_ip_hash_idx ON activity.events (tenant_id, ip_hash, occurred_at)
    WHERE ip_hash IS NOT NULL;
-- What has become visible since a snapshot, for streaming and sealing.
CREATE INDEX events_stream_idx ON activity.events (tenant_id, gen, xact, event_id);
-- What happened to a captured table as a whole: TRUNCATE, and statements that were summed up.
CREATE INDEX events_table_idx ON activity.events (tenant_id, object_type, event_id)
    WHERE object_id IS NULL AND changes IS NULL AND object_type IS NOT NULL;
