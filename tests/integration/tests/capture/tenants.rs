//! Whose change it was: the tenant of a captured row, its actor and request, and who may read it.

use crate::captured::{LEVELS, OTHER_TENANT, TENANT, assert_replays, log, start_replay};
use activity_log_integration::{Database, Session, expect_error};

const SYSTEM: &str = "00000000-0000-0000-0000-000000000000";

/// A fresh database with a table, attached with these arguments in SQL.
fn attached(definition: &str, arguments: &str, level: &str) -> (Database<'static>, Session) {
    let database = log();
    let mut session = database.superuser();
    session
        .batch_execute(&format!(
            "INSERT INTO activity.tenants (tenant_id, external_id) VALUES ('{TENANT}', 'org_1'), ('{OTHER_TENANT}', '2');
             CREATE TABLE item {definition};
             SELECT activity.attach('item', level => '{level}' {arguments})"
        ))
        .unwrap_or_else(|error| panic!("{definition} {arguments}: {error:?}"));
    (database, session)
}

/// `object tenant verb` of every captured change, in the order of the log.
fn tenants(session: &mut Session) -> Vec<String> {
    session.texts(
        r"SELECT concat_ws(' ', object_id, tenant_id, regexp_replace(action, '^.*\.', ''))
          FROM activity.events WHERE source = 'capture' ORDER BY event_id",
    )
}

#[test]
fn the_tenant_is_the_rows() {
    for level in LEVELS {
        let (_database, mut session) = attached("(id int PRIMARY KEY, tenant_id uuid)", "", level);
        session
            .batch_execute(&format!(
                "INSERT INTO item VALUES (1, '{TENANT}'), (2, '{OTHER_TENANT}'); UPDATE item SET id = id + 10; DELETE FROM item WHERE id = 12"
            ))
            .unwrap();
        assert_eq!(
            tenants(&mut session),
            [
                format!("1 {TENANT} created"),
                format!("2 {OTHER_TENANT} created"),
                format!("1 {TENANT} updated"),
                format!("2 {OTHER_TENANT} updated"),
                format!("12 {OTHER_TENANT} deleted"),
            ],
            "at {level} level"
        );
    }
}

#[test]
fn a_tenant_that_is_no_uuid_is_found_by_its_external_id() {
    let columns = [
        ("text", "'org_1'", TENANT),
        ("varchar(20)", "'org_1'", TENANT),
        ("char(8)", "'org_1'", TENANT),
        ("int", "2", OTHER_TENANT),
        ("bigint", "2", OTHER_TENANT),
        ("text", &format!("'{TENANT}'"), TENANT),
    ];
    for level in LEVELS {
        for (kind, value, tenant) in columns {
            let (_database, mut session) = attached(
                &format!("(id int PRIMARY KEY, org {kind})"),
                ", tenant_column => 'org'",
                level,
            );
            session
                .batch_execute(&format!("INSERT INTO item VALUES (1, {value})"))
                .unwrap();
            assert_eq!(
                tenants(&mut session),
                [format!("1 {tenant} created")],
                "{kind} {value} at {level} level"
            );
        }
    }
}

#[test]
fn a_tenant_that_is_named_later_is_found_from_then_on() {
    for level in LEVELS {
        let (_database, mut session) = attached(
            "(id int PRIMARY KEY, org text)",
            ", tenant_column => 'org'",
            level,
        );
        session
            .batch_execute(
                "INSERT INTO item VALUES (1, 'org_9');
                 INSERT INTO activity.tenants (tenant_id, external_id) VALUES ('ca970000-0000-4000-8000-0000000000cc', 'org_9');
                 INSERT INTO item VALUES (2, 'org_9')",
            )
            .unwrap();
        assert_eq!(
            tenants(&mut session),
            [
                format!("1 {SYSTEM} created"),
                "2 ca970000-0000-4000-8000-0000000000cc created".to_owned()
            ],
            "at {level} level"
        );
    }
}

#[test]
fn without_a_column_the_tenant_is_the_fixed_one_or_that_of_the_context() {
    for level in LEVELS {
        let (_database, mut session) = attached(
            "(id int PRIMARY KEY)",
            &format!(", tenant_id => '{TENANT}'"),
            level,
        );
        let insert = format!(
            "BEGIN; SELECT activity.set_context('{OTHER_TENANT}'); INSERT INTO item VALUES (1); COMMIT"
        );
        session.batch_execute(&insert).unwrap();
        assert_eq!(tenants(&mut session), [format!("1 {TENANT} created")]);

        let (_database, mut session) = attached("(id int PRIMARY KEY)", "", level);
        session.batch_execute(&insert).unwrap();
        assert_eq!(
            tenants(&mut session),
            [format!("1 {OTHER_TENANT} created")],
            "at {level} level"
        );
    }
}

