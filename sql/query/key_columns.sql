-- The columns of the key of table $1 by which its rows are named: the primary key, or that of its
-- replica identity. With the type of each, below its domains, where that is one of the server's own.
WITH RECURSIVE key AS (
    SELECT i.indkey, i.indrelid
    FROM pg_catalog.pg_index i
    WHERE i.indrelid = $1 AND i.indisvalid AND (i.indisprimary OR i.indisreplident)
    ORDER BY i.indisprimary DESC
    LIMIT 1
), part AS (
    SELECT k.place, a.attname::text AS name, a.atttypid AS type
    FROM key, LATERAL unnest(key.indkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = $1 AND a.attnum = k.number
), base AS (
    SELECT place, type FROM part
    UNION ALL
    SELECT b.place, t.typbasetype FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typbasetype <> 0
)
SELECT p.name,
       (SELECT t.oid::pg_catalog.regtype::text FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type
        WHERE b.place = p.place AND t.typbasetype = 0 AND t.oid < 16384)
FROM part p
ORDER BY p.place
