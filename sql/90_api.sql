-- The public surface: everything is taken back, then granted line by line to who needs it.
DO $revoke$
DECLARE
    v_statement text;
BEGIN
    -- Also what default privileges of the database gave to some role.
    FOR v_statement IN
        SELECT pg_catalog.format('REVOKE ALL ON ROUTINE %s FROM %s', p.oid::pg_catalog.regprocedure,
                   CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::pg_catalog.text END)
        FROM pg_catalog.pg_proc p
        CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
        WHERE p.pronamespace OPERATOR(pg_catalog.=) 'activity'::pg_catalog.regnamespace
          AND a.grantee OPERATOR(pg_catalog.<>) p.proowner
          AND EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
                        AND d.objid OPERATOR(pg_catalog.=) p.oid AND d.deptype OPERATOR(pg_catalog.=) 'e')
        UNION ALL
        SELECT pg_catalog.format('REVOKE ALL ON TABLE %s FROM %s', c.oid::pg_catalog.regclass,
                   CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::pg_catalog.text END)
        FROM pg_catalog.pg_class c
        CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
        WHERE c.oid OPERATOR(pg_catalog.=) ANY (ARRAY['activity.keys', 'activity.partitions']::pg_catalog.regclass[]::pg_catalog.oid[])
          AND a.grantee OPERATOR(pg_catalog.<>) c.relowner
    LOOP
        EXECUTE v_statement;
    END LOOP;
END
$revoke$;
REVOKE ALL ON SCHEMA activity FROM PUBLIC;
DO $revoke_create$
DECLARE
    v_grantee pg_catalog.oid;
BEGIN
    -- Who may create in the schema can put a function of the same name beside ours.
    FOR v_grantee IN
        SELECT a.grantee
        FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) a
        WHERE n.nspname OPERATOR(pg_catalog.=) 'activity'
          AND a.grantee OPERATOR(pg_catalog.<>) n.nspowner
          AND a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA activity FROM %s', v_grantee::pg_catalog.regrole);
    END LOOP;
END
$revoke_create$;
GRANT USAGE ON SCHEMA activity TO activity_writer, activity_reader, activity_auditor, activity_admin;

-- A function without arguments is declared STRICT by pgrx. That changes nothing, but says that it
-- may be skipped, and none of these may.
ALTER FUNCTION activity.migrate() CALLED ON NULL INPUT;
ALTER FUNCTION activity.clear_context() CALLED ON NULL INPUT;
ALTER FUNCTION activity.rotate_ip_key() CALLED ON NULL INPUT;
ALTER FUNCTION activity.coverage() CALLED ON NULL INPUT;
ALTER FUNCTION activity.retention_preview() CALLED ON NULL INPUT;
ALTER FUNCTION activity.unschedule_maintenance() CALLED ON NULL INPUT;

-- Set-up -----------------------------------------------------------------------------------------
GRANT EXECUTE ON FUNCTION activity.setup TO activity_admin;
COMMENT ON FUNCTION activity.setup IS 'Makes everything that holds data, once; run again, it makes what is missing. partition_interval: whole days or months, default 1 month. premake: periods ahead, default 12.';
GRANT EXECUTE ON FUNCTION activity.migrate TO activity_admin;
COMMENT ON FUNCTION activity.migrate IS 'Takes a restored or cloned log over and brings its tables up to the installed code.';
GRANT EXECUTE ON FUNCTION activity.status TO activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.status IS 'What runs, what is missing, and what to do about it.';

-- Context ----------------------------------------------------------------------------------------
GRANT EXECUTE ON FUNCTION activity.set_context TO activity_writer, activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.set_context IS 'Replaces the whole context of the transaction, or of the session with is_local => false; returns the tenant.';
GRANT EXECUTE ON FUNCTION activity.clear_context TO activity_writer, activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.clear_context IS 'Empties the context of the transaction and of the session.';
GRANT EXECUTE ON FUNCTION activity.context TO activity_writer, activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.context IS 'The context as a document, without what is unset.';
GRANT EXECUTE ON FUNCTION activity.client_ip TO activity_writer, activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.client_ip IS 'The client''s address from X-Forwarded-For or X-Real-IP and the peer, right to left, past the trusted proxies.';
GRANT EXECUTE ON FUNCTION activity.tenant TO activity_writer, activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.tenant IS 'The UUID of the tenant that the application knows by this external_id.';

