-- Tables that restore_archive() has made in the schema activity.
CREATE TABLE activity.restored_archives (
    table_name     text COLLATE "C" PRIMARY KEY,
    -- The manifest, and the digest of the lines it was restored from.
    manifest       text NOT NULL,
    lines_sha256   text NOT NULL,
    rows           bigint NOT NULL,
    restored_at    timestamptz NOT NULL DEFAULT pg_catalog.now(),
    restored_by    text NOT NULL
);
COMMENT ON TABLE activity.restored_archives IS 'Archives that were brought back as tables; written by restore_archive() and drop_restored_archive().';
