-- What the catalog can't tell of partitions that take no more events: when their events occurred,
-- where their archive lies, and which of them are gone. Bounds of attached partitions are the
-- catalog's. A row stays when its table is dropped: it is the proof of what was removed.
CREATE TABLE activity.partition_ranges (
    -- The table in the schema activity.
    partition         text COLLATE "C" PRIMARY KEY,
    lower_bound       timestamptz NOT NULL,
    upper_bound       timestamptz NOT NULL,
    -- open: takes events, or did so after it was closed. closed: attached, takes no more events.
    -- detaching: on its way out. detached: a table of its own. dropped: the table is gone.
    state             text COLLATE "C" NOT NULL CHECK (state IN ('open', 'closed', 'detaching', 'detached', 'dropped')),
    -- When the earliest and the latest of its events occurred; NULL while unknown or if it has none.
    oldest            timestamptz,
    newest            timestamptz,
    rows              bigint,
    bytes             bigint,
    closed_at         timestamptz,
    -- What retention has done to the rows, so that it need not look again: under which policies
    -- (their digest), and when.
    swept_policies    text,
    swept_at          timestamptz,
    -- Since when it would be gone, but for a legal hold.
    held_since        timestamptz,
    -- The archive that was written and verified last: its file, digest, rows and tenants, and until
    -- when it has to be kept (NULL: for ever).
    archive_file      text,
    archive_manifest  text,
    archive_sha256    text,
    archive_rows      bigint,
    archive_tenants   uuid[],
    archive_keep_until timestamptz,
    archived_at       timestamptz,
    detached_at       timestamptz,
    dropped_at        timestamptz,
    -- Idempotency keys live as long as the partition of their event.
    keys_purged_at    timestamptz
);
COMMENT ON TABLE activity.partition_ranges IS 'Partitions that take no more events: range of occurrence, archive, and when they were closed, detached and dropped. Written by maintain().';
-- Reached by functions and the view activity.partitions only.
ALTER TABLE activity.partition_ranges ENABLE ROW LEVEL SECURITY;
