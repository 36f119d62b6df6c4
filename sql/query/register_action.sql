-- One registration: $1 action, $2 description, $3 metadata_schema, $4 severity, $5 category,
-- $6 object_type, $7 controls, $8 keep, $9 who registers. NULL leaves what is there.
-- Returns the version and whether anything changed. The caller holds a lock on the table.
WITH before AS (
    SELECT a.*, v.metadata_schema
    FROM activity.actions a
    JOIN activity.action_versions v USING (action, version)
    WHERE a.action = $1
), version AS (
    SELECT coalesce((
        SELECT CASE WHEN $3 IS NULL OR $3 IS NOT DISTINCT FROM b.metadata_schema
                    THEN b.version ELSE b.version + 1 END
        FROM before b
    ), 1) AS number
), versioned AS (
    INSERT INTO activity.action_versions (action, version, metadata_schema, registered_by)
    SELECT $1, number, $3, $9 FROM version
    ON CONFLICT (action, version) DO NOTHING
), after AS (
    INSERT INTO activity.actions AS a
        (action, version, description, severity, category, object_type, controls, keep)
    SELECT $1, number, $2, coalesce($4, 'info'), $5, $6, coalesce($7, '{}'), $8 FROM version
    ON CONFLICT (action) DO UPDATE SET
        version = excluded.version,
        description = coalesce($2, a.description),
        severity = coalesce($4, a.severity),
        category = coalesce($5, a.category),
        object_type = coalesce($6, a.object_type),
        controls = coalesce($7, a.controls),
        keep = coalesce($8, a.keep),
        retired_at = NULL
    RETURNING a.*
)
SELECT after.version,
       NOT EXISTS (
           SELECT FROM before
           WHERE (before.version, before.description, before.severity, before.category,
                  before.object_type, before.controls, before.keep, before.retired_at)
                 IS NOT DISTINCT FROM
                 (after.version, after.description, after.severity, after.category,
                  after.object_type, after.controls, after.keep, after.retired_at)
       )
FROM after
