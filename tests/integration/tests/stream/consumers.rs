//! Durable consumers: their place is kept in the database, and one process at a time moves it.

use super::{OTHER_TENANT, TENANT, log, record, record_for};
use activity_log_integration::{Cluster, Database, Session, Stop, expect_error};
use uuid::Uuid;

fn create(name: &str, tenant: &str) -> String {
    format!("SELECT activity.create_consumer('{name}', '{tenant}')")
}

fn poll(session: &mut Session, name: &str, page_size: i32) -> (Vec<Uuid>, String) {
    let rows = session
        .query(
            "SELECT event_id, next_cursor FROM activity.poll($1, $2)",
            &[&name, &page_size],
        )
        .unwrap();
    let cursor = rows.last().unwrap().get(1);
    let ids = rows.iter().filter_map(|row| row.get(0)).collect();
    (ids, cursor)
}

fn ack(session: &mut Session, name: &str, cursor: &str) -> String {
    session
        .query_one("SELECT activity.ack($1, $2)", &[&name, &cursor])
        .unwrap()
        .get(0)
}

fn lag(session: &mut Session, name: &str) -> (i64, f64) {
    let row = session
        .query_one(
            "SELECT lag_events, lag_seconds FROM activity.consumers WHERE name = $1",
            &[&name],
        )
        .unwrap();
    (row.get(0), row.get(1))
}

fn reader(database: &Database<'_>) -> (String, Session) {
    let login = database.create_login(&["activity_reader"]);
    let mut session = database.connect_as(&login);
    session
        .batch_execute(&format!("SET activity.tenant_id = '{TENANT}'"))
        .unwrap();
    (login, session)
}

#[test]
fn a_consumer_gets_what_comes_after_it_was_made_until_it_acknowledges() {
    let database = log(Cluster::shared());
    let mut writer = database.superuser();
    record(&mut writer);
    let (_, mut session) = reader(&database);
    session.batch_execute(&create("feed", TENANT)).unwrap();
    let ids: Vec<Uuid> = (0..5).map(|_| record(&mut writer)).collect();
    record_for(&mut writer, OTHER_TENANT, "a.b");
    let (first, cursor) = poll(&mut session, "feed", 2);
    assert_eq!(first, ids[..2]);
    assert_eq!(
        poll(&mut session, "feed", 2).0,
        ids[..2],
        "nothing is acknowledged"
    );
    assert_eq!(lag(&mut session, "feed").0, 5);
    ack(&mut session, "feed", &cursor);
    assert_eq!(lag(&mut session, "feed").0, 3);
    let (rest, cursor) = poll(&mut session, "feed", 500);
    assert_eq!(rest, ids[2..]);
    ack(&mut session, "feed", &cursor);
    assert_eq!(lag(&mut session, "feed"), (0, 0.0));
    assert_eq!(poll(&mut session, "feed", 500).0, [] as [Uuid; 0]);
    session
        .batch_execute("SELECT activity.drop_consumer('feed')")
        .unwrap();
    let gone = expect_error(
        session.simple_query("SELECT activity.poll('feed')"),
        "42704",
    );
    assert!(gone.hint.contains("create_consumer"), "{gone:?}");
}

#[test]
fn poll_work_ack_and_poll_in_one_transaction_move_on_and_a_rollback_moves_back() {
    let database = log(Cluster::shared());
    let (mut session, mut writer) = (database.superuser(), database.superuser());
    session.batch_execute(&create("feed", TENANT)).unwrap();
    let ids: Vec<Uuid> = (0..4).map(|_| record(&mut writer)).collect();
    for end in ["ROLLBACK", "COMMIT"] {
        session.batch_execute("BEGIN").unwrap();
        let (first, cursor) = poll(&mut session, "feed", 2);
        assert_eq!(first, ids[..2], "{end}");
        // The work may be events as well.
        record_for(&mut session, OTHER_TENANT, "work.done");
        ack(&mut session, "feed", &cursor);
        let (second, cursor) = poll(&mut session, "feed", 500);
        assert_eq!(second, ids[2..], "{end}");
        ack(&mut session, "feed", &cursor);
        session.batch_execute(end).unwrap();
    }
    assert_eq!(poll(&mut session, "feed", 500).0, [] as [Uuid; 0]);
}

