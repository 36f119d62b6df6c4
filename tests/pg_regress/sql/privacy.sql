-- Privacy: secrets are replaced before anything can see them, addresses are kept as keyed hashes.
\set SHOW_CONTEXT never
\set acme '97140000-0000-4000-8000-000000000001'
\set globex '97140000-0000-4000-8000-000000000002'
SELECT activity.register_action('privacy.tried');

-- Shows an event's metadata with its fingerprints masked.
CREATE FUNCTION pg_temp.stored(metadata jsonb, tenant text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := activity.record('privacy.tried', $1, tenant_id => $2::uuid);
BEGIN
    RETURN (SELECT regexp_replace(jsonb_pretty(e.metadata), ':[0-9a-f]{16}\]', ':#]', 'g') FROM activity.get(v_id) AS e);
END
$$;

-- By the name of the key, at any depth, in arrays, for numbers and booleans too. Null and empty
-- texts hide nothing, and what only talks about a secret stays.
SELECT pg_temp.stored('{
    "password": "correct horse", "user": {"apiKey": "k-1", "list": [{"X-Auth-Token": "t-1"}]},
    "pin": 1234, "client_secret": true, "secrets": ["s-1", 2], "Authorization": "whatever",
    "token": null, "passwd": "", "card_number": 4111111111111111, "ssn": "078-05-1120",
    "password_changed_at": "2023-01-01", "has_password": true, "token_count": 12, "passenger": "Ann"}', :'acme');

-- By the shape of the value, inside other text, and in JSON that is kept in a string.
SELECT pg_temp.stored(jsonb_build_object(
    'aws', 'key AKIA' || 'IOSFODNN7EXAMPLE is out',
    'text', 'session eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U',
    'header', 'Authorization: Bearer abcDEF123456789ghi',
    'url', 'postgres://app:pa55word@db.example.com/app',
    'pem', E'-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----',
    'card', 'paid with 4111 1111 1111 1111 today',
    'embedded', '{"password": "correct horse", "n": 1}'), :'acme');

-- Card numbers only where issuer, length and check digit fit, and never in JSON numbers.
SELECT pg_temp.stored('{
    "no_card": "4111 1111 1111 1112", "phone": "+49 30 1234567", "number": 4111111111111111, "time": 1689000000000}', :'acme');

-- A key is never lost, only its value; a secret as a key goes too.
SELECT pg_temp.stored(jsonb_build_object('ghp_' || repeat('a1', 18), 'value'), :'acme');

-- Equal secrets of a tenant compare equal, wherever they stand; those of two tenants do not.
SELECT count(activity.record('privacy.tried', metadata, tenant_id => tenant, object_id => object, request_id => 'privacy-0'))
FROM (VALUES ('1 password',  '{"password": "same"}'::jsonb, :'acme'::uuid),
             ('2 secret',    '{"list": [{"secret": "same"}]}', :'acme'),
             ('3 other',     '{"password": "other"}', :'acme'),
             ('4 stranger',  '{"password": "same"}', :'globex')) AS v (object, metadata, tenant);
SELECT object_id, fingerprint IS NOT NULL AS has_fingerprint,
       fingerprint = first_value(fingerprint) OVER (ORDER BY object_id) AS same_as_first
FROM (SELECT object_id, substring(metadata::text FROM ':([0-9a-f]{16})\]') AS fingerprint
      FROM activity.events WHERE request_id = 'privacy-0') AS e
ORDER BY object_id;

-- Secrets in the texts beside metadata.
SELECT activity.record('privacy.tried', tenant_id => :'acme', request_id => 'privacy-1',
    object_id => 'AKIA' || 'IOSFODNN7EXAMPLE', user_agent => 'curl -H "Authorization: Bearer abcDEF123456789ghi"') IS NOT NULL AS recorded;
SELECT regexp_replace(object_id, ':[0-9a-f]{16}\]', ':#]') AS object_id, regexp_replace(user_agent, ':[0-9a-f]{16}\]', ':#]') AS user_agent
FROM activity.list(tenant_id => :'acme', request_id => 'privacy-1');

-- What is already a replacement stays as it is, so that a log can be imported again.
SELECT pg_temp.stored('{"password": "[redacted:password:0123456789abcdef]"}', :'acme');

-- activity.redact_keys adds names; case, hyphens and underscores do not matter.
SET activity.redact_keys = 'patient_name, birth-date';
SELECT pg_temp.stored('{"PatientName": "Ann", "birthDate": "1970-01-01", "patient": "p-1", "first_patient_name_length": 3}', :'acme');
RESET activity.redact_keys;
SELECT pg_temp.stored('{"PatientName": "Ann"}', :'acme');

-- activity.redact_addresses: off leaves addresses in metadata alone, keys looks at the key's name,
-- all looks everywhere, version numbers included.
SELECT pg_temp.stored('{"source_ip": "203.0.113.7", "text": "from 2001:db8:1:2::3 on", "version": "1.2.3.4"}', :'acme');
SET activity.redact_addresses = keys;
SELECT pg_temp.stored('{"source_ip": "203.0.113.7", "text": "from 2001:db8:1:2::3 on", "version": "1.2.3.4"}', :'acme');
SET activity.redact_addresses = 'all';
SELECT pg_temp.stored('{"source_ip": "203.0.113.7", "text": "from 2001:db8:1:2::3 on", "version": "1.2.3.4"}', :'acme');
SELECT pg_temp.stored('{"cidr": "0.0.0.0/0", "word": "AWS Internal", "time": "12:34:56"}', :'acme');
RESET activity.redact_addresses;

-- The address of a caller: /24 or /48, and a keyed hash that differs from tenant to tenant.
SELECT count(activity.record('privacy.tried', tenant_id => t::uuid, client_ip => a::inet, request_id => 'privacy-2'))
FROM unnest(ARRAY[:'acme', :'globex']) AS t, unnest(ARRAY['203.0.113.7', '203.0.113.8', '2001:db8:1:2::3']) AS a;
SELECT ip_prefix, count(*) AS events, count(DISTINCT ip_hash) AS hashes, count(DISTINCT substr(ip_hash, 1, 4)) AS epochs
FROM activity.events WHERE request_id = 'privacy-2' GROUP BY ip_prefix ORDER BY ip_prefix;

-- The raw address still finds its events, before and after a rotation of the key.
SELECT activity.rotate_ip_key() AS epoch \gset
SELECT activity.record('privacy.tried', tenant_id => :'acme', client_ip => '203.0.113.7', request_id => 'privacy-2') IS NOT NULL AS recorded;
SELECT count(*) FROM activity.list(tenant_id => :'acme', client_ip => '203.0.113.7', request_id => 'privacy-2');
SELECT count(*) FROM activity.list(tenant_id => :'acme', client_ip => '203.0.113.8');
SELECT count(*) FROM activity.list(tenant_id => :'acme', client_ip => '203.0.113.9');
SELECT count(DISTINCT ip_hash) AS hashes FROM activity.events
WHERE tenant_id = :'acme' AND request_id = 'privacy-2' AND ip_prefix = '203.0.113.0/24';

-- The rotation is an event of the log. Rolled back, there is no new epoch.
SELECT action, metadata = jsonb_build_object('epoch', :epoch) AS names_the_epoch
FROM activity.events WHERE action = 'activity.key.rotated' ORDER BY event_id DESC LIMIT 1;
BEGIN;
SELECT activity.rotate_ip_key() = :epoch + 1 AS next;
SELECT activity.record('privacy.tried', tenant_id => :'acme', client_ip => '203.0.113.7') IS NOT NULL AS recorded;
ROLLBACK;
SELECT activity.record('privacy.tried', tenant_id => :'acme', client_ip => '203.0.113.7', request_id => 'privacy-3') IS NOT NULL AS recorded;
SELECT get_byte(ip_hash, 3) = :epoch AS current_epoch FROM activity.events WHERE request_id = 'privacy-3';

-- Validation never shows a value: neither the secret nor the rest of the document.
SELECT activity.register_action('privacy.strict', metadata_schema => '{"properties": {"password": {"maxLength": 3}, "n": {"const": 1}}}');
SELECT activity.record('privacy.strict', '{"password": "correct horse", "n": "battery"}', tenant_id => :'acme');
\echo :LAST_ERROR_SQLSTATE

-- The keys: no role but their owner can read them, and no dump has them.
SELECT count(*) AS grants FROM pg_class c, aclexplode(c.relacl) AS a
WHERE c.oid = 'activity.keys'::regclass AND a.grantee <> c.relowner;
SELECT e.extconfig IS NULL OR 'activity.keys'::regclass <> ALL (e.extconfig) AS not_dumped
FROM pg_extension e WHERE e.extname = 'activity_log';
SET ROLE activity_admin;
SELECT count(*) FROM activity.keys;
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
