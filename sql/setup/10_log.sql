-- The log as a whole: its identity, where it is at home, and how it was set up. One row.
CREATE TABLE IF NOT EXISTS activity.log (
    is_one              boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    -- Stays the same through dump and restore; cursors are bound to it.
    log_id              uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    -- Where they differ from the server's, the database is a copy: see activity.migrate().
    system_identifier   text NOT NULL,
    database_oid        oid NOT NULL,
    schema_version      int NOT NULL,
    partition_interval  interval NOT NULL,
    premake             int NOT NULL,
    set_up_at           timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE activity.log IS 'Identity, home and options of this log; one row, written by setup() and migrate().';

-- The lives of the database, each with a number that events carry: transaction ids mean something
-- only inside one of them.
CREATE TABLE IF NOT EXISTS activity.incarnations (
    gen                 int PRIMARY KEY,
    system_identifier   text NOT NULL,
    timeline            bigint NOT NULL,
    database_oid        oid NOT NULL,
    began_at            timestamptz NOT NULL DEFAULT pg_catalog.now(),
    UNIQUE (system_identifier, timeline, database_oid)
);
COMMENT ON TABLE activity.incarnations IS 'Lives of the database: a new one after a promotion, a restore or a clone.';
