-- Rights on the tables, granted line by line. Whatever default privileges of the database would
-- give away is taken back first.
DO $grants$
DECLARE
    v_table regclass;
BEGIN
    FOR v_table IN
        SELECT c.oid::regclass FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'activity'::regnamespace AND c.relkind IN ('r', 'p', 'v')
          AND c.relacl IS NULL
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON TABLE %s FROM PUBLIC', v_table);
    END LOOP;
END
$grants$;

-- Row security decides which rows.
GRANT SELECT ON activity.events TO activity_reader;
-- The registry holds no tenant's data.
GRANT SELECT ON activity.actions, activity.action_versions TO activity_writer, activity_reader, activity_auditor, activity_admin;
GRANT SELECT ON activity.log, activity.incarnations, activity.key_epochs TO activity_auditor, activity_admin;
GRANT SELECT ON activity.tenants, activity.role_tenants TO activity_auditor;
GRANT SELECT, INSERT, UPDATE, DELETE ON activity.tenants, activity.role_tenants TO activity_admin;
