CREATE TABLE activity.action_versions (
    action           text COLLATE "C" NOT NULL,
    version          int NOT NULL,
    metadata_schema  jsonb,
    registered_by    text NOT NULL,
    registered_at    timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (action, version)
);
COMMENT ON TABLE activity.action_versions IS 'Every schema that an action''s metadata has had; events name the version they were checked against.';
