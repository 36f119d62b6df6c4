-- Typed wrappers for the events that every application has. The actions come with
-- install_taxonomy('saas'); activity.helper_sql(action) prints such a wrapper for any action.

CREATE FUNCTION activity.record_login(
    actor_id text,
    success boolean DEFAULT true,
    method text DEFAULT NULL,
    reason text DEFAULT NULL,
    tenant_id uuid DEFAULT NULL,
    actor_type text DEFAULT 'user',
    client_ip inet DEFAULT NULL,
    user_agent text DEFAULT NULL,
    request_id text DEFAULT NULL,
    metadata jsonb DEFAULT NULL,
    idempotency_key text DEFAULT NULL
) RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT activity.record(
        action => CASE WHEN $2 IS NOT FALSE THEN 'auth.login.success' ELSE 'auth.login.failure' END,
        metadata => coalesce($10, '{}'::pg_catalog.jsonb)
            OPERATOR(pg_catalog.||) pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
                'method', coalesce($3, $10 OPERATOR(pg_catalog.->>) 'method', 'password'),
                'reason', CASE WHEN $2 IS NOT FALSE THEN $4
                               ELSE coalesce($4, $10 OPERATOR(pg_catalog.->>) 'reason', 'other') END)),
        tenant_id => $5,
        actor_id => $1,
        actor_type => CASE WHEN $1 IS NULL THEN NULL ELSE $6 END,
        status => CASE WHEN $2 IS NOT FALSE THEN 'success' ELSE 'failure' END,
        client_ip => $7,
        user_agent => $8,
        request_id => $9,
        idempotency_key => $11)
$$;

CREATE FUNCTION activity.record_logout(
    actor_id text DEFAULT NULL,
    reason text DEFAULT NULL,
    tenant_id uuid DEFAULT NULL,
    actor_type text DEFAULT 'user',
    client_ip inet DEFAULT NULL,
    user_agent text DEFAULT NULL,
    request_id text DEFAULT NULL,
    metadata jsonb DEFAULT NULL,
    idempotency_key text DEFAULT NULL
) RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT activity.record(
        action => 'auth.logout',
        metadata => coalesce($8, '{}'::pg_catalog.jsonb)
            OPERATOR(pg_catalog.||) pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('reason', $2)),
        tenant_id => $3,
        actor_id => $1,
        actor_type => CASE WHEN $1 IS NULL THEN NULL ELSE $4 END,
        client_ip => $5,
        user_agent => $6,
        request_id => $7,
        idempotency_key => $9)
$$;
