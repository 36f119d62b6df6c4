-- Registry: which actions there are, and what their metadata looks like.
\set SHOW_CONTEXT never
\set acme '7e900000-0000-4000-8000-000000000001'
SELECT activity.set_context(tenant_id => :'acme', is_local => false);

-- An action with a schema. The result is its version.
SELECT activity.register_action(
    action => 'registry.invoice.paid',
    description => 'A customer has paid an invoice',
    metadata_schema => '{
        "type": "object",
        "required": ["amount", "currency"],
        "properties": {
            "amount": {"type": "number", "minimum": 0},
            "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
            "lines": {"type": "array", "items": {"type": "object", "required": ["sku"]}}
        },
        "additionalProperties": false
    }',
    severity => 'notice', category => 'billing', object_type => 'invoice',
    controls => '{SOC2:CC6.1}', keep => '7 years');
SELECT action, version, description, severity, category, object_type, controls, keep, retired_at
FROM activity.actions WHERE action = 'registry.invoice.paid';

-- The same again changes nothing; a changed schema is a new version; other fields are not.
SELECT activity.register_action('registry.versioned', metadata_schema => '{"required": ["a"]}');
SELECT activity.register_action('registry.versioned', metadata_schema => '{"required": ["a"]}');
SELECT activity.register_action('registry.versioned', description => 'Only a text');
SELECT activity.register_action('registry.versioned', metadata_schema => '{"required": ["b"]}', severity => 'warning');
SELECT action, version, description, severity FROM activity.actions WHERE action = 'registry.versioned';
SELECT version, metadata_schema FROM activity.action_versions WHERE action = 'registry.versioned' ORDER BY version;

-- Events carry the version that they were checked against.
SELECT activity.record('registry.versioned', '{"b": 1}') IS NOT NULL AS recorded;
SELECT action, action_version FROM activity.list(action => 'registry.versioned');

-- An action nobody registered is refused, with advice.
SELECT activity.record('registry.unheard.of');
\echo :LAST_ERROR_SQLSTATE

-- The schema is enforced: each problem has its JSON pointer, and no value of the metadata.
SELECT activity.record('registry.invoice.paid',
    '{"amount": -5, "currency": "euro", "lines": [{"sku": "A"}, {"text": "hunter2"}], "hunter3": "hunter4"}');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.record('registry.invoice.paid');
\echo :LAST_ERROR_SQLSTATE

-- check_event() is the dry run: a row for each problem, none for a good event.
SELECT * FROM activity.check_event('registry.invoice.paid', '{"amount": -5}') ORDER BY pointer, keyword;
SELECT * FROM activity.check_event('registry.invoice.paid', '{"amount": 5, "currency": "EUR"}');
SELECT * FROM activity.check_event('registry.unheard.of', '{}');
SELECT * FROM activity.check_event('registry.versioned', NULL);
SELECT * FROM activity.check_event(NULL, '{}');
\echo :LAST_ERROR_SQLSTATE

-- A retired action is refused, also by check_event(); registering it again brings it back.
SELECT activity.register_action('registry.retiring');
SELECT activity.retire_action('registry.retiring');
SELECT activity.retire_action('registry.retiring') AS was_retired_already;
SELECT activity.record('registry.retiring');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM activity.check_event('registry.retiring', '{}');
SELECT activity.register_action('registry.retiring');
SELECT activity.record('registry.retiring') IS NOT NULL AS recorded;

-- Retiring what is not there, or nothing.
SELECT activity.retire_action('registry.unheard.of');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.retire_action(NULL);
\echo :LAST_ERROR_SQLSTATE

-- Names are namespace.noun[.verb...] in lower snake case, at most 100 bytes.
SELECT activity.register_action('auth');
SELECT activity.register_action('auth.Login');
SELECT activity.register_action('auth..login');
SELECT activity.register_action('auth.login ');
SELECT activity.register_action('auth.1login');
SELECT activity.register_action('a.' || repeat('b', 99));
SELECT activity.register_action('activity.mine');
SELECT activity.register_action(NULL);
SELECT activity.register_action('');
SELECT activity.register_action('registry.' || repeat('b', 91));

-- Bad schemas are refused at registration.
SELECT activity.register_action('registry.bad', metadata_schema => '{"type": "strin"}');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.register_action('registry.bad', metadata_schema => '[]');
SELECT activity.register_action('registry.bad', metadata_schema => '"not json"');
SELECT activity.register_action('registry.bad', metadata_schema => '{"$ref": "https://example.com/schema.json"}');
SELECT activity.register_action('registry.bad', metadata_schema => '{"$ref": "file:///etc/passwd"}');
SELECT activity.register_action('registry.bad', metadata_schema => '{"properties": {"a": {"pattern": "(?=x)"}}}');
SELECT activity.register_action('registry.bad', metadata_schema => '{"properties": {"a": {"format": "emial"}}}');
SELECT activity.register_action('registry.bad', severity => 'loud');
SELECT activity.register_action('registry.bad', keep => '-1 day');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) AS registered FROM activity.actions WHERE action = 'registry.bad';

