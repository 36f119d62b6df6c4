-- The columns that a capture treats in its own way, each with what is done with it: $1 is the
-- capture, $2 the table whose trigger fired. A column that was renamed while nobody was told is
-- found by its number, where the numbers are known to be of this table: what was excluded stays so.
WITH capture AS (
    SELECT c.columns, CASE WHEN c.relation IN ($2, pg_partition_root($2)) THEN c.relation END AS known,
           c.excluded, c.redacted, c.ignored, c.tenant_column, c.actor_column
    FROM activity.captures c WHERE c.capture_id = $1
), named AS (
    SELECT 'excluded' AS treatment, unnest(c.excluded) AS name FROM capture c
    UNION ALL SELECT 'redacted', unnest(c.redacted) FROM capture c
    UNION ALL SELECT 'ignored', unnest(c.ignored) FROM capture c
    UNION ALL SELECT 'tenant', c.tenant_column FROM capture c WHERE c.tenant_column IS NOT NULL
    UNION ALL SELECT 'actor', c.actor_column FROM capture c WHERE c.actor_column IS NOT NULL
)
SELECT n.treatment, n.name FROM named n
UNION
SELECT n.treatment, a.attname::text
FROM capture c JOIN named n ON jsonb_typeof(c.columns -> n.name) = 'number'
JOIN pg_attribute a ON a.attrelid = c.known AND a.attnum = (c.columns ->> n.name)::int2 AND NOT a.attisdropped