#[test]
fn a_row_whose_tenant_is_not_found_goes_to_the_system_tenant_marked_and_counted() {
    for level in LEVELS {
        let (database, mut session) = attached(
            "(id int PRIMARY KEY, org text)",
            ", tenant_column => 'org'",
            level,
        );
        session
            .batch_execute("INSERT INTO item VALUES (1, NULL), (2, 'unheard of'), (3, 'org_1')")
            .unwrap();
        assert_eq!(
            tenants(&mut session),
            [
                format!("1 {SYSTEM} created"),
                format!("2 {SYSTEM} created"),
                format!("3 {TENANT} created")
            ],
            "at {level} level"
        );
        let marked = session.texts(
            "SELECT object_id FROM activity.events WHERE source = 'capture' AND metadata ->> 'missing_tenant' = 'true' ORDER BY 1",
        );
        assert_eq!(marked, ["1", "2"]);
        let status = session
            .texts("SELECT concat_ws(' ', area, item, value, advice) FROM activity.status()");
        assert!(
            status
                .iter()
                .any(|line| line.contains("tenant") && line.contains('2')),
            "{status:#?}"
        );

        // Nobody but the platform's own people reads them.
        let login = database.create_login(&["activity_reader"]);
        let mut reader = database.connect_as(&login);
        reader
            .batch_execute(&format!("SET activity.tenant_id = '{TENANT}'"))
            .unwrap();
        assert_eq!(reader.number("SELECT count(*) FROM activity.events"), 1);
    }
}

#[test]
fn a_row_without_a_tenant_belongs_to_the_one_that_attach_names() {
    for level in LEVELS {
        for column in ["tenant_id uuid", "tenant_id text"] {
            let (_database, mut session) = attached(
                &format!("(id int PRIMARY KEY, {column})"),
                &format!(", tenant_id => '{TENANT}', on_missing_tenant => 'error'"),
                level,
            );
            session
                .batch_execute(&format!(
                    "INSERT INTO item VALUES (1, NULL), (2, '{OTHER_TENANT}'); UPDATE item SET tenant_id = NULL WHERE id = 2; DELETE FROM item WHERE id = 1"
                ))
                .unwrap();
            assert_eq!(
                tenants(&mut session),
                [
                    format!("1 {TENANT} created"),
                    format!("2 {OTHER_TENANT} created"),
                    format!("2 {OTHER_TENANT} deleted"),
                    format!("2 {TENANT} created"),
                    format!("1 {TENANT} deleted"),
                ],
                "{column} at {level} level"
            );
        }
        // A name that nobody knows is a mistake, which must not become another tenant's event.
        let (_database, mut session) = attached(
            "(id int PRIMARY KEY, org text)",
            &format!(", tenant_column => 'org', tenant_id => '{TENANT}'"),
            level,
        );
        session
            .batch_execute("INSERT INTO item VALUES (1, 'unheard of')")
            .unwrap();
        assert_eq!(tenants(&mut session), [format!("1 {SYSTEM} created")]);
    }
}

#[test]
fn where_attach_says_so_a_row_without_tenant_is_refused() {
    for level in LEVELS {
        let (_database, mut session) = attached(
            "(id int PRIMARY KEY, tenant_id uuid)",
            ", on_missing_tenant => 'error'",
            level,
        );
        let refused = session.batch_execute("INSERT INTO item VALUES (1, NULL)");
        let refusal = expect_error(refused, "22004");
        assert!(
            !refusal.text().is_empty() && !refusal.hint.is_empty(),
            "{refusal:?}"
        );
        assert_eq!(session.number("SELECT count(*) FROM item"), 0);
        session
            .batch_execute(&format!("INSERT INTO item VALUES (1, '{TENANT}')"))
            .unwrap();
        assert_eq!(tenants(&mut session).len(), 1);
    }
}

