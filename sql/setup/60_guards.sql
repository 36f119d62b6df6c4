-- What DROP EXTENSION takes along and a reinstall has to bring back: triggers and policies that
-- call functions of the extension. Nothing here touches an object that is as it should be.
DO $guards$
DECLARE
    v_table pg_catalog.regclass;
    v_kept_with pg_catalog.text;
BEGIN
    -- A guard on the parent alone would let TRUNCATE of a partition through.
    FOR v_table IN
        SELECT 'activity.events'::pg_catalog.regclass
        UNION ALL
        SELECT i.inhrelid::pg_catalog.regclass FROM pg_catalog.pg_inherits i WHERE i.inhparent = 'activity.events'::pg_catalog.regclass
        UNION ALL
        SELECT c.oid::pg_catalog.regclass FROM activity.restored_archives a JOIN pg_catalog.pg_class c
            ON c.relname = a.table_name AND c.relnamespace = 'activity'::pg_catalog.regnamespace
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = v_table AND t.tgname = 'append_only') THEN
            EXECUTE pg_catalog.format(
                'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s '
                'FOR EACH STATEMENT EXECUTE FUNCTION activity._append_only()', v_table);
        END IF;
        IF EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = v_table AND t.tgname = 'append_only' AND t.tgenabled <> 'A') THEN
            EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only', v_table);
        END IF;
        IF NOT (SELECT c.relrowsecurity FROM pg_catalog.pg_class c WHERE c.oid = v_table) THEN
            EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', v_table);
        END IF;
    END LOOP;

    -- What notices an event that comes after a partition was closed; maintain() makes it.
    FOR v_table IN
        SELECT c.oid::pg_catalog.regclass
        FROM activity.partition_ranges r
        JOIN pg_catalog.pg_class c ON c.relname = r.partition AND c.relnamespace = 'activity'::pg_catalog.regnamespace AND c.relkind = 'r'
        WHERE r.closed_at IS NOT NULL
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'reopened')
    LOOP
        EXECUTE pg_catalog.format('CREATE TRIGGER reopened BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION activity._reopened()', v_table);
        EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER reopened', v_table);
    END LOOP;

    -- Sessions keep what they read of these tables until they are told otherwise.
    -- What is kept of versions, epochs and rules is kept under the count of actions, keys and captures.
    FOR v_table, v_kept_with IN VALUES
        ('activity.log'::pg_catalog.regclass, 'log'), ('activity.incarnations', 'incarnations'),
        ('activity.role_tenants', 'role_tenants'), ('activity.actions', 'actions'),
        ('activity.action_versions', 'actions'), ('activity.key_epochs', 'keys'),
        ('activity.captures', 'captures'), ('activity.capture_rules', 'captures'),
        ('activity.tenants', 'tenants'),
        ('activity.partition_ranges', 'partition_ranges')
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = v_table AND t.tgname = 'changed') THEN
            EXECUTE pg_catalog.format(
                'CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s '
                'FOR EACH STATEMENT EXECUTE FUNCTION activity._changed(%L)', v_table, v_kept_with);
            EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER changed', v_table);
        END IF;
    END LOOP;

    -- A restored archive is read directly, by those who may read every tenant, and within their pins.
    FOR v_table IN
        SELECT c.oid::pg_catalog.regclass FROM activity.restored_archives a JOIN pg_catalog.pg_class c
            ON c.relname = a.table_name AND c.relnamespace = 'activity'::pg_catalog.regnamespace
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'auditors_see_restored')
    LOOP
        EXECUTE pg_catalog.format(
            'CREATE POLICY auditors_see_restored ON %s FOR SELECT TO activity_auditor, activity_admin '
            'USING (activity._may_read(tenant_id))', v_table);
        EXECUTE pg_catalog.format('GRANT SELECT ON %s TO activity_auditor, activity_admin', v_table);
    END LOOP;

    IF NOT activity._has_reader_policy() THEN
        DROP POLICY IF EXISTS reader_sees_tenant ON activity.events;
        CREATE POLICY reader_sees_tenant ON activity.events FOR SELECT TO activity_reader
            USING (tenant_id = (SELECT activity.visible_tenant()));
    END IF;
END
$guards$;
