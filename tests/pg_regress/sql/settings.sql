-- Settings: every one of the extension, so that a change is seen.
\set SHOW_CONTEXT never
\x on
SELECT name, vartype, context, boot_val, unit, min_val, max_val, enumvals, short_desc, extra_desc
FROM pg_settings WHERE name LIKE 'activity.%' ORDER BY name;
\x off

-- Whoever is no superuser sets the context and nothing else; the key file is hidden.
CREATE ROLE regress_settings IN ROLE activity_admin;
SET ROLE regress_settings;
SET activity.actor_id = 'alice';
SHOW activity.actor_id;
SET activity.registry = off;
\echo :LAST_ERROR_SQLSTATE
SET activity.on_error = warn;
\echo :LAST_ERROR_SQLSTATE
SET activity.redact_keys = 'x';
\echo :LAST_ERROR_SQLSTATE
SET activity.redact_addresses = 'all';
\echo :LAST_ERROR_SQLSTATE
SET activity.max_metadata_size = '1MB';
\echo :LAST_ERROR_SQLSTATE
SET activity.require_pin = off;
\echo :LAST_ERROR_SQLSTATE
-- The server words this differently from major to major.
\set VERBOSITY sqlstate
SHOW activity.key_file;
\set VERBOSITY default
RESET ROLE;

-- Not even a superuser changes the key file while the server runs.
SET activity.key_file = '/tmp/key';
\echo :LAST_ERROR_SQLSTATE

-- Values that do not exist.
SET activity.registry = maybe;
\echo :LAST_ERROR_SQLSTATE
SET activity.on_error = ignore;
\echo :LAST_ERROR_SQLSTATE
SET activity.redact_addresses = 'some';
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY sqlstate
SET activity.max_metadata_size = 1;
\set VERBOSITY default

RESET activity.actor_id;
DROP ROLE regress_settings;