#[test]
fn a_second_process_is_told_who_holds_the_consumer_until_that_one_goes() {
    let database = log(Cluster::shared());
    let (mut first, mut second) = (database.superuser(), database.superuser());
    first.batch_execute(&create("feed", TENANT)).unwrap();
    let id = record(&mut first);
    let (_, cursor) = poll(&mut first, "feed", 1);
    poll(&mut first, "feed", 1);
    let pid = first.number("SELECT pg_backend_pid()::bigint");
    for call in [
        "SELECT activity.poll('feed')".to_owned(),
        format!("SELECT activity.ack('feed', '{cursor}')"),
    ] {
        let held = expect_error(second.simple_query(&call), "55P03");
        assert!(held.message.contains(&format!("process {pid}")), "{held:?}");
    }
    let holder = "SELECT held_by::bigint FROM activity.consumers WHERE name = 'feed'";
    assert_eq!(second.number(holder), pid);
    // A pooler's reset lets it go.
    first.batch_execute("DISCARD ALL").unwrap();
    assert_eq!(poll(&mut second, "feed", 1).0, [id]);
    expect_error(first.simple_query("SELECT activity.poll('feed')"), "55P03");
    drop(second);
    let mut third = database.superuser();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while third.simple_query("SELECT activity.poll('feed')").is_err() {
        assert!(std::time::Instant::now() < deadline);
    }
    // An acknowledgement alone does not hold it: an operator may move it from anywhere.
    third.batch_execute("DISCARD ALL").unwrap();
    ack(&mut first, "feed", &cursor);
    assert_eq!(poll(&mut third, "feed", 1).0, [] as [Uuid; 0]);
}

#[test]
fn a_consumer_goes_back_to_an_earlier_cursor_or_time() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    session.batch_execute(&create("feed", TENANT)).unwrap();
    let first = record(&mut session);
    let time = session.text("SELECT clock_timestamp()::text").unwrap();
    let second = record(&mut session);
    let (both, cursor) = poll(&mut session, "feed", 500);
    assert_eq!(both, [first, second]);
    let earlier = ack(&mut session, "feed", &cursor);
    assert_eq!(ack(&mut session, "feed", &earlier), cursor);
    assert_eq!(poll(&mut session, "feed", 500).0, [first, second]);
    session
        .batch_execute(&format!(
            "SELECT activity.ack('feed', activity.stream_start(at => '{time}'))"
        ))
        .unwrap();
    assert_eq!(poll(&mut session, "feed", 500).0, [second]);
    for bad in ["x", &earlier[1..]] {
        let call = format!("SELECT activity.ack('feed', '{bad}')");
        expect_error(session.simple_query(&call), "22023");
    }
    expect_error(session.simple_query("SELECT activity.ack('feed')"), "22004");
}

#[test]
fn only_who_made_it_and_administrators_use_a_consumer() {
    let database = log(Cluster::shared());
    let (login, mut owner) = reader(&database);
    owner.batch_execute(&create("mine", TENANT)).unwrap();
    let (_, mut other) = reader(&database);
    for call in [
        "SELECT activity.poll('mine')",
        "SELECT activity.drop_consumer('mine')",
        "SELECT activity.ack('mine', 'x')",
    ] {
        expect_error(other.simple_query(call), "42501");
    }
    let visible = "SELECT count(*) FROM activity.consumers";
    assert_eq!((owner.number(visible), other.number(visible)), (1, 0));
    expect_error(other.simple_query(&create("mine", TENANT)), "42710");
    expect_error(other.simple_query(&create("theirs", OTHER_TENANT)), "42501");
    let auditor = database.create_login(&["activity_auditor"]);
    assert_eq!(database.connect_as(&auditor).number(visible), 1);
    let admin = database.create_login(&["activity_admin"]);
    let mut admin = database.connect_as(&admin);
    admin.batch_execute("SELECT activity.poll('mine')").unwrap();
    drop(admin);
    // The right to the tenant is asked at every poll.
    database
        .superuser()
        .batch_execute(&format!(
            "INSERT INTO activity.role_tenants VALUES ('{login}', '{OTHER_TENANT}')"
        ))
        .unwrap();
    expect_error(owner.simple_query("SELECT activity.poll('mine')"), "42501");
    expect_error(
        owner.simple_query("SELECT * FROM activity.consumer_cursors"),
        "42501",
    );
}

