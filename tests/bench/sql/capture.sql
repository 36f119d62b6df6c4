-- Five equal tables of orders: one without audit, two with triggers as they are written by hand,
-- two that are captured. bench.events has the columns, indexes and partitions of the log.
CREATE SCHEMA bench;

CREATE TABLE bench.events (LIKE activity.events INCLUDING ALL) PARTITION BY RANGE (recorded_at);
ALTER TABLE bench.events ALTER xact SET DEFAULT pg_current_xact_id();

DO $$
DECLARE
    v_partition record;
    v_way text;
BEGIN
    FOR v_partition IN
        SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'activity.events'::regclass
    LOOP
        EXECUTE format('CREATE TABLE bench.%I PARTITION OF bench.events %s', v_partition.relname, v_partition.bounds);
    END LOOP;
    -- Names of one length: they stand in every event and in two of its indexes.
    FOREACH v_way IN ARRAY ARRAY['none', 'prow', 'psta', 'crow', 'csta'] LOOP
        EXECUTE format($table$
            CREATE TABLE bench.orders_%s (
                id          bigint PRIMARY KEY,
                tenant_id   uuid NOT NULL,
                customer    text NOT NULL,
                status      text NOT NULL,
                amount      numeric(12, 2) NOT NULL,
                currency    char(3) NOT NULL,
                quantity    int NOT NULL,
                is_paid     boolean NOT NULL,
                note        text,
                details     jsonb NOT NULL,
                created_at  timestamptz NOT NULL,
                updated_at  timestamptz
            )$table$, v_way);
    END LOOP;
END
$$;

-- The trigger that many have written: both rows as JSON, who and what beside them.
CREATE FUNCTION bench.audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_row record := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    INSERT INTO bench.events
        (recorded_at, occurred_at, gen, event_id, tenant_id, action, status, source, actor_type,
         actor_id, object_type, object_id, request_id, db_role, metadata, changes)
    VALUES
        (v_now, v_now, 1, gen_random_uuid(), v_row.tenant_id, TG_TABLE_NAME || '.' || lower(TG_OP), 'success',
         'capture', current_setting('activity.actor_type', true), current_setting('activity.actor_id', true),
         TG_TABLE_NAME, v_row.id::text, current_setting('activity.request_id', true), session_user, '{}',
         CASE TG_OP
             WHEN 'INSERT' THEN jsonb_build_object('new', to_jsonb(NEW))
             WHEN 'DELETE' THEN jsonb_build_object('old', to_jsonb(OLD))
             ELSE jsonb_build_object('old', to_jsonb(OLD), 'new', to_jsonb(NEW))
         END);
    RETURN NULL;
END
$$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON bench.orders_prow
    FOR EACH ROW EXECUTE FUNCTION bench.audit_row();

-- The same for all rows of a statement at once.
CREATE FUNCTION bench.audit_statement() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_action text := TG_TABLE_NAME || '.' || lower(TG_OP);
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO bench.events
            (recorded_at, occurred_at, gen, event_id, tenant_id, action, status, source, actor_type,
             actor_id, object_type, object_id, request_id, db_role, metadata, changes)
        SELECT v_now, v_now, 1, gen_random_uuid(), n.tenant_id, v_action, 'success', 'capture',
               current_setting('activity.actor_type', true), current_setting('activity.actor_id', true),
               TG_TABLE_NAME, n.id::text, current_setting('activity.request_id', true), session_user, '{}',
               jsonb_build_object('new', to_jsonb(n))
        FROM new_rows n;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO bench.events
            (recorded_at, occurred_at, gen, event_id, tenant_id, action, status, source, actor_type,
             actor_id, object_type, object_id, request_id, db_role, metadata, changes)
        SELECT v_now, v_now, 1, gen_random_uuid(), n.tenant_id, v_action, 'success', 'capture',
               current_setting('activity.actor_type', true), current_setting('activity.actor_id', true),
               TG_TABLE_NAME, n.id::text, current_setting('activity.request_id', true), session_user, '{}',
               jsonb_build_object('old', to_jsonb(o), 'new', to_jsonb(n))
        FROM old_rows o JOIN new_rows n ON n.id = o.id;
    ELSE
        INSERT INTO bench.events
            (recorded_at, occurred_at, gen, event_id, tenant_id, action, status, source, actor_type,
             actor_id, object_type, object_id, request_id, db_role, metadata, changes)
        SELECT v_now, v_now, 1, gen_random_uuid(), o.tenant_id, v_action, 'success', 'capture',
               current_setting('activity.actor_type', true), current_setting('activity.actor_id', true),
               TG_TABLE_NAME, o.id::text, current_setting('activity.request_id', true), session_user, '{}',
               jsonb_build_object('old', to_jsonb(o))
        FROM old_rows o;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_insert AFTER INSERT ON bench.orders_psta
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION bench.audit_statement();
CREATE TRIGGER audit_update AFTER UPDATE ON bench.orders_psta
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION bench.audit_statement();
CREATE TRIGGER audit_delete AFTER DELETE ON bench.orders_psta
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION bench.audit_statement();

SELECT activity.attach('bench.orders_crow', level => 'row');
SELECT activity.attach('bench.orders_csta', level => 'statement');

-- The application has rights on its tables, none on the log, and may read what its own backend
-- has used of the CPU.
CREATE ROLE bench_shop LOGIN IN ROLE pg_read_server_files;
GRANT USAGE ON SCHEMA bench, activity TO bench_shop;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA bench TO bench_shop;
GRANT EXECUTE ON FUNCTION pg_read_file(text) TO bench_shop;
