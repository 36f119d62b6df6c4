-- How far each durable consumer of the stream has come.
CREATE TABLE activity.consumer_cursors (
    name        text COLLATE "C" PRIMARY KEY,
    -- NULL stands for every tenant.
    tenant_id   uuid,
    -- Actions and prefixes of actions; none means all.
    actions     text[] NOT NULL,
    cursor      text NOT NULL,
    -- Who made it, and may use it.
    role_name   text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    acked_at    timestamptz
);
COMMENT ON TABLE activity.consumer_cursors IS 'Durable consumers of the stream, with the cursor that each has acknowledged.';
-- Reached by functions and through the view only, also for members of pg_read_all_data.
ALTER TABLE activity.consumer_cursors ENABLE ROW LEVEL SECURITY;