#[test]
fn creating_twice_goes_on_and_another_shape_is_refused() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let filtered = format!("SELECT activity.create_consumer('auth', '{TENANT}', ARRAY['auth.*'])");
    let cursor = session.text(&filtered).unwrap();
    record(&mut session);
    let login = record_for(&mut session, TENANT, "auth.login");
    assert_eq!(session.text(&filtered).unwrap(), cursor);
    assert_eq!(poll(&mut session, "auth", 500).0, [login]);
    expect_error(session.simple_query(&create("auth", TENANT)), "42710");
    for (call, code) in [
        ("SELECT activity.create_consumer('A b')", "22023"),
        ("SELECT activity.create_consumer()", "22004"),
        (
            "SELECT activity.create_consumer('x', actions => '{Bad}')",
            "22023",
        ),
        ("SELECT activity.poll('auth', 0)", "22023"),
        ("SELECT activity.poll()", "22004"),
        ("SELECT activity.drop_consumer(NULL)", "22004"),
    ] {
        expect_error(session.simple_query(call), code);
    }
}

#[test]
fn a_consumer_of_every_tenant_is_an_auditor_s() {
    let database = log(Cluster::shared());
    let login = database.create_login(&["activity_auditor"]);
    let mut auditor = database.connect_as(&login);
    // That an auditor reads is an event itself, which the worker writes some time later.
    auditor
        .batch_execute("SELECT activity.create_consumer('all', actions => '{a.*}')")
        .unwrap();
    let mut writer = database.superuser();
    let ids = [
        record(&mut writer),
        record_for(&mut writer, OTHER_TENANT, "a.b"),
    ];
    assert_eq!(lag(&mut auditor, "all").0, 2);
    assert_eq!(poll(&mut auditor, "all", 500).0, ids);
    writer
        .batch_execute(&format!(
            "REVOKE activity_auditor FROM {login}; GRANT activity_reader TO {login}"
        ))
        .unwrap();
    expect_error(auditor.simple_query("SELECT activity.poll('all')"), "42501");
}

#[test]
fn a_consumer_outlives_a_crash_of_its_process_and_of_the_server() {
    let cluster = Cluster::start(&activity_log_integration::Options::default());
    let database = log(&cluster);
    let mut session = database.superuser();
    session.batch_execute(&create("feed", TENANT)).unwrap();
    let ids: Vec<Uuid> = (0..4).map(|_| record(&mut session)).collect();
    let (_, cursor) = poll(&mut session, "feed", 1);
    ack(&mut session, "feed", &cursor);
    poll(&mut session, "feed", 2);
    cluster.restart(Stop::Immediate);
    let mut session = database.superuser();
    assert_eq!(poll(&mut session, "feed", 500).0, ids[1..]);
}

#[test]
fn one_consumer_that_can_t_go_on_does_not_hide_the_others() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    session.batch_execute(&create("good", TENANT)).unwrap();
    session.batch_execute(&create("bad", TENANT)).unwrap();
    session
        .batch_execute("UPDATE activity.consumer_cursors SET cursor = 'damaged' WHERE name = 'bad'")
        .unwrap();
    let problems = session.texts("SELECT problem FROM activity.consumers ORDER BY name DESC");
    assert_eq!(problems[0], "");
    assert!(problems[1].contains("cursor"), "{problems:?}");
}
