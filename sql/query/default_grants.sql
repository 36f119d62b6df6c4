-- The statements that take back what default privileges gave away on relations of the schema,
-- except on those that are listed in $1.
SELECT DISTINCT pg_catalog.format('REVOKE ALL ON TABLE %s FROM %s', c.oid::regclass,
           CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
FROM pg_catalog.pg_class c
CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
WHERE c.relnamespace = 'activity'::regnamespace
  AND c.relkind IN ('r', 'p', 'v')
  AND a.grantee <> c.relowner
  AND c.oid <> ALL ($1)
