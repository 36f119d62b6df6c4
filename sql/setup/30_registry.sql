CREATE TABLE IF NOT EXISTS activity.actions (
    action         text COLLATE "C" PRIMARY KEY,
    version        int NOT NULL,
    description    text,
    severity       text NOT NULL DEFAULT 'info',
    category       text,
    object_type    text,
    -- Controls of compliance frameworks that the action serves, as in 'SOC2:CC6.1'.
    controls       text[] NOT NULL DEFAULT '{}',
    -- How long its events are kept; NULL leaves it to the retention policies.
    keep           interval,
    registered_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    retired_at     timestamptz
);
COMMENT ON TABLE activity.actions IS 'Registered actions with their current version.';

CREATE TABLE IF NOT EXISTS activity.action_versions (
    action           text COLLATE "C" NOT NULL,
    version          int NOT NULL,
    metadata_schema  jsonb,
    registered_by    text NOT NULL,
    registered_at    timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (action, version)
);
COMMENT ON TABLE activity.action_versions IS 'Every schema that an action''s metadata has had; events name the version they were checked against.';