-- Record -----------------------------------------------------------------------------------------
GRANT EXECUTE ON FUNCTION activity.record TO activity_writer, activity_admin;
COMMENT ON FUNCTION activity.record IS 'Records one event and returns its id. What is not given comes from the context.';
GRANT EXECUTE ON FUNCTION activity.record_many TO activity_writer, activity_admin;
COMMENT ON FUNCTION activity.record_many IS 'Records an array of events with the argument names of record(); on_error is raise or skip.';
GRANT EXECUTE ON FUNCTION activity.record_login TO activity_writer, activity_admin;
COMMENT ON FUNCTION activity.record_login IS 'Records auth.login.success or auth.login.failure (taxonomy saas).';
GRANT EXECUTE ON FUNCTION activity.record_logout TO activity_writer, activity_admin;
COMMENT ON FUNCTION activity.record_logout IS 'Records auth.logout (taxonomy saas).';
GRANT EXECUTE ON FUNCTION activity.helper_sql TO activity_writer, activity_admin;
COMMENT ON FUNCTION activity.helper_sql IS 'The text of a CREATE FUNCTION: a typed wrapper of record() for one action, generated from its schema.';

-- Registry ---------------------------------------------------------------------------------------
GRANT EXECUTE ON FUNCTION activity.register_action TO activity_admin;
COMMENT ON FUNCTION activity.register_action IS 'Registers an action, or changes it; a changed schema is a new version. Returns the version.';
GRANT EXECUTE ON FUNCTION activity.register_actions TO activity_admin;
COMMENT ON FUNCTION activity.register_actions IS 'Registers an array of actions, all or none.';
GRANT EXECUTE ON FUNCTION activity.retire_action TO activity_admin;
COMMENT ON FUNCTION activity.retire_action IS 'Forbids further events of an action; false if it was retired already.';
GRANT EXECUTE ON FUNCTION activity.install_taxonomy TO activity_admin;
COMMENT ON FUNCTION activity.install_taxonomy IS 'Registers the actions of a taxonomy that comes with the extension: saas or ops. Returns how many were new.';
GRANT EXECUTE ON FUNCTION activity.check_event TO activity_writer, activity_admin;
COMMENT ON FUNCTION activity.check_event IS 'What would be wrong with an event, without recording it; no rows if nothing is.';

-- Stream: notification ----------------------------------------------------------------------------
GRANT EXECUTE ON FUNCTION activity.channel TO activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.channel IS 'The channel on which a tenant''s readers are told of new events; of all tenants for an auditor who names none.';
GRANT EXECUTE ON FUNCTION activity.listen TO activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.listen IS 'Listens on the channel of a tenant, and on the one that everybody is told on; returns the channel.';
GRANT EXECUTE ON FUNCTION activity.record_durable TO activity_writer, activity_admin;
COMMENT ON FUNCTION activity.record_durable IS 'record() whose event stays though the transaction is rolled back: the worker writes it at once. Needs preloading.';

-- Metrics ----------------------------------------------------------------------------------------
GRANT USAGE ON SCHEMA activity TO pg_monitor;
GRANT EXECUTE ON FUNCTION activity.metrics TO activity_auditor, activity_admin, pg_monitor;
COMMENT ON FUNCTION activity.metrics IS 'The figures of this database: events, refusals, the worker.';
GRANT EXECUTE ON FUNCTION activity.prometheus TO activity_auditor, activity_admin, pg_monitor;
COMMENT ON FUNCTION activity.prometheus IS 'The same as text that Prometheus scrapes.';

-- Privacy ----------------------------------------------------------------------------------------
GRANT EXECUTE ON FUNCTION activity.rotate_ip_key TO activity_admin;
COMMENT ON FUNCTION activity.rotate_ip_key IS 'Begins a new epoch of the key that addresses are hashed with; earlier ones still serve search.';

