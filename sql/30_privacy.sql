-- The keys are the one table that belongs to the extension: it is not registered for dumps, so no
-- dump carries a key. No role has a right on it. Rows are made by setup(), migrate() and rotation.
CREATE TABLE activity.keys (
    epoch       int PRIMARY KEY,
    secret      bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE activity.keys IS 'Secrets of the key epochs: 0 for fingerprints, the others for addresses. Never dumped, readable by no role.';

-- No policy: members of pg_read_all_data see no row either.
ALTER TABLE activity.keys ENABLE ROW LEVEL SECURITY;

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON activity.keys
    FOR EACH STATEMENT EXECUTE FUNCTION activity._changed();
ALTER TABLE activity.keys ENABLE ALWAYS TRIGGER changed;
