-- The lives of the database, each with a number that events carry: transaction ids mean something
-- only inside one of them. Lives stand in the order of their homes, and of the timelines in a home.
CREATE TABLE activity.incarnations (
    gen                 int PRIMARY KEY,
    -- 1 where setup() ran, one more wherever the log was taken over.
    home                int NOT NULL,
    -- Of the server: a promotion begins another.
    timeline            bigint NOT NULL,
    system_identifier   text NOT NULL,
    database_oid        oid NOT NULL,
    began_at            timestamptz NOT NULL DEFAULT pg_catalog.now(),
    UNIQUE (home, timeline)
);
COMMENT ON TABLE activity.incarnations IS 'Lives of the database: a new one after a promotion, a restore or a clone.';
