-- Which key epochs there are. The secrets are elsewhere: in activity.keys, which no dump carries,
-- or derived from the key file.
CREATE TABLE IF NOT EXISTS activity.key_epochs (
    epoch       int PRIMARY KEY,
    source      text NOT NULL CHECK (source IN ('table', 'file')),
    -- Public identifier of the key file's master key.
    key_id      bytea,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE activity.key_epochs IS 'Key epochs of address hashes (0: fingerprints) and where their secrets come from.';
