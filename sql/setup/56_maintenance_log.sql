-- What maintain() did, one row per step and run; old rows go by themselves.
CREATE TABLE activity.maintenance_log (
    entry_id     uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    run_id       uuid NOT NULL,
    step         text COLLATE "C" NOT NULL,
    partition    text COLLATE "C",
    started_at   timestamptz NOT NULL,
    finished_at  timestamptz NOT NULL,
    -- done: something changed. nothing: there was nothing to do. gave_up: somebody was in the way.
    -- failed: an error; the next run tries again.
    outcome      text COLLATE "C" NOT NULL CHECK (outcome IN ('done', 'nothing', 'gave_up', 'failed')),
    detail       jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE activity.maintenance_log IS 'Steps of maintain(): when, on which partition, with which outcome.';
CREATE INDEX maintenance_log_started_at_idx ON activity.maintenance_log (started_at);
