//! A partition goes and some of its rows stay: archived as a whole, carried over bit by bit, found
//! by every reader as before, and archived again when their time has come.

use super::*;
use activity_log_integration::give_to_server;
use std::time::{Duration, Instant};

const BACK: i32 = 14;

/// A month that is due, in which a hold covers the events of one actor; the hold.
fn held_month(session: &mut Session) -> String {
    session
        .batch_execute(&format!(
            "UPDATE activity.log SET premake = premake;
             INSERT INTO activity.idempotency_keys SELECT tenant_id, 'key of ' || event_id, event_id, recorded_at
             FROM activity.events WHERE recorded_at < test.month({BACK} - 1)"
        ))
        .unwrap();
    session
        .text(&format!(
            "SELECT activity.hold('{TENANT_A}', 'a case', actor_id => 'u1')::text"
        ))
        .unwrap()
}

fn rows(session: &mut Session, from: &str) -> Vec<String> {
    session.texts(&format!(
        "SELECT event_id || ' ' || encode(sha256(record_send(e)), 'hex') FROM {from} ORDER BY event_id"
    ))
}

/// What is held of the month.
fn held(session: &mut Session) -> Vec<String> {
    rows(
        session,
        &format!(
            "activity.events e WHERE recorded_at < test.month({BACK} - 1)
             AND tenant_id = '{TENANT_A}' AND actor_id = 'u1'"
        ),
    )
}

fn of_month(session: &mut Session) -> Vec<String> {
    rows(
        session,
        &format!("activity.events e WHERE recorded_at < test.month({BACK} - 1)"),
    )
}

#[test]
fn what_is_held_stays_as_it_was_and_every_reader_finds_it() {
    let database = log_with_months(quiet_cluster(), &[BACK]);
    let mut session = database.superuser();
    held_month(&mut session);
    let one = event_with_an_id_that_tells_the_time(&mut session);
    let before = held(&mut session);
    assert!(before.len() > 5);
    keep_for(&mut session, "keep => '1 year'");
    assert_eq!(maintain(&mut session)["ok"], true);

    assert_eq!(of_month(&mut session), before);
    let name = name_of(&mut session, BACK);
    assert!(!attached(&mut session).contains(&name));
    assert!(attached(&mut session).contains(&format!("{name}_kept")));
    let table = format!("SELECT count(*) FROM pg_class WHERE relname = '{name}'");
    assert_eq!(session.number(&table), 0, "the old table is gone");
    let listed = session.number(&format!(
        "SELECT count(*) FROM activity.list(tenant_id => '{TENANT_A}', actor_id => 'u1',
            until => test.month({BACK} - 1), page_size => 100)"
    ));
    assert_eq!(listed, before.len() as i64);
    let got = format!("SELECT count(*) FROM activity.get('{one}')");
    assert_eq!(session.number(&got), 1);
    // The keys of these events go on standing for them.
    let keys = format!("SELECT count(*) FROM activity.idempotency_keys WHERE event_id = '{one}'");
    assert_eq!(session.number(&keys), 1);
}

#[test]
fn the_new_partition_is_guarded_and_indexed_like_any_other() {
    let database = log_with_months(Cluster::shared(), &[BACK]);
    let mut session = database.superuser();
    held_month(&mut session);
    keep_for(&mut session, "keep => '1 year'");
    assert_eq!(maintain(&mut session)["ok"], true);
    let name = name_of(&mut session, BACK);
    for attempt in ["DELETE FROM", "TRUNCATE"] {
        let statement = format!("{attempt} activity.{name}_kept");
        expect_error(session.batch_execute(&statement), "42501");
    }
    let reader = database.create_login(&["activity_reader", "activity_auditor"]);
    let read = format!("SELECT * FROM activity.{name}_kept");
    expect_error(database.connect_as(&reader).query(&read, &[]), "42501");
    let indexes = session.number(&format!(
        "SELECT count(*) FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid
         WHERE x.indrelid = 'activity.{name}_kept'::regclass"
    ));
    let of_parent = session
        .number("SELECT count(*) FROM pg_index WHERE indrelid = 'activity.events'::regclass");
    assert_eq!(indexes, of_parent);
    let problems = session.texts(
        "SELECT item FROM activity.status() WHERE area = 'protection' AND NOT ok AND item NOT LIKE 'role%'",
    );
    assert_eq!(problems, [""; 0]);
}

