//! `attach()` and `detach()`: who may, on what, and what is left behind.

use crate::captured::log;
use activity_log_integration::{Cluster, Session, expect_error};

const ITEM: &str =
    "CREATE TABLE item (id int PRIMARY KEY, tenant_id uuid, note text, secret text);";

fn item() -> Session {
    let mut session = log().superuser();
    session.batch_execute(ITEM).unwrap();
    session
}

/// Triggers of capture and rows about it: what a refused call must not leave.
fn traces(session: &mut Session) -> i64 {
    session.number(
        "SELECT (SELECT count(*) FROM activity.captures)
              + (SELECT count(*) FROM pg_trigger WHERE tgname LIKE '!activity%')
              + (SELECT count(*) FROM activity.events WHERE action LIKE 'activity.capture.%')",
    )
}

#[test]
fn what_attach_was_told_is_what_the_capture_says() {
    let mut session = item();
    let id = session
        .text(
            "SELECT activity.attach('item', exclude => ARRAY['secret', 'secret'], redact => ARRAY['note'],
                 actor_column => 'note', action_prefix => 'stock.item', scrub => false,
                 on_missing_tenant => 'error', level => 'row', replicated => false)::text",
        )
        .unwrap();
    let capture = session.text(
        "SELECT concat_ws(' ', capture_id, object_type, action_prefix, tenant_column, actor_column, excluded, redacted,
                ignored, level, scrub, on_missing_tenant, replicated, columns, attached_by) FROM activity.captures",
    );
    assert_eq!(
        capture.unwrap(),
        format!(
            "{id} item stock.item tenant_id note {{secret}} {{note}} {{}} row f error f \
             {{\"id\": 1, \"note\": 3, \"secret\": 4, \"tenant_id\": 2}} postgres"
        )
    );
    assert_eq!(
        session.texts("SELECT action FROM activity.actions WHERE category = 'capture' ORDER BY 1"),
        [
            "stock.item.created",
            "stock.item.deleted",
            "stock.item.truncated",
            "stock.item.updated"
        ]
    );
    assert_eq!(
        session.texts(
            "SELECT concat_ws(' ', action, metadata ->> 'object_type', metadata ->> 'level', metadata ->> 'excluded')
             FROM activity.events WHERE action LIKE 'activity.capture.%'"
        ),
        ["activity.capture.attached item row [\"secret\"]"]
    );
}

#[test]
fn null_and_empty_text_are_the_same_as_not_given() {
    let mut session = item();
    session
        .batch_execute(
            "SELECT activity.attach('item', tenant_column => NULL, tenant_id => NULL, action_prefix => '', exclude => NULL,
                 redact => '{}', ignore => NULL, actor_column => '', level => NULL, scrub => NULL,
                 on_missing_tenant => '', replicated => NULL)",
        )
        .unwrap();
    assert_eq!(
        session.text(
            "SELECT concat_ws(' ', action_prefix, tenant_column, level, scrub, on_missing_tenant, replicated) FROM activity.captures"
        ),
        Some("item tenant_id auto t system t".into())
    );
}

#[test]
fn what_is_no_table_of_an_application_is_refused() {
    let mut session = item();
    session
        .batch_execute(
            "CREATE VIEW seen AS SELECT * FROM item;
             CREATE MATERIALIZED VIEW kept AS SELECT * FROM item;
             CREATE SEQUENCE counter;
             CREATE TEMP TABLE passing (id int);
             CREATE EXTENSION file_fdw;
             CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
             CREATE FOREIGN TABLE distant (id int) SERVER files OPTIONS (filename '/dev/null');",
        )
        .unwrap();
    for (table, what) in [
        ("seen", "a view"),
        ("kept", "a view"),
        ("counter", "what is no table"),
        ("passing", "a temporary table"),
        ("distant", "a foreign table"),
        ("pg_class", "a table of the catalog"),
        ("information_schema.sql_features", "a table of the catalog"),
        ("activity.events", "a table of the log"),
        ("activity.tenants", "a table of the log"),
        ("item_pkey", "what is no table"),
    ] {
        let refused = session.query(&format!("SELECT activity.attach('{table}')"), &[]);
        let refusal = expect_error(refused, "42809");
        assert_eq!(
            refusal.message,
            format!("{what} can't be captured"),
            "{table}"
        );
        assert!(refusal.hint.contains("partitioned tables"), "{refusal:?}");
    }
    assert_eq!(traces(&mut session), 0);
}