#[test]
fn a_row_that_changes_hands_is_told_to_no_tenant_that_may_not_know_it() {
    for level in LEVELS {
        let database = log();
        let mut session = database.superuser();
        session
            .batch_execute("CREATE TABLE item (id int PRIMARY KEY, tenant_id uuid, note text)")
            .unwrap();
        start_replay(&mut session, "item", "id");
        session
            .batch_execute(&format!(
                "SELECT activity.attach('item', level => '{level}');
                 INSERT INTO item VALUES (1, '{TENANT}', 'of the first');
                 UPDATE item SET tenant_id = '{OTHER_TENANT}', note = 'of the second';
                 UPDATE item SET note = 'only the second''s'"
            ))
            .unwrap();
        // The change of hands is in the log, and what follows belongs to the new tenant alone.
        assert_replays(&mut session, "item", "item");
        let of_first = session.texts(&format!(
            "SELECT changes::text FROM activity.events WHERE source = 'capture' AND tenant_id = '{TENANT}'"
        ));
        assert!(
            !of_first.concat().contains("only the second"),
            "{of_first:?}"
        );
        let last = tenants(&mut session).pop();
        assert_eq!(
            last,
            Some(format!("1 {OTHER_TENANT} updated")),
            "at {level} level"
        );
        let moves = session.texts(
            "SELECT concat_ws(' ', tenant_id, action, changes) FROM activity.events
             WHERE source = 'capture' AND metadata = '{\"moved\": true}' ORDER BY event_id",
        );
        let row =
            |tenant, note| format!(r#"{{"id": 1, "note": "{note}", "tenant_id": "{tenant}"}}"#);
        let [old, new] = [
            row(TENANT, "of the first"),
            row(OTHER_TENANT, "of the second"),
        ];
        assert_eq!(
            moves,
            [
                format!(r#"{TENANT} item.deleted {{"old": {old}}}"#),
                format!(r#"{OTHER_TENANT} item.created {{"new": {new}}}"#),
            ],
            "at {level} level"
        );
    }
}

#[test]
fn readers_see_the_changes_of_their_own_tenant() {
    for level in LEVELS {
        let (database, mut session) = attached("(id int PRIMARY KEY, tenant_id uuid)", "", level);
        session
            .batch_execute(&format!(
                "INSERT INTO item VALUES (1, '{TENANT}'), (2, '{OTHER_TENANT}')"
            ))
            .unwrap();
        let login = database.create_login(&["activity_reader"]);
        session
            .batch_execute(&format!(
                "INSERT INTO activity.role_tenants VALUES ('{login}', '{TENANT}')"
            ))
            .unwrap();
        let mut reader = database.connect_as(&login);
        reader
            .batch_execute(&format!("SET activity.tenant_id = '{TENANT}'"))
            .unwrap();
        for query in [
            "SELECT object_id FROM activity.events WHERE source = 'capture'".to_owned(),
            format!("SELECT object_id FROM activity.list('{TENANT}') WHERE source = 'capture'"),
        ] {
            assert_eq!(reader.texts(&query), ["1"], "at {level} level");
        }
        let other = format!("SELECT * FROM activity.list('{OTHER_TENANT}')");
        expect_error(reader.batch_execute(&other), "42501");
    }
}

#[test]
fn actor_request_address_and_agent_come_from_the_context() {
    for level in LEVELS {
        let (database, mut session) = attached(
            "(id int PRIMARY KEY, changed_by text)",
            &format!(", tenant_id => '{TENANT}', actor_column => 'changed_by'"),
            level,
        );
        let writer = database.create_login(&[]);
        session
            .batch_execute(&format!("GRANT ALL ON item TO {writer}"))
            .unwrap();
        let mut session_of_writer = database.connect_as(&writer);
        session_of_writer
            .batch_execute(
                "SET activity.actor_id = 'alice'; SET activity.actor_type = 'user'; SET activity.request_id = 'r-1';
                 SET activity.client_ip = '203.0.113.7'; SET activity.user_agent = 'browser';
                 INSERT INTO item VALUES (1, NULL); UPDATE item SET changed_by = 'bob'; DELETE FROM item",
            )
            .unwrap();
        let rows = session.texts(
            "SELECT concat_ws(' ', action, actor_type, actor_id, request_id, ip_prefix, user_agent, db_role,
                 (ip_hash IS NOT NULL)::text, status, (occurred_at = recorded_at)::text)
             FROM activity.events WHERE source = 'capture' ORDER BY event_id",
        );
        let rest = format!("r-1 203.0.113.0/24 browser {writer} true success true");
        assert_eq!(
            rows,
            [
                format!("item.created user alice {rest}"),
                // Type and id of an actor are a pair, and a row knows no type.
                format!("item.updated bob {rest}"),
                // Who changed the row last is not who deletes it.
                format!("item.deleted user alice {rest}"),
            ],
            "at {level} level"
        );
    }
}