/// An event as the log itself makes them, one of those under hold, with a key.
fn event_with_an_id_that_tells_the_time(session: &mut Session) -> String {
    let id = session.text(&format!(
        "WITH t AS (SELECT test.month({BACK}) + interval '1 hour' AS at),
         e AS (INSERT INTO activity.events (recorded_at, occurred_at, xact, gen, event_id, tenant_id, action, status, source,
                   actor_type, actor_id, metadata)
               SELECT at, at, '1', 1, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000000000000001')::uuid,
                   '{TENANT_A}', 'doc.read', 'success', 'api', 'user', 'u1', '{{\"n\": 1.10}}' FROM t RETURNING *)
         INSERT INTO activity.idempotency_keys SELECT tenant_id, 'its key', event_id, recorded_at FROM e RETURNING event_id::text"
    ));
    id.unwrap()
}

#[test]
fn the_whole_month_is_archived_first_and_what_stayed_when_it_goes_itself() {
    let database = log_with_months(quiet_cluster(), &[BACK]);
    let folder = database
        .cluster()
        .folder()
        .join(format!("archive-{}", database.name()));
    std::fs::create_dir(&folder).unwrap();
    give_to_server(&folder);
    let mut session = database.superuser();
    let hold = held_month(&mut session);
    let (all, stays) = (of_month(&mut session), held(&mut session));
    keep_for(
        &mut session,
        &format!("keep => '1 year', archive_to => '{}'", folder.display()),
    );
    assert_eq!(maintain(&mut session)["ok"], true);
    assert_eq!(of_month(&mut session), stays);
    assert_eq!(archived(&mut session), std::slice::from_ref(&all));

    // Some of it is released, some is not.
    let second = session
        .text(&format!("SELECT activity.hold('{TENANT_A}', 'another', actor_id => 'u1', object_type => 'doc', object_id => 'd1')::text"))
        .unwrap();
    let fewer: Vec<String> = rows(
        &mut session,
        &format!(
            "activity.events e WHERE recorded_at < test.month({BACK} - 1) AND object_id = 'd1'"
        ),
    );
    assert!(!fewer.is_empty() && fewer.len() < stays.len());
    release(&mut session, &hold);
    maintain(&mut session);
    maintain(&mut session);
    assert_eq!(of_month(&mut session), fewer);
    assert_eq!(archived(&mut session), [all.clone(), stays.clone()]);

    release(&mut session, &second);
    maintain(&mut session);
    maintain(&mut session);
    assert_eq!(of_month(&mut session), [""; 0]);
    assert_eq!(archived(&mut session), [all, stays, fewer]);
}

fn release(session: &mut Session, hold: &str) {
    let statement = format!("SELECT activity.release_hold('{hold}', 'settled')");
    session.batch_execute(&statement).unwrap();
}

/// The rows of each archive that retention has written, the largest first.
fn archived(session: &mut Session) -> Vec<Vec<String>> {
    let manifests = session.texts(
        "SELECT archive_manifest FROM activity.partition_ranges WHERE archive_manifest IS NOT NULL ORDER BY archive_rows DESC",
    );
    let restored = manifests.iter().map(|manifest| {
        session.batch_execute("BEGIN").unwrap();
        let restore = format!("SELECT activity.restore_archive('{manifest}', 'restored_look')");
        session.batch_execute(&restore).unwrap();
        let rows = rows(session, "activity.restored_look e");
        session.batch_execute("ROLLBACK").unwrap();
        rows
    });
    restored.collect()
}

#[test]
fn a_hold_that_comes_while_rows_are_carried_over_waits_and_finds_what_is_left() {
    let database = log_with_months(quiet_cluster(), &[BACK]);
    let mut session = database.superuser();
    held_month(&mut session);
    keep_for(&mut session, "keep => '1 year'");
    // A hold is being placed: not yet committed when maintain() begins.
    let mut other = database.superuser();
    other.batch_execute("BEGIN").unwrap();
    other
        .batch_execute(&format!(
            "SELECT activity.hold('{TENANT_B}', 'late', actor_id => 'u2')"
        ))
        .unwrap();
    let late = format!(
        "SELECT count(*) FROM activity.events WHERE tenant_id = '{TENANT_B}' AND actor_id = 'u2'
         AND recorded_at < test.month({BACK} - 1)"
    );
    let expected = session.number(&late);
    assert!(expected > 5);
    let running = std::thread::spawn(move || maintain(&mut session));
    std::thread::sleep(Duration::from_millis(500));
    other.batch_execute("COMMIT").unwrap();
    running.join().unwrap();
    maintain(&mut other);
    assert_eq!(other.number(&late), expected);
}