#[test]
fn arguments_that_do_not_fit_the_table_leave_nothing_half_done() {
    let mut session = item();
    for (arguments, sqlstate, says) in [
        ("NULL", "22004", "target must be given"),
        (
            "'item', tenant_column => 'org'",
            "42703",
            "tenant_column names a column",
        ),
        (
            "'item', actor_column => 'Note'",
            "42703",
            "actor_column names a column",
        ),
        (
            "'item', exclude => ARRAY['note', 'nix']",
            "42703",
            "exclude names a column",
        ),
        (
            "'item', redact => ARRAY['ctid']",
            "42703",
            "redact names a column",
        ),
        (
            "'item', ignore => ARRAY[NULL]::text[]",
            "42703",
            "ignore names a column",
        ),
        (
            "'item', exclude => ARRAY['id']",
            "22023",
            "invalid exclude: it names a column of the key",
        ),
        (
            "'item', redact => ARRAY['id']",
            "22023",
            "invalid redact: it names a column of the key",
        ),
        (
            "'item', level => 'table'",
            "22023",
            "invalid level: it must be one of auto, row, statement",
        ),
        (
            "'item', on_missing_tenant => 'ignore'",
            "22023",
            "invalid on_missing_tenant",
        ),
        (
            "'item', action_prefix => 'Item'",
            "22023",
            "invalid action_prefix",
        ),
        (
            "'item', action_prefix => 'activity.item'",
            "22023",
            "the namespace activity is the log's own",
        ),
        ("'nothing'", "42P01", "does not exist"),
    ] {
        let refused = session.query(&format!("SELECT activity.attach({arguments})"), &[]);
        let refusal = expect_error(refused, sqlstate);
        assert!(refusal.message.contains(says), "{arguments}: {refusal:?}");
    }
    let refused = session.query(
        "SELECT activity.attach('item', exclude => ARRAY['note', 'nix'])",
        &[],
    );
    assert_eq!(
        expect_error(refused, "42703").detail,
        r#"{"argument":"exclude","position":2}"#
    );
    assert_eq!(traces(&mut session), 0);
}

#[test]
fn a_table_is_attached_once_and_detached_once() {
    let mut session = item();
    session
        .batch_execute("SELECT activity.attach('item')")
        .unwrap();
    let again = expect_error(
        session.query("SELECT activity.attach('item')", &[]),
        "42710",
    );
    assert_eq!(again.message, "this table is captured already");
    session
        .batch_execute("INSERT INTO item VALUES (1)")
        .unwrap();
    session
        .batch_execute("SELECT activity.detach('item')")
        .unwrap();
    let gone = expect_error(
        session.query("SELECT activity.detach('item')", &[]),
        "42704",
    );
    assert!(gone.hint.contains("activity.coverage()"), "{gone:?}");
    session
        .batch_execute("INSERT INTO item VALUES (2)")
        .unwrap();
    assert_eq!(
        session.texts("SELECT object_id FROM activity.events WHERE action = 'item.created'"),
        ["1"]
    );
    assert_eq!(
        session.number("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '!activity%'"),
        0
    );
    // What was captured before and what comes now is the history of the same objects.
    session
        .batch_execute("SELECT activity.attach('item'); UPDATE item SET note = 'x' WHERE id = 1")
        .unwrap();
    assert_eq!(
        session.texts("SELECT action FROM activity.events WHERE object_id = '1' ORDER BY event_id"),
        ["item.created", "item.updated"]
    );
}

#[test]
fn what_is_rolled_back_was_not_attached() {
    let mut session = item();
    session
        .batch_execute("BEGIN; SELECT activity.attach('item'); INSERT INTO item VALUES (1); ROLLBACK; INSERT INTO item VALUES (2)")
        .unwrap();
    assert_eq!(traces(&mut session), 0);
    assert_eq!(
        session.number("SELECT count(*) FROM activity.events WHERE source = 'capture'"),
        0
    );
    session
        .batch_execute("SELECT activity.attach('item')")
        .unwrap();
    session
        .batch_execute(
            "BEGIN; SELECT activity.detach('item'); ROLLBACK; INSERT INTO item VALUES (3)",
        )
        .unwrap();
    assert_eq!(
        session.number("SELECT count(*) FROM activity.events WHERE source = 'capture'"),
        1
    );
}

