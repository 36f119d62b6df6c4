CREATE TABLE activity.idempotency_keys (
    tenant_id        uuid NOT NULL,
    idempotency_key  text COLLATE "C" NOT NULL,
    event_id         uuid NOT NULL,
    recorded_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, idempotency_key)
);
COMMENT ON TABLE activity.idempotency_keys IS 'Keys of record() and the event that each stands for.';
-- Reached by functions only, also for members of pg_read_all_data.
ALTER TABLE activity.idempotency_keys ENABLE ROW LEVEL SECURITY;