#[test]
fn somebody_who_reads_the_log_delays_it_and_no_writer_waits_long() {
    let database = log_with_months(quiet_cluster(), &[BACK]);
    let mut session = database.superuser();
    held_month(&mut session);
    session
        .batch_execute("SELECT activity.register_action('note.written')")
        .unwrap();
    keep_for(&mut session, "keep => '1 year'");
    let stays = held(&mut session);
    let all = of_month(&mut session);
    let mut reader = database.superuser();
    reader
        .batch_execute("BEGIN; SELECT count(*) FROM activity.events")
        .unwrap();
    let running = std::thread::spawn(move || (maintain(&mut session), session));
    let mut writer = database.superuser();
    let mut longest = Duration::ZERO;
    while !running.is_finished() {
        let began = Instant::now();
        writer
            .batch_execute(&format!(
                "SELECT activity.record('note.written', tenant_id => '{TENANT_B}')"
            ))
            .unwrap();
        longest = longest.max(began.elapsed());
        std::thread::sleep(Duration::from_millis(2));
    }
    let (_, mut session) = running.join().unwrap();
    // The lock is asked for 40 ms at a time; the rest is what two busy cores add.
    assert!(longest < Duration::from_millis(250), "{longest:?}");
    assert_eq!(
        of_month(&mut session),
        all,
        "nothing goes while somebody reads"
    );
    reader.batch_execute("COMMIT").unwrap();
    maintain(&mut session);
    assert_eq!(of_month(&mut session), stays);
}

/// One step of a run, to its end.
fn step(session: &mut Session, name: &str) {
    let mut is_first = true;
    loop {
        let wait: Option<f64> = session
            .query_one(
                "SELECT activity._maintain_step($1, $2)",
                &[&name, &is_first],
            )
            .unwrap()
            .get(0);
        if wait.is_none() {
            return;
        }
        is_first = false;
    }
}

#[test]
fn an_archive_that_an_erasure_has_outdated_is_written_anew_before_the_partition_goes() {
    let database = log_with_months(quiet_cluster(), &[BACK]);
    let folder = database
        .cluster()
        .folder()
        .join(format!("archive-{}", database.name()));
    std::fs::create_dir(&folder).unwrap();
    give_to_server(&folder);
    let mut session = database.superuser();
    keep_for(
        &mut session,
        &format!("keep => '1 year', archive_to => '{}'", folder.display()),
    );
    session
        .batch_execute("SELECT activity._begin_maintenance()")
        .unwrap();
    for name in ["make_ahead", "close", "expire"] {
        step(&mut session, name);
    }
    let marked = "SELECT count(*) FROM activity.partition_ranges WHERE state = 'detaching' AND archived_at IS NOT NULL";
    assert_eq!(session.number(marked), 1);
    // Somebody asks to be forgotten while the detach waits for a long reader.
    session
        .batch_execute(&format!(
            "SELECT activity.erase_actor('u1', '{TENANT_A}', 'request 1')"
        ))
        .unwrap();
    let erased = of_month(&mut session);
    for name in ["detach", "drop"] {
        step(&mut session, name);
    }
    session
        .batch_execute("SELECT activity._end_maintenance()")
        .unwrap();
    assert_eq!(of_month(&mut session), erased);
    maintain(&mut session);
    assert_eq!(of_month(&mut session), [""; 0]);
    let archived = archived(&mut session);
    assert_eq!(archived.last(), Some(&erased));
    let known =
        "SELECT count(*) FROM activity.partitions WHERE state = 'archived' AND archive IS NOT NULL";
    assert_eq!(session.number(known), 1);
}

#[test]
fn rules_that_keep_differently_have_different_digests() {
    let database = quiet_cluster().database();
    let mut session = database.superuser();
    let mut digests = std::collections::BTreeSet::new();
    let times = ["30 days", "1 month", "720 hours"];
    for keep in times {
        session
            .batch_execute(&format!(
                "SELECT activity.register_action('doc.read', keep => '{keep}')"
            ))
            .unwrap();
        for format in ["hex", "escape"] {
            session
                .batch_execute(&format!("SET bytea_output = {format}"))
                .unwrap();
            digests
                .extend(session.text(include_str!("../../../../sql/query/retention_digest.sql")));
        }
    }
    assert_eq!(digests.len(), times.len());
}
