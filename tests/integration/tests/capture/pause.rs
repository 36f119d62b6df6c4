//! `pause()` and `resume()`: a gap that says who made it, why, and until when.

use crate::captured::{count, log};
use activity_log_integration::{Cluster, Options, Session, Stop, expect_error};

const ITEM: &str =
    "CREATE TABLE item (id int PRIMARY KEY, note text); SELECT activity.attach('item');";

fn item() -> Session {
    let mut session = log().superuser();
    session.batch_execute(ITEM).unwrap();
    session
}

fn state(session: &mut Session) -> String {
    session
        .text("SELECT concat_ws(' ', captured, split_part(state, ' ', 1)) FROM activity.coverage() WHERE table_name = 'item'")
        .unwrap()
}

#[test]
fn nothing_is_captured_between_pause_and_resume_and_both_are_events() {
    let mut session = item();
    session
        .batch_execute(
            "INSERT INTO item VALUES (1);
             SELECT activity.pause('item', 'nightly load');
             INSERT INTO item VALUES (2); UPDATE item SET note = 'x'; TRUNCATE item;",
        )
        .unwrap();
    assert_eq!(state(&mut session), "f paused");
    session
        .batch_execute("SELECT activity.resume('item'); INSERT INTO item VALUES (3); SELECT activity.resume('item')")
        .unwrap();
    assert_eq!(state(&mut session), "t active");
    assert_eq!(
        session.texts(
            "SELECT object_id FROM activity.events WHERE source = 'capture' ORDER BY event_id"
        ),
        ["1", "3"]
    );
    assert_eq!(
        session.texts(
            "SELECT concat_ws(' ', action, metadata ->> 'reason') FROM activity.events
             WHERE action IN ('activity.capture.paused', 'activity.capture.resumed') ORDER BY event_id"
        ),
        ["activity.capture.paused nightly load", "activity.capture.resumed"]
    );
}

#[test]
fn a_pause_ends_by_itself() {
    let mut session = item();
    session
        .batch_execute("SELECT activity.pause('item', 'short', clock_timestamp() + interval '1 second'); INSERT INTO item VALUES (1)")
        .unwrap();
    assert!(
        session
            .text("SELECT state FROM activity.coverage()")
            .unwrap()
            .starts_with("paused until 20")
    );
    session
        .batch_execute("SELECT pg_sleep(1.1); INSERT INTO item VALUES (2)")
        .unwrap();
    assert_eq!(state(&mut session), "t active");
    assert_eq!(count(&mut session, "object_id = '2'"), 1);
    assert_eq!(count(&mut session, "object_id = '1'"), 0);
}

#[test]
fn a_pause_without_reason_or_with_an_end_that_is_over_is_refused() {
    let mut session = item();
    for (arguments, sqlstate, says) in [
        ("'item'", "22004", "reason must be given"),
        ("'item', ''", "22004", "reason must be given"),
        ("NULL, 'x'", "22004", "target must be given"),
        (
            "'item', 'x', now() - interval '1 second'",
            "22023",
            "it must be in the future",
        ),
        (
            "'item', 'x', 'infinity'",
            "22023",
            "it must be in the future, and finite",
        ),
        (
            "'item', repeat('x', 1001)",
            "22001",
            "reason has 1001 bytes",
        ),
        ("'pg_class', 'x'", "42809", "a table of the catalog"),
    ] {
        let refusal = expect_error(
            session.query(&format!("SELECT activity.pause({arguments})"), &[]),
            sqlstate,
        );
        assert!(refusal.message.contains(says), "{arguments}: {refusal:?}");
    }
    session
        .batch_execute("CREATE TABLE other (id int)")
        .unwrap();
    for call in ["pause('other', 'x')", "resume('other')"] {
        expect_error(
            session.query(&format!("SELECT activity.{call}"), &[]),
            "42704",
        );
    }
    assert_eq!(state(&mut session), "t active");
}

#[test]
fn a_secret_in_a_reason_is_scrubbed() {
    let mut session = item();
    session
        .batch_execute("SELECT activity.pause('item', 'with password=hunter2secret')")
        .unwrap();
    let stored = session
        .text("SELECT (SELECT pause_reason FROM activity.captures) || (SELECT string_agg(metadata::text, '') FROM activity.events)")
        .unwrap();
    assert!(!stored.contains("hunter2secret"), "{stored}");
}

#[test]
fn a_pause_that_is_rolled_back_was_none_and_one_that_commits_counts_for_every_session() {
    let database = log();
    let (mut admin, mut writer) = (database.superuser(), database.superuser());
    admin.batch_execute(ITEM).unwrap();
    writer.batch_execute("INSERT INTO item VALUES (1)").unwrap();
    admin
        .batch_execute("BEGIN; SELECT activity.pause('item', 'x')")
        .unwrap();
    // Writers neither wait for the pause nor see it before it is committed.
    writer
        .batch_execute("SET lock_timeout = '2s'; INSERT INTO item VALUES (2)")
        .unwrap();
    admin.batch_execute("ROLLBACK").unwrap();
    writer.batch_execute("INSERT INTO item VALUES (3)").unwrap();
    admin
        .batch_execute("SELECT activity.pause('item', 'x')")
        .unwrap();
    writer.batch_execute("INSERT INTO item VALUES (4)").unwrap();
    assert_eq!(
        admin.texts(
            "SELECT object_id FROM activity.events WHERE source = 'capture' ORDER BY event_id"
        ),
        ["1", "2", "3"]
    );
}

#[test]
fn a_pause_survives_a_restart() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    database
        .superuser()
        .batch_execute(&format!(
            "{ITEM} SELECT activity.pause('item', 'x', now() + interval '1 hour')"
        ))
        .unwrap();
    cluster.restart(Stop::Immediate);
    let mut session = database.superuser();
    session
        .batch_execute("INSERT INTO item VALUES (1)")
        .unwrap();
    assert_eq!(state(&mut session), "f paused");
    assert_eq!(count(&mut session, "true"), 0);
}
