-- The tenants, as far as the application wants to name them; events may belong to others.
CREATE TABLE activity.tenants (
    -- The nil UUID is the platform itself and no tenant of an application.
    tenant_id    uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid() CHECK (tenant_id <> '00000000-0000-0000-0000-000000000000'),
    slug         text UNIQUE,
    name         text,
    -- The application's own identifier where that is no UUID: activity.tenant(external_id).
    external_id  text UNIQUE,
    is_active    boolean NOT NULL DEFAULT true,
    limits       jsonb NOT NULL DEFAULT '{}',
    metadata     jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE activity.tenants IS 'Names of tenants; activity.tenant(external_id) finds the UUID of one whose id is no UUID.';
