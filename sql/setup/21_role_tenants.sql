-- Pins: a role that stands here reaches the tenants it is listed with and no others.
CREATE TABLE activity.role_tenants (
    role_name  text NOT NULL,
    tenant_id  uuid NOT NULL,
    PRIMARY KEY (role_name, tenant_id)
);
COMMENT ON TABLE activity.role_tenants IS 'Pins of roles to tenants; a role without pins may set any tenant unless activity.require_pin is on.';
