-- How long events are kept. A scope that is NULL in all three parts is the default.
CREATE TABLE activity.retention_policies (
    policy_id   uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    tenant_id   uuid,
    -- A category of the registry, or an action, exact or as in 'auth.*'; never both.
    category    text COLLATE "C",
    action      text COLLATE "C",
    preset      text COLLATE "C",
    -- Counted from recorded_at; NULL keeps for ever.
    keep        interval,
    -- How long in the database before it is in the archive only; NULL: for as long as it is kept.
    online      interval,
    -- Folder on the server that partitions are archived to before they are dropped.
    archive_to  text,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    created_by  text NOT NULL,
    CHECK (category IS NULL OR action IS NULL)
);
COMMENT ON TABLE activity.retention_policies IS 'How long events are kept, by tenant, category or action; written by set_retention(). No policy: for ever.';
-- The nil UUID is a tenant (the platform itself), so NULL must not look like it.
CREATE UNIQUE INDEX retention_policies_scope_idx ON activity.retention_policies
    ((tenant_id IS NULL), coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'), coalesce(category, ''), coalesce(action, ''));