-- Capture ----------------------------------------------------------------------------------------
-- Whoever makes a partition of a captured table makes the clone of its row trigger, with his own
-- rights. The function does nothing on a table that is not captured.
GRANT EXECUTE ON FUNCTION activity._capture_row TO PUBLIC;
GRANT EXECUTE ON FUNCTION activity.attach TO activity_admin;
COMMENT ON FUNCTION activity.attach IS 'Captures the changes of a table that the caller owns; returns the capture''s id. The tenant comes from tenant_column (tenant_id where the table has it), else tenant_id, else the context. level: auto, row or statement. replicated: also what arrives by replication.';
GRANT EXECUTE ON FUNCTION activity.detach TO activity_admin;
COMMENT ON FUNCTION activity.detach IS 'Ends the capture of a table; what was captured stays. Returns the capture''s id.';
GRANT EXECUTE ON FUNCTION activity.pause TO activity_admin;
COMMENT ON FUNCTION activity.pause IS 'Stops the capture of a table until resume(), or until a time; the reason is recorded. Returns the capture''s id.';
GRANT EXECUTE ON FUNCTION activity.resume TO activity_admin;
COMMENT ON FUNCTION activity.resume IS 'Ends a pause; returns the capture''s id.';
GRANT EXECUTE ON FUNCTION activity.on_change TO activity_admin;
COMMENT ON FUNCTION activity.on_change IS 'Records an event of its own when a row of a captured table makes a transition: when_condition and metadata are SQL over OLD and NEW. Returns the rule''s id.';
GRANT EXECUTE ON FUNCTION activity.drop_rule TO activity_admin;
COMMENT ON FUNCTION activity.drop_rule IS 'Ends a rule of on_change(); returns its id.';
GRANT EXECUTE ON FUNCTION activity.coverage TO activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.coverage IS 'Every table with the state of its capture, and what to do about it.';
GRANT EXECUTE ON FUNCTION activity.object_history TO activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.object_history IS 'Everything that happened to one object, newest first, with a row for each field that changed.';
GRANT EXECUTE ON FUNCTION activity.row_as_of TO activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.row_as_of IS 'A row of a captured table as it stood at a time, told by the log; $inexact lists the columns that are not exact. NULL if there was none.';

-- Read -------------------------------------------------------------------------------------------
GRANT EXECUTE ON FUNCTION activity.list TO activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.list IS 'One page of a tenant''s log, newest occurrence first; a row''s cursor gives what follows it.';
GRANT EXECUTE ON FUNCTION activity.get TO activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.get IS 'One event by its id; no row if there is none for the reader.';
-- Called by the policy on activity.events as the role that reads.
GRANT EXECUTE ON FUNCTION activity.visible_tenant TO activity_reader;
COMMENT ON FUNCTION activity.visible_tenant IS 'The tenant whose events row security lets the current user see: that of the context.';

