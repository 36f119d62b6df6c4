-- Whether one of the functions $1 or types $2, or of the types those are made of, belongs to
-- somebody else than a superuser or the role $3, or lies in a temporary schema.
WITH RECURSIVE used AS (
    SELECT unnest($2) AS oid
    UNION
    SELECT part.oid
    FROM used u JOIN pg_catalog.pg_type t ON t.oid = u.oid
    CROSS JOIN LATERAL (
        SELECT t.typelem WHERE t.typelem <> 0
        UNION ALL
        SELECT t.typbasetype WHERE t.typbasetype <> 0
        UNION ALL
        SELECT a.atttypid FROM pg_catalog.pg_attribute a
        WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
    ) part (oid)
), owned AS (
    SELECT p.proowner AS owner, p.pronamespace AS schema FROM pg_catalog.pg_proc p WHERE p.oid = ANY ($1)
    UNION ALL
    SELECT t.typowner, t.typnamespace FROM pg_catalog.pg_type t JOIN used USING (oid)
)
SELECT EXISTS (
    SELECT FROM owned o
    JOIN pg_catalog.pg_roles r ON r.oid = o.owner
    JOIN pg_catalog.pg_namespace n ON n.oid = o.schema
    WHERE NOT (r.rolsuper OR r.oid = $3) OR n.nspname LIKE 'pg\_temp\_%'
)
