-- What the log is compared with: a table with its columns, checks, indexes and partitions, and a
-- function that a careful person would write by hand.
CREATE SCHEMA bench;
CREATE EXTENSION pgcrypto SCHEMA bench;

CREATE TABLE bench.events (LIKE activity.events INCLUDING ALL) PARTITION BY RANGE (recorded_at);
-- The transaction is the one column that a client can't prepare.
ALTER TABLE bench.events ALTER xact SET DEFAULT pg_current_xact_id();

DO $$
DECLARE
    v_partition record;
BEGIN
    FOR v_partition IN
        SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'activity.events'::regclass
    LOOP
        EXECUTE format('CREATE TABLE bench.%I PARTITION OF bench.events %s', v_partition.relname, v_partition.bounds);
    END LOOP;
END
$$;

-- Rows for the statements that need no client.
CREATE UNLOGGED TABLE bench.staged AS TABLE bench.events WITH NO DATA;
ALTER TABLE bench.staged DROP xact, ADD client_ip inet;

CREATE TABLE bench.actions (
    action      text PRIMARY KEY,
    version     int NOT NULL,
    required    text[] NOT NULL,
    allowed     text[] NOT NULL,
    retired_at  timestamptz
);
CREATE TABLE bench.secret (secret bytea NOT NULL);
INSERT INTO bench.secret VALUES (bench.gen_random_bytes(32));

-- Looks the action up, checks the keys of the metadata (not their types), scrubs with regular
-- expressions, hashes the address and inserts. It does less than activity.record(): no schema, no
-- look inside strings, no fingerprints, no access rules, no search_path of its own.
CREATE FUNCTION bench.record(
    p_action text,
    p_metadata jsonb,
    p_object_type text,
    p_object_id text,
    p_client_ip inet,
    p_request_id text
) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_action bench.actions;
    v_tenant uuid := nullif(current_setting('activity.tenant_id', true), '');
    v_now timestamptz := clock_timestamp();
    v_text text := p_metadata;
    -- A cheap look first: the expression that replaces is three times as expensive.
    v_suspicion constant text := '(?:password|secret|token|api_?key|authorization)"|(?:AKIA|ASIA)[A-Z0-9]{16}';
    v_secret constant text :=
        '("[^"]*(?:password|secret|token|api_?key|authorization)"\s*:\s*)"[^"]*"|\m(?:AKIA|ASIA)[A-Z0-9]{16}\M';
    v_id uuid := encode(set_bit(set_bit(overlay(
        uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM v_now) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid;
BEGIN
    IF v_tenant IS NULL THEN
        RAISE EXCEPTION 'no tenant' USING ERRCODE = '22004';
    END IF;
    SELECT * INTO v_action FROM bench.actions a WHERE a.action = p_action;
    IF NOT FOUND OR v_action.retired_at IS NOT NULL THEN
        RAISE EXCEPTION 'action % may not be recorded', p_action USING ERRCODE = '42704';
    END IF;
    IF NOT p_metadata ?& v_action.required OR p_metadata - v_action.allowed <> '{}' THEN
        RAISE EXCEPTION 'metadata of % does not fit', p_action USING ERRCODE = '23514';
    END IF;
    IF octet_length(v_text) > 16384 THEN
        RAISE EXCEPTION 'metadata is too large' USING ERRCODE = '22001';
    END IF;
    IF v_text ~* v_suspicion THEN
        p_metadata := regexp_replace(v_text, v_secret, '\1"[redacted]"', 'gi')::jsonb;
    END IF;
    INSERT INTO bench.events
        (recorded_at, occurred_at, gen, action_version, event_id, tenant_id, action, status, source,
         actor_type, actor_id, object_type, object_id, request_id, ip_hash, ip_prefix, user_agent,
         db_role, metadata)
    VALUES
        (v_now, v_now, 1, v_action.version, v_id, v_tenant, p_action, 'success', 'api',
         current_setting('activity.actor_type', true), current_setting('activity.actor_id', true),
         p_object_type, p_object_id, p_request_id,
         substr(bench.hmac(convert_to(host(p_client_ip), 'UTF8'), (SELECT secret FROM bench.secret), 'sha256'), 1, 20),
         network(set_masklen(p_client_ip, CASE family(p_client_ip) WHEN 4 THEN 24 ELSE 48 END)),
         current_setting('activity.user_agent', true), session_user, p_metadata);
    RETURN v_id;
END
$$;