-- Stream -----------------------------------------------------------------------------------------
GRANT EXECUTE ON FUNCTION activity.read_stream TO activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.read_stream IS 'Events that have become visible since the cursor, each once, then a row that has only next_cursor; without tenant_id, auditors read every tenant.';
GRANT EXECUTE ON FUNCTION activity.stream_start TO activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.stream_start IS 'A cursor for read_stream(): from now on, or from a time of recording on.';
GRANT EXECUTE ON FUNCTION activity.create_consumer TO activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.create_consumer IS 'Makes a durable consumer of the stream that begins now, or goes on with one that is there with the same arguments; returns its cursor.';
GRANT EXECUTE ON FUNCTION activity.poll TO activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.poll IS 'What follows the cursor that the consumer has acknowledged, as read_stream() gives it; the session holds the consumer from then on.';
GRANT EXECUTE ON FUNCTION activity.ack TO activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.ack IS 'Moves a consumer to a cursor, forward or back; returns the one that it replaces.';
GRANT EXECUTE ON FUNCTION activity.drop_consumer TO activity_reader, activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.drop_consumer IS 'Forgets a consumer and its cursor.';
-- Called by the view consumers as the role that reads it.
GRANT EXECUTE ON FUNCTION activity._consumer_lag TO activity_reader, activity_auditor, activity_admin;
-- Retention --------------------------------------------------------------------------------------
GRANT EXECUTE ON PROCEDURE activity.maintain TO activity_admin;
COMMENT ON PROCEDURE activity.maintain IS 'One run of the upkeep: makes partitions ahead, closes past ones, removes what retention gives up. Commits between its steps.';
-- Called by the procedure as its caller.
GRANT EXECUTE ON FUNCTION activity._begin_maintenance, activity._maintenance_steps, activity._maintain_step, activity._end_maintenance TO activity_admin;
GRANT EXECUTE ON FUNCTION activity.set_retention TO activity_admin;
COMMENT ON FUNCTION activity.set_retention IS 'How long events are kept: all, a tenant''s, those of a category or an action. Making it shorter needs confirm => true.';
GRANT EXECUTE ON FUNCTION activity.retention_preview TO activity_auditor, activity_admin;
COMMENT ON FUNCTION activity.retention_preview IS 'What retention would remove if maintain() ran now, by partition.';
GRANT EXECUTE ON FUNCTION activity.hold TO activity_admin;
COMMENT ON FUNCTION activity.hold IS 'Puts a tenant, an actor or an object under legal hold: nothing of it is removed until release_hold(). Returns the hold''s id.';
GRANT EXECUTE ON FUNCTION activity.release_hold TO activity_admin;
COMMENT ON FUNCTION activity.release_hold IS 'Ends a legal hold; false if it was ended before.';
GRANT EXECUTE ON FUNCTION activity.schedule_maintenance TO activity_admin;
COMMENT ON FUNCTION activity.schedule_maintenance IS 'Registers maintain() with pg_cron; where that lives in another database, returns the statements to run there.';
GRANT EXECUTE ON FUNCTION activity.unschedule_maintenance TO activity_admin;
COMMENT ON FUNCTION activity.unschedule_maintenance IS 'Takes the jobs of this database out of pg_cron.';
-- The view runs the function as whoever reads it.
GRANT EXECUTE ON FUNCTION activity._partitions TO activity_auditor, activity_admin;
GRANT SELECT ON activity.partitions TO activity_auditor, activity_admin;
COMMENT ON VIEW activity.partitions IS 'Partitions: bounds, state (future, live, closed, held, detached, archived), rows, sizes, and when their events occurred.';

-- Erasure ----------------------------------------------------------------------------------------
GRANT EXECUTE ON FUNCTION activity.erase_actor TO activity_admin;
COMMENT ON FUNCTION activity.erase_actor IS 'Makes the identity and the free text of one actor of a tenant unreadable in every event, for a data-protection request; events, their order and their shape stay. Returns how many events were changed.';
GRANT EXECUTE ON FUNCTION activity.archived_events TO activity_admin;
COMMENT ON FUNCTION activity.archived_events IS 'How many events of an actor each archive of retention holds, which erase_actor() does not reach; reads the files. events is NULL where an archive can''t be read.';

-- Archive ----------------------------------------------------------------------------------------
GRANT EXECUTE ON FUNCTION activity.archive_partition TO activity_admin;
COMMENT ON FUNCTION activity.archive_partition IS 'Writes the archive of one partition into a folder of the server, now, and returns the path of its manifest; the partition stays as it is.';
GRANT EXECUTE ON FUNCTION activity.restore_archive TO activity_admin;
COMMENT ON FUNCTION activity.restore_archive IS 'Brings an archive back as the table activity.restored_..., after checking it against its manifest; returns the table. path: of the manifest, or of the file beside it. other_log: true takes one that another log has written.';
GRANT EXECUTE ON FUNCTION activity.drop_restored_archive TO activity_admin;
COMMENT ON FUNCTION activity.drop_restored_archive IS 'Drops a table that restore_archive() made; the archive stays.';
GRANT EXECUTE ON FUNCTION activity.verify_archive TO activity_admin;
COMMENT ON FUNCTION activity.verify_archive IS 'Reads an archive to its end and returns the number of its rows; raises where it is not what its manifest says.';
-- Called by the policy on restored archives as the role that reads.
GRANT EXECUTE ON FUNCTION activity._may_read TO activity_auditor, activity_admin;
