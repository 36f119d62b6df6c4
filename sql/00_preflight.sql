-- What has to be true before anything else: the database speaks UTF-8, nobody but superusers rules
-- over the schema, and the four roles that policies and grants name exist. Roles belong to the cluster and are not in a database's dump, so
-- the install script makes those that are missing. It makes nothing else outside the extension.
DO $preflight$
DECLARE
    v_role text;
BEGIN
    IF pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.<>) 'UTF8' THEN
        RAISE EXCEPTION 'activity_log needs a database with encoding UTF8'
            USING ERRCODE = 'feature_not_supported';
    END IF;
    -- The owner of a schema may drop what is in it, and a function of somebody else beside ours
    -- could be taken for ours.
    IF EXISTS (
        SELECT FROM pg_catalog.pg_namespace n
        JOIN pg_catalog.pg_roles r ON NOT r.rolsuper
        WHERE n.nspname OPERATOR(pg_catalog.=) 'activity'
          AND (r.oid OPERATOR(pg_catalog.=) n.nspowner
               OR EXISTS (SELECT FROM pg_catalog.pg_proc p
                          WHERE p.pronamespace OPERATOR(pg_catalog.=) n.oid AND p.proowner OPERATOR(pg_catalog.=) r.oid)
               OR EXISTS (SELECT FROM pg_catalog.pg_class c
                          WHERE c.relnamespace OPERATOR(pg_catalog.=) n.oid AND c.relowner OPERATOR(pg_catalog.=) r.oid))
    ) THEN
        RAISE EXCEPTION 'schema "activity", or something in it, belongs to a role that is no superuser'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Look at what is in it; then drop it, or give it to a superuser.';
    END IF;
    FOREACH v_role IN ARRAY ARRAY['activity_writer', 'activity_reader', 'activity_auditor', 'activity_admin'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) v_role) THEN
            BEGIN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', v_role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                -- Another database of the cluster is installing at this moment.
                NULL;
            END;
        END IF;
        IF EXISTS (
            SELECT FROM pg_catalog.pg_roles r
            WHERE r.rolname OPERATOR(pg_catalog.=) v_role
              AND (r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolbypassrls)
        ) THEN
            RAISE EXCEPTION 'role "%" exists and can log in or has rights that it must not have', v_role
                USING ERRCODE = 'invalid_role_specification',
                      HINT = pg_catalog.format('ALTER ROLE %I NOLOGIN NOSUPERUSER NOCREATEROLE NOBYPASSRLS, or rename it.', v_role);
        END IF;
    END LOOP;
END
$preflight$;
