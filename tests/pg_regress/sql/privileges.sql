-- Privileges: who may call and read what. The owner's own rights are left out.

-- Every function: volatility (i, s, v), parallel safety (s, r, u), SECURITY DEFINER, its settings,
-- and who may execute it. PUBLIC stands only where Postgres clones a trigger.
SELECT p.proname AS function, p.provolatile AS volatile, p.proparallel AS parallel,
       p.prosecdef AS definer, p.proconfig AS config,
       (SELECT string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, ' ' ORDER BY a.grantee::regrole::text)
        FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
        WHERE a.grantee <> p.proowner) AS execute
FROM pg_proc p WHERE p.pronamespace = 'activity'::regnamespace
ORDER BY p.proname;

-- The contract of every public function: none is overloaded, none is strict.
\pset format unaligned
\pset tuples_only on
SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ') -> ' || pg_get_function_result(p.oid) AS signature
FROM pg_proc p WHERE p.pronamespace = 'activity'::regnamespace AND p.proname !~ '^_'
ORDER BY 1;
\pset format aligned
\pset tuples_only off
SELECT count(*) AS functions, count(DISTINCT proname) AS names, count(*) FILTER (WHERE proisstrict AND pronargs > 0) AS strict
FROM pg_proc WHERE pronamespace = 'activity'::regnamespace;

-- Every table: row security, and who may do what.
SELECT c.relname AS "table", c.relrowsecurity AS row_security,
       (SELECT string_agg(t.grants, ', ' ORDER BY t.grants)
        FROM (SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END || ' '
                     || string_agg(lower(a.privilege_type), '+' ORDER BY a.privilege_type) AS grants
              FROM aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner GROUP BY a.grantee) AS t) AS grants
FROM pg_class c
WHERE c.relnamespace = 'activity'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
ORDER BY c.relname;

-- Partitions: row security without any policy, and no grants.
SELECT count(*) > 0 AS some, bool_and(c.relrowsecurity) AS row_security,
       sum((SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid)) AS policies,
       sum((SELECT count(*) FROM aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner)) AS grants
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'activity.events'::regclass;

-- No column has a right of its own.
SELECT count(*) AS column_grants FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'activity'::regnamespace AND a.attacl IS NOT NULL;

-- The policy, and the triggers that guard and announce.
SELECT tablename, policyname, permissive, roles, cmd, qual, with_check
FROM pg_policies WHERE schemaname = 'activity';
SELECT t.tgrelid::regclass AS "table", t.tgname, t.tgenabled, t.tgfoid::regproc AS function
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'activity'::regnamespace AND NOT c.relispartition AND NOT t.tgisinternal
ORDER BY t.tgrelid::regclass::text, t.tgname;

-- The schema, the types and the roles.
SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee, a.privilege_type
FROM pg_namespace n, aclexplode(n.nspacl) AS a
WHERE n.nspname = 'activity' AND a.grantee <> n.nspowner ORDER BY 1, 2;
SELECT m.roleid::regrole AS role, m.member::regrole AS member FROM pg_auth_members m
WHERE m.roleid::regrole::text LIKE 'activity\_%' OR m.member::regrole::text LIKE 'activity\_%' ORDER BY m.roleid::regrole::text, m.member::regrole::text;
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls
FROM pg_roles WHERE rolname LIKE 'activity\_%' ORDER BY rolname;

-- Nothing belongs to the extension but code and the key table: no rows, jobs or event triggers.
-- Which row and array types count as members is not the same on every major.
SELECT d.classid::regclass AS catalog, count(*) AS members FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'activity_log')
  AND d.classid <> 'pg_type'::regclass
GROUP BY d.classid ORDER BY d.classid::regclass::text;
SELECT count(*) AS event_triggers FROM pg_event_trigger;
