-- Event triggers that follow captured tables through DDL. They are no members of the extension: a
-- member fires all through a restore.
DO $event_triggers$
DECLARE
    v_name pg_catalog.text;
    v_event pg_catalog.text;
    v_function pg_catalog.text;
    v_filter pg_catalog.text;
BEGIN
    FOR v_name, v_event, v_function, v_filter IN VALUES
        ('activity_schema_changed', 'ddl_command_end', '_on_schema_change',
         ' WHEN TAG IN (''ALTER TABLE'', ''CREATE TABLE'', ''CREATE FOREIGN TABLE'', ''ALTER FOREIGN TABLE'', ''CREATE TRIGGER'', ''ALTER TRIGGER'', ''ALTER SCHEMA'', ''CREATE SCHEMA'')'),
        ('activity_dropped', 'sql_drop', '_on_drop', '')
    LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_catalog.pg_event_trigger e JOIN pg_catalog.pg_proc p ON p.oid = e.evtfoid
            WHERE e.evtname = v_name AND e.evtenabled = 'A'
              AND p.pronamespace = 'activity'::pg_catalog.regnamespace AND p.proname = v_function);
        EXECUTE pg_catalog.format('DROP EVENT TRIGGER IF EXISTS %I', v_name);
        EXECUTE pg_catalog.format('CREATE EVENT TRIGGER %I ON %s%s EXECUTE FUNCTION activity.%I()',
                                  v_name, v_event, v_filter, v_function);
        EXECUTE pg_catalog.format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', v_name);
    END LOOP;
END
$event_triggers$;
