-- The lives of the database, each with a number that events carry: transaction ids mean something
-- only inside one of them.
CREATE TABLE activity.incarnations (
    gen                 int PRIMARY KEY,
    system_identifier   text NOT NULL,
    timeline            bigint NOT NULL,
    database_oid        oid NOT NULL,
    began_at            timestamptz NOT NULL DEFAULT pg_catalog.now(),
    UNIQUE (system_identifier, timeline, database_oid)
);
COMMENT ON TABLE activity.incarnations IS 'Lives of the database: a new one after a promotion, a restore or a clone.';
