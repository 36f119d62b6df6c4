-- The tenants, as far as the application wants to name them; events may belong to others.
CREATE TABLE IF NOT EXISTS activity.tenants (
    tenant_id    uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
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

-- Pins: a role that stands here reaches the tenants it is listed with and no others.
CREATE TABLE IF NOT EXISTS activity.role_tenants (
    role_name  text NOT NULL,
    tenant_id  uuid NOT NULL,
    PRIMARY KEY (role_name, tenant_id)
);
COMMENT ON TABLE activity.role_tenants IS 'Pins of roles to tenants; a role without pins may set any tenant unless activity.require_pin is on.';
