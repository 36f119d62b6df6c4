-- What must not be removed whatever the policies say. An event is held where every part that is
-- given fits; released_at ends the hold, and the row stays.
CREATE TABLE activity.legal_holds (
    hold_id         uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    -- NULL: every tenant.
    tenant_id       uuid,
    actor_id        text COLLATE "C",
    object_type     text COLLATE "C",
    object_id       text COLLATE "C",
    reason          text NOT NULL,
    placed_at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
    placed_by       text NOT NULL,
    released_at     timestamptz,
    released_by     text,
    release_reason  text,
    CHECK (tenant_id IS NOT NULL OR actor_id IS NOT NULL OR object_type IS NOT NULL OR object_id IS NOT NULL)
);
COMMENT ON TABLE activity.legal_holds IS 'Legal holds on a tenant, an actor or an object; written by hold() and release_hold().';