-- A schema as a JSON string, as some drivers send it, is the schema it holds; JSON null is none.
SELECT activity.register_action('registry.text', metadata_schema => to_jsonb('{"required": ["a"]}'::text));
SELECT activity.register_action('registry.nothing', metadata_schema => 'null');
SELECT action, metadata_schema FROM activity.action_versions
WHERE action IN ('registry.text', 'registry.nothing') ORDER BY action;

-- A registration that is rolled back never was, by transaction and by savepoint.
BEGIN;
SELECT activity.register_action('registry.rolled.back');
SELECT activity.record('registry.rolled.back') IS NOT NULL AS recorded;
ROLLBACK;
SELECT activity.record('registry.rolled.back');
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SAVEPOINT before;
SELECT activity.register_action('registry.versioned', metadata_schema => '{"required": ["c"]}');
SELECT activity.record('registry.versioned', '{"c": 1}') IS NOT NULL AS recorded;
ROLLBACK TO SAVEPOINT before;
SELECT activity.record('registry.versioned', '{"b": 1}') IS NOT NULL AS recorded;
COMMIT;
SELECT activity.record('registry.versioned', '{"c": 1}');
\echo :LAST_ERROR_SQLSTATE

-- Several at once: all or none.
SELECT * FROM activity.register_actions('[
    {"action": "registry.many.first", "severity": "debug", "controls": ["SOC2:CC6.1"], "keep": "30 days"},
    {"action": "registry.many.second", "metadata_schema": {"type": "object"}, "category": null}]');
SELECT * FROM activity.register_actions('[{"action": "registry.many.third"}, {"action": "Bad"}]');
\echo :LAST_ERROR_SQLSTATE
SELECT action, severity, controls, keep FROM activity.actions WHERE action LIKE 'registry.many.%' ORDER BY action;
SELECT * FROM activity.register_actions(NULL);
SELECT * FROM activity.register_actions('{}');
SELECT * FROM activity.register_actions('[1]');
SELECT * FROM activity.register_actions('[{"name": "registry.many.third"}]');
SELECT * FROM activity.register_actions('[{"action": "registry.many.third", "keep": "a while"}]');
SELECT * FROM activity.register_actions('[{"action": "registry.many.third", "controls": "SOC2"}]');
SELECT * FROM activity.register_actions('[]');

-- activity.registry = warn records and says so; off does not look at all.
SET activity.registry = warn;
SELECT activity.record('registry.unheard.of', object_id => 'warned') IS NOT NULL AS recorded;
SELECT activity.record('registry.versioned', '{}', object_id => 'warned') IS NOT NULL AS recorded;
SELECT activity.record('Not A Name');
\echo :LAST_ERROR_SQLSTATE
SET activity.registry = off;
SELECT activity.record('registry.unheard.of', object_id => 'unchecked') IS NOT NULL AS recorded;
SELECT activity.record('registry.versioned', '{}', object_id => 'unchecked') IS NOT NULL AS recorded;
RESET activity.registry;
SELECT action, action_version, object_id FROM activity.list()
WHERE object_id IN ('warned', 'unchecked') ORDER BY object_id, action;

-- The ready-made vocabularies. What is registered already stays as its owner wants it.
SELECT activity.register_action('auth.signup', description => 'Ours');
SELECT activity.install_taxonomy();
SELECT activity.install_taxonomy('saas') AS again;
SELECT activity.install_taxonomy('ops');
SELECT activity.install_taxonomy('fruit');
\echo :LAST_ERROR_SQLSTATE
SELECT description FROM activity.actions WHERE action = 'auth.signup';
SELECT category, severity, object_type, controls[1] FROM activity.actions WHERE action = 'auth.login.failure';

-- helper_sql() prints a typed wrapper, made from the schema.
SELECT activity.helper_sql('registry.invoice.paid') AS sql \gset
\echo :sql
BEGIN;
:sql;
ROLLBACK;
SELECT activity.helper_sql('registry.unheard.of');
\echo :LAST_ERROR_SQLSTATE
SELECT activity.helper_sql(NULL);
\echo :LAST_ERROR_SQLSTATE

-- Changes of the registry are events of the log itself; what changed nothing is none.
SELECT action, metadata FROM activity.events
WHERE action LIKE 'activity.registry.%' AND metadata @? '$.actions[*] ? (@.action == "registry.retiring")'
ORDER BY event_id;

SELECT activity.clear_context();
