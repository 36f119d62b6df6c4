-- The tables whose changes are captured. Triggers name the row by its id; the name and the OID of
-- the table are what was last seen of it, and are brought up to date after DDL and restore.
CREATE TABLE activity.captures (
    capture_id         uuid PRIMARY KEY,
    -- A hint for the database that is its home: a restore gives tables other OIDs.
    relation           oid NOT NULL,
    schema_name        text NOT NULL,
    table_name         text NOT NULL,
    -- Fixed for good: what events call the table, whatever it is renamed to.
    object_type        text COLLATE "C" NOT NULL UNIQUE,
    action_prefix      text COLLATE "C" NOT NULL,
    tenant_column      text,
    tenant_id          uuid,
    actor_column       text,
    excluded           text[] NOT NULL DEFAULT '{}',
    redacted           text[] NOT NULL DEFAULT '{}',
    ignored            text[] NOT NULL DEFAULT '{}',
    -- {"name": attnum} of all columns at the last look, so that a rename is told from a new column.
    columns            jsonb NOT NULL,
    -- {"attnum": type} at the last look, for what a change of type is told from.
    column_types       jsonb NOT NULL DEFAULT '{}',
    -- {"oid": "schema.name"} of its partitions at the last look.
    partitions         jsonb NOT NULL DEFAULT '{}',
    -- Whether every trigger was in place at the last look: each change of this is an event.
    is_intact          boolean NOT NULL DEFAULT true,
    level              text NOT NULL DEFAULT 'auto' CONSTRAINT captures_level_check CHECK (level IN ('row', 'statement', 'auto')),
    scrub              boolean NOT NULL DEFAULT true,
    on_missing_tenant  text NOT NULL DEFAULT 'system' CONSTRAINT captures_on_missing_tenant_check CHECK (on_missing_tenant IN ('system', 'error')),
    -- Whether changes that arrive by replication are captured.
    replicated         boolean NOT NULL DEFAULT true,
    paused_at          timestamptz,
    -- NULL while paused: until somebody resumes it.
    paused_until       timestamptz,
    pause_reason       text,
    attached_at        timestamptz NOT NULL DEFAULT pg_catalog.now(),
    attached_by        text NOT NULL
);
COMMENT ON TABLE activity.captures IS 'Captured tables and how each is captured; written by attach(), detach(), pause(), resume() and after DDL.';
