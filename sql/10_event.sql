-- The public shape of an event: what every function that returns events returns.
CREATE TYPE activity.event AS (
    event_id        uuid,
    tenant_id       uuid,
    recorded_at     timestamptz,
    occurred_at     timestamptz,
    action          text,
    action_version  int,
    status          text,
    source          text,
    actor_type      text,
    actor_id        text,
    object_type     text,
    object_id       text,
    request_id      text,
    ip_prefix       text,
    user_agent      text,
    db_role         text,
    metadata        jsonb,
    changes         jsonb
);
COMMENT ON TYPE activity.event IS 'An event of the log as its readers see it.';
