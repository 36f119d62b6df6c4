-- Imports AWS CloudTrail events, one JSON object a line, from standard input:
--
--     psql -X -f examples/import_cloudtrail.sql < cloudtrail.ndjson
--     zcat *.json.gz | jq -c '.Records[]' | psql -X -f examples/import_cloudtrail.sql
--
-- Runs as a superuser, because a setting that decides what is taken out of an event is theirs
-- alone. Run again, or over files that overlap, it adds no event twice. It is one transaction.
\set ON_ERROR_STOP on
\set QUIET on

BEGIN;

-- Addresses stand anywhere in what AWS writes down, not only where the caller's is named.
SET LOCAL activity.redact_addresses = 'all';

-- Raw events hold access keys, session tokens and addresses. A temporary table reaches neither the
-- write-ahead log nor a standby nor a backup. It must not be analyzed: statistics quote values and
-- are logged.
CREATE TEMP TABLE cloudtrail_line (number int GENERATED ALWAYS AS IDENTITY, line text) ON COMMIT DROP;

-- CSV whose quote and delimiter are control characters takes lines as they are: JSON writes such
-- characters as \u0001, and the backslash means nothing here.
\copy cloudtrail_line (line) FROM pstdin WITH (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')

-- NULL for what is no JSON object. The server's own error would quote the line in its log.
CREATE FUNCTION pg_temp.parsed(line text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    event jsonb;
BEGIN
    event := line;
    RETURN CASE WHEN jsonb_typeof(event) = 'object' THEN event END;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;

-- GetBucketAcl becomes get_bucket_acl, ListMFADevices list_mfa_devices.
CREATE FUNCTION pg_temp.snake(name text) RETURNS text LANGUAGE sql AS $$
    SELECT trim('_' FROM regexp_replace(lower(
        regexp_replace(regexp_replace(name,
            '([A-Z]+)([A-Z][a-z])', '\1_\2', 'g'),
            '([a-z0-9])([A-Z])', '\1_\2', 'g')),
        '[^a-z0-9]+', '_', 'g'))
$$;

CREATE TEMP TABLE cloudtrail_event ON COMMIT DROP AS
SELECT number, pg_temp.parsed(line) AS event FROM cloudtrail_line WHERE line <> '';

-- How an event of CloudTrail reads here. What has no column of its own stays in the metadata under
-- the name that AWS gives it.
CREATE TEMP VIEW cloudtrail_mapped AS
SELECT number,
       event ->> 'recipientAccountId' AS account,
       format('%s %s', event ->> 'eventSource', event ->> 'eventName') AS description,
       format('aws.%s.%s',
              pg_temp.snake(regexp_replace(event ->> 'eventSource', '\.amazonaws\.com$', '')),
              pg_temp.snake(event ->> 'eventName')) AS action,
       CASE
           WHEN event ->> 'errorCode' ~* 'access_?denied|unauthorized|not_?authorized|forbidden' THEN 'denied'
           WHEN event ? 'errorCode' OR event ? 'errorMessage'
                OR event #>> '{responseElements,ConsoleLogin}' = 'Failure' THEN 'failure'
           ELSE 'success'
       END AS status,
       CASE coalesce(actor ->> 'type', 'AWSService')
           WHEN 'AssumedRole' THEN 'role'
           WHEN 'Role' THEN 'role'
           WHEN 'AWSService' THEN 'service'
           WHEN 'AWSAccount' THEN 'account'
           ELSE 'user'
       END AS actor_type,
       coalesce(actor ->> 'arn', actor ->> 'userName', actor ->> 'principalId',
                actor ->> 'invokedBy', actor ->> 'accountId') AS actor_id,
       -- AWS::S3::Bucket becomes aws.s3.bucket; without a type, the name of the resource tells it.
       coalesce(lower(replace(resource ->> 'type', '::', '.')),
                regexp_replace(resource ->> 'ARN',
                               '^arn:[^:]*:([^:]*):[^:]*:[^:]*:([^:/]*)[:/].*$', 'aws.\1.\2')) AS object_type,
       resource ->> 'ARN' AS object_id,
       event ->> 'requestID' AS request_id,
       event ->> 'eventID' AS idempotency_key,
       event ->> 'eventTime' AS occurred_at,
       event ->> 'userAgent' AS user_agent,
       -- NULL where a service of AWS made the request; its name then stays in the metadata.
       address AS client_ip,
       (SELECT jsonb_object_agg(key, value)
        FROM jsonb_each(event)
        WHERE key NOT IN ('eventTime', 'requestID', 'userAgent', 'recipientAccountId')
          AND value <> 'null'
          AND (key <> 'sourceIPAddress' OR address IS NULL)) AS metadata
FROM (SELECT number, event,
             event -> 'userIdentity' AS actor,
             event #> '{resources,0}' AS resource,
             activity.client_ip(real_ip => event ->> 'sourceIPAddress') AS address
      FROM cloudtrail_event
      WHERE event IS NOT NULL) AS parsed;

-- AWS accounts are the tenants.
INSERT INTO activity.tenants (external_id, name)
SELECT DISTINCT account, 'AWS account ' || account FROM cloudtrail_mapped WHERE account <> ''
ON CONFLICT DO NOTHING;

SELECT count(*) AS registered
FROM activity.register_actions((
    SELECT coalesce(jsonb_agg(new), '[]')
    FROM (SELECT DISTINCT ON (action) action, description, 'aws' AS category
          FROM cloudtrail_mapped m
          WHERE action ~ '^(\.?[a-z][a-z0-9_]*){3}$'
            AND NOT EXISTS (SELECT FROM activity.actions a WHERE a.action = m.action)
          ORDER BY action, description) AS new))
\gset

-- In batches of 500, oldest first, so that the order of recording is that of occurrence.
CREATE TEMP TABLE cloudtrail_outcome ON COMMIT DROP AS
SELECT batch.numbers[outcome.ordinal] AS number, outcome.inserted, outcome.error
FROM (
    SELECT array_agg(number ORDER BY place) AS numbers, jsonb_agg(event ORDER BY place) AS events
    FROM (
        SELECT number,
               row_number() OVER oldest_first AS place,
               to_jsonb(m) - '{number,account,description}'::text[]
                   || jsonb_build_object('tenant_id', t.tenant_id) AS event
        FROM cloudtrail_mapped m
        LEFT JOIN activity.tenants t ON t.external_id = m.account
        WINDOW oldest_first AS (ORDER BY occurred_at, number)
    ) AS placed
    GROUP BY (place - 1) / 500
    ORDER BY (place - 1) / 500
) AS batch
CROSS JOIN LATERAL activity.record_many(events => batch.events, on_error => 'skip') AS outcome;

SELECT count(*) FILTER (WHERE inserted) AS recorded,
       count(*) FILTER (WHERE NOT inserted AND error IS NULL) AS known,
       count(*) FILTER (WHERE event IS NULL OR error IS NOT NULL) AS refused,
       count(*) FILTER (WHERE event IS NULL OR error IS NOT NULL) > 0 AS has_refused
FROM cloudtrail_event
LEFT JOIN cloudtrail_outcome USING (number)
\gset

\if :has_refused
    -- The number is that of the line; the messages quote nothing of the event.
    SELECT number AS line, coalesce(error ->> 'sqlstate', '22023') AS sqlstate,
           coalesce(error ->> 'message', 'it is no JSON object that jsonb can hold') AS problem
    FROM cloudtrail_event
    LEFT JOIN cloudtrail_outcome USING (number)
    WHERE event IS NULL OR error IS NOT NULL
    ORDER BY number;
\endif

COMMIT;

\echo :recorded recorded, :known known already, :refused refused; :registered new actions
