-- Whether the policy of activity_reader is there and as setup() made it; false before setup().
CREATE FUNCTION activity._has_reader_policy() RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $$
    SELECT EXISTS (
        SELECT FROM pg_policy p
        WHERE p.polrelid = to_regclass('activity.events')
          AND p.polname = 'reader_sees_tenant'
          AND p.polcmd = 'r'
          AND p.polpermissive
          AND p.polroles = ARRAY[to_regrole('activity_reader')::oid]
          AND pg_get_expr(p.polqual, p.polrelid) = '(tenant_id = ( SELECT activity.visible_tenant() AS visible_tenant))'
    )
$$;

-- What runs, what is missing, what to do. Reads the catalog, so it works before setup() as well.
CREATE FUNCTION activity.status()
RETURNS TABLE (area text, item text, value text, ok boolean, advice text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Bounds of partitions are printed and read back.
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $status$
DECLARE
    v_preloaded boolean := ',' || replace(current_setting('shared_preload_libraries'), ' ', '') || ',' LIKE '%,activity_log,%';
    v_is_set_up boolean := to_regclass('activity.events') IS NOT NULL AND to_regclass('activity.log') IS NOT NULL;
    v_version text := (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'activity_log');
    v_home boolean;
    v_key text;
    v_number bigint;
    v_is_fine boolean;
    v_until timestamptz;
BEGIN
    RETURN QUERY VALUES
        ('extension', 'version', v_version, true, NULL::text),
        ('extension', 'library', CASE WHEN v_preloaded THEN 'preloaded' ELSE 'loaded on first use' END, v_preloaded,
            CASE WHEN NOT v_preloaded THEN 'Add activity_log to shared_preload_libraries, so that settings are checked from the first statement of a session on.' END);
    IF NOT v_is_set_up THEN
        RETURN QUERY VALUES ('log', 'set up', 'no', false, 'SELECT activity.setup();');
        RETURN;
    END IF;

    v_home := activity._is_home();
    RETURN QUERY SELECT 'log', 'set up', l.set_up_at::text, true, NULL::text FROM activity.log l;
    RETURN QUERY VALUES ('log', 'home',
        CASE WHEN v_home THEN 'this database' ELSE 'another database' END, coalesce(v_home, false),
        CASE WHEN v_home IS NOT TRUE THEN 'restored copy: SELECT activity.migrate() takes it over' END);

    SELECT count(*), max(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz)
    INTO v_number, v_until
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'activity.events'::regclass;
    RETURN QUERY VALUES
        ('partitions', 'attached', v_number::text, v_number > 0,
            CASE WHEN v_number = 0 THEN 'SELECT activity.setup();' END),
        ('partitions', 'made until', v_until::text, coalesce(v_until > now() + interval '30 days', false),
            CASE WHEN (v_until > now() + interval '30 days') IS NOT TRUE THEN 'SELECT activity.setup(); makes partitions ahead.' END);

    SELECT EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'activity.events'::regclass
          AND now() >= substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''([^'']+)''\)')::timestamptz
          AND now() < substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz
    ) INTO v_is_fine;
    RETURN QUERY VALUES ('partitions', 'takes events now', CASE WHEN v_is_fine THEN 'yes' ELSE 'no' END, v_is_fine,
        CASE WHEN NOT v_is_fine THEN 'SELECT activity.setup(); or attach the partition again that was detached.' END);

    IF to_regclass('activity.maintenance_log') IS NOT NULL THEN
        RETURN QUERY SELECT * FROM activity._retention_status();
    END IF;

    SELECT count(*) INTO v_number
    FROM (SELECT 'activity.events'::regclass::oid AS relation
          UNION ALL SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = 'activity.events'::regclass) r
    WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = r.relation AND t.tgname = 'append_only' AND t.tgenabled = 'A');
    RETURN QUERY VALUES ('protection', 'tables that are not append only', v_number::text, v_number = 0,
        CASE WHEN v_number > 0 THEN 'SELECT activity.setup(); puts the guards back. Find out who took them away.' END);

    SELECT count(*) INTO v_number
    FROM pg_class c
    WHERE c.relrowsecurity IS NOT TRUE
      AND (c.oid = 'activity.events'::regclass
           OR c.oid IN (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = 'activity.events'::regclass));
    RETURN QUERY VALUES ('protection', 'tables without row security', v_number::text, v_number = 0,
        CASE WHEN v_number > 0 THEN 'ALTER TABLE ... ENABLE ROW LEVEL SECURITY on each of them.' END);
    SELECT r.rolsuper AND NOT EXISTS (
        SELECT FROM aclexplode(n.nspacl) a WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner)
    INTO v_is_fine
    FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
    WHERE n.nspname = 'activity';
    RETURN QUERY VALUES ('protection', 'schema ruled by superusers only', CASE WHEN v_is_fine THEN 'yes' ELSE 'no' END, v_is_fine,
        CASE WHEN NOT v_is_fine THEN 'ALTER SCHEMA activity OWNER TO a superuser; REVOKE CREATE ON SCHEMA activity from everybody else.' END);

    v_is_fine := activity._has_reader_policy();
    RETURN QUERY VALUES ('protection', 'policy of activity_reader',
        CASE WHEN v_is_fine THEN 'present' ELSE 'missing or changed' END, v_is_fine,
        CASE WHEN NOT v_is_fine THEN 'SELECT activity.setup(); puts it back. Find out who changed it.' END);

    SELECT count(*) INTO v_number
    FROM pg_policy p
    WHERE p.polpermissive
      AND NOT (p.polrelid = 'activity.events'::regclass AND p.polname = 'reader_sees_tenant')
      AND NOT (p.polname = 'auditors_see_restored'
               AND EXISTS (SELECT FROM activity.restored_archives r WHERE to_regclass('activity.' || quote_ident(r.table_name)) = p.polrelid))
      AND p.polrelid IN (SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'activity'::regnamespace);
    RETURN QUERY VALUES ('protection', 'policies that setup() did not make', v_number::text, v_number = 0,
        CASE WHEN v_number > 0 THEN 'Each lets somebody see more: SELECT * FROM pg_policies WHERE schemaname = ''activity'';' END);

    SELECT count(*) INTO v_number
    FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
    WHERE a.grantee <> c.relowner
      AND (c.oid IN ('activity.keys'::regclass, 'activity.idempotency_keys'::regclass)
           OR c.oid IN (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = 'activity.events'::regclass));
    RETURN QUERY VALUES ('protection', 'grants on keys and partitions', v_number::text, v_number = 0,
        CASE WHEN v_number > 0 THEN 'REVOKE them: nobody reads these tables directly.' END);

    RETURN QUERY
        SELECT 'protection', 'role ' || r.name, 'missing or without rights', false,
               'DROP EXTENSION activity_log CASCADE; CREATE EXTENSION activity_log; SELECT activity.setup(); keeps every event, and makes new keys where they lie in the table.'
        FROM unnest(ARRAY['activity_writer', 'activity_reader', 'activity_auditor', 'activity_admin']) AS r(name)
        WHERE to_regrole(r.name) IS NULL
           OR NOT has_schema_privilege(to_regrole(r.name), 'activity', 'USAGE');
    RETURN QUERY
        SELECT 'protection', 'role ' || r.rolname, 'has rights that it must not have', false,
               format('ALTER ROLE %I NOLOGIN NOSUPERUSER NOCREATEROLE NOBYPASSRLS;', r.rolname)
        FROM pg_roles r
        WHERE r.rolname IN ('activity_writer', 'activity_reader', 'activity_auditor', 'activity_admin')
          AND (r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolbypassrls);

    SELECT count(*) INTO v_number
    FROM activity.role_tenants t
    WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = t.role_name);
    RETURN QUERY VALUES ('protection', 'pins of roles that do not exist', v_number::text, v_number = 0,
        CASE WHEN v_number > 0 THEN 'The role that was meant is not pinned: SELECT * FROM activity.role_tenants;' END);

    IF to_regclass('activity.captures') IS NOT NULL THEN
        SELECT count(*) INTO v_number FROM activity.captures;
        RETURN QUERY VALUES ('capture', 'captured tables', v_number::text, true, NULL::text);
        SELECT count(*) INTO v_number FROM activity._capture_soundness(NULL) s WHERE NOT s.is_sound;
        RETURN QUERY VALUES ('capture', 'triggers missing or disabled', v_number::text, v_number = 0,
            CASE WHEN v_number > 0 THEN 'SELECT * FROM activity.coverage(); shows where. SELECT activity.setup(); puts them back. Find out who took them away.' END);
        SELECT count(*) INTO v_number FROM activity._captured_tables() t WHERE t.relation IS NULL;
        RETURN QUERY VALUES ('capture', 'tables that are gone', v_number::text, v_number = 0,
            CASE WHEN v_number > 0 THEN 'SELECT * FROM activity.coverage(); names them. SELECT activity.setup(); forgets them.' END);
        SELECT count(*) INTO v_number FROM activity.captures c
        WHERE c.paused_at IS NOT NULL AND (c.paused_until IS NULL OR c.paused_until > clock_timestamp());
        RETURN QUERY VALUES ('capture', 'paused tables', v_number::text, v_number = 0,
            CASE WHEN v_number > 0 THEN 'SELECT * FROM activity.coverage(); names them. SELECT activity.resume(...);' END);
        RETURN QUERY
            SELECT 'capture', format('%I.%I', c.schema_name, c.table_name), c.state, false, c.advice
            FROM activity.coverage() c
            WHERE c.object_type IS NOT NULL AND c.state <> 'active';
        -- The last of them are enough to know, and old ones can't be helped any more.
        SELECT count(*) INTO v_number
        FROM (SELECT FROM activity.events e
              WHERE e.tenant_id = '00000000-0000-0000-0000-000000000000' AND e.source = 'capture'
                AND e.metadata @> '{"missing_tenant": true}'
                AND e.recorded_at > now() - interval '7 days'
              ORDER BY e.occurred_at DESC LIMIT 1000) AS missing;
        RETURN QUERY VALUES ('capture', 'changes without a tenant', CASE WHEN v_number = 1000 THEN '1000 or more' ELSE v_number::text END, v_number = 0,
            CASE WHEN v_number > 0 THEN 'In the last seven days. Their rows name a tenant that activity.tenants does not know, or none: they are in the log of the system tenant.' END);
        v_number := activity._missing_event_triggers();
        RETURN QUERY VALUES ('capture', 'missing event triggers', v_number::text, v_number = 0,
            CASE WHEN v_number > 0 THEN 'SELECT activity.setup(); puts them back. Without them changes of captured tables go unnoticed.' END);
    END IF;

    v_key := activity._key_state();
    RETURN QUERY VALUES ('privacy', 'key for addresses', v_key, v_key = 'file',
        CASE v_key
            WHEN 'table' THEN 'The key lies in the database''s own files: name a file outside with activity.key_file, then SELECT activity.rotate_ip_key();'
            WHEN 'unusable' THEN 'Addresses are stored as networks only. activity.key_file must name a file outside the data directory that the server can read, with 64 hexadecimal digits; the server''s log says what is wrong.'
            WHEN 'missing' THEN 'Addresses are stored as networks only: SELECT activity.migrate(); or activity.rotate_ip_key() begins a new key epoch.'
        END);

    SELECT count(*) INTO v_number FROM activity.actions a WHERE a.retired_at IS NULL;
    RETURN QUERY VALUES ('registry', 'actions', v_number::text, v_number > 0,
        CASE WHEN v_number = 0 THEN 'SELECT activity.install_taxonomy(''saas''); or activity.register_action(...)' END);
    RETURN QUERY VALUES
        ('registry', 'mode', current_setting('activity.registry'), current_setting('activity.registry') = 'enforce',
            CASE WHEN current_setting('activity.registry') <> 'enforce' THEN 'activity.registry = enforce refuses events that fit no registered action.' END),
        ('record', 'on_error', current_setting('activity.on_error'), current_setting('activity.on_error') = 'raise',
            CASE WHEN current_setting('activity.on_error') <> 'raise' THEN 'Events that can''t be recorded are lost with a warning.' END);
    RETURN QUERY SELECT 'worker', w.item, w.value, w.ok, w.advice FROM activity._worker_status() w;
END
$status$;