#[test]
fn two_tables_of_one_name_are_told_apart_for_good() {
    let mut session = item();
    session
        .batch_execute(
            "CREATE SCHEMA shop; CREATE TABLE shop.item (id int PRIMARY KEY);
             SELECT activity.attach('item'); SELECT activity.attach('shop.item');
             INSERT INTO item VALUES (1); INSERT INTO shop.item VALUES (1);",
        )
        .unwrap();
    assert_eq!(
        session.texts(
            "SELECT concat_ws(' ', action, object_type) FROM activity.events WHERE source = 'capture' ORDER BY event_id"
        ),
        ["item.created item", "shop.item.created shop.item"]
    );
}

#[test]
fn two_sessions_that_attach_the_same_table_at_once_attach_it_once() {
    let database = log();
    let (mut first, mut second) = (database.superuser(), database.superuser());
    first.batch_execute(ITEM).unwrap();
    first
        .batch_execute("BEGIN; SELECT activity.attach('item')")
        .unwrap();
    let waiting = std::thread::spawn(move || {
        expect_error(second.query("SELECT activity.attach('item')", &[]), "42710")
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!waiting.is_finished());
    first.batch_execute("COMMIT").unwrap();
    waiting.join().unwrap();
    assert_eq!(first.number("SELECT count(*) FROM activity.captures"), 1);
}

#[test]
fn an_admin_attaches_tables_of_his_own_or_of_a_role_that_he_is_in() {
    let database = log();
    let admin = database.create_login(&["activity_admin"]);
    let owner = database.create_login(&[]);
    database
        .superuser()
        .batch_execute(&format!(
            "CREATE SCHEMA app; GRANT ALL ON SCHEMA app TO {owner}, {admin};
             SET ROLE {owner}; CREATE TABLE app.theirs (id int PRIMARY KEY); GRANT ALL ON app.theirs TO {admin}"
        ))
        .unwrap();
    let mut session = database.connect_as(&admin);
    for call in [
        "SELECT activity.attach('app.theirs')",
        "SELECT activity.on_change('app.theirs', 'a.b', 'true')",
    ] {
        let refusal = expect_error(session.query(call, &[]), "42501");
        assert!(
            refusal.hint.contains("Through the log one could read it"),
            "{refusal:?}"
        );
    }
    database
        .superuser()
        .batch_execute(&format!("GRANT {owner} TO {admin}"))
        .unwrap();
    session
        .batch_execute("SELECT activity.attach('app.theirs')")
        .unwrap();
    // The owner alone may not switch capture off.
    let mut theirs = database.connect_as(&owner);
    for call in [
        "detach('app.theirs')",
        "pause('app.theirs', 'x')",
        "attach('app.theirs')",
    ] {
        expect_error(
            theirs.query(&format!("SELECT activity.{call}"), &[]),
            "42501",
        );
    }
}

#[test]
fn before_setup_there_is_nothing_to_attach_to() {
    let mut session = Cluster::shared().database_before_setup().superuser();
    session.batch_execute("CREATE TABLE item (id int)").unwrap();
    for call in [
        "SELECT activity.attach('item')",
        "SELECT activity.detach('item')",
        "SELECT activity.pause('item', 'x')",
        "SELECT activity.on_change('item', 'a.b', 'true')",
        "SELECT * FROM activity.coverage()",
        "SELECT * FROM activity.object_history('item', '1')",
        "SELECT activity.row_as_of('item', '{\"id\": 1}')",
    ] {
        let refusal = expect_error(session.query(call, &[]), "55000");
        assert!(
            refusal.hint.contains("activity.setup()"),
            "{call}: {refusal:?}"
        );
    }
}

#[test]
fn a_part_of_a_captured_table_is_not_captured_beside_it() {
    let mut session = log().superuser();
    session
        .batch_execute(
            "CREATE TABLE whole (id int PRIMARY KEY) PARTITION BY RANGE (id);
             CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (10);
             SELECT activity.attach('whole')",
        )
        .unwrap();
    expect_error(
        session.query("SELECT activity.attach('part')", &[]),
        "42710",
    );
    session
        .batch_execute("SELECT activity.detach('whole'); SELECT activity.attach('part')")
        .unwrap();
    expect_error(
        session.query("SELECT activity.attach('whole')", &[]),
        "42710",
    );
    assert_eq!(
        session.text("SELECT level FROM activity.coverage() WHERE captured"),
        Some("row".into()),
        "rows that come through the parent fire no statement trigger of the partition"
    );
}
