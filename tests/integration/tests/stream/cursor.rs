//! Cursors: whose they are, how long, and from when on they read.

use super::{OTHER_TENANT, TENANT, drain, log, now, of, page, record, record_for};
use activity_log_integration::{Cluster, Options, expect_error};
use uuid::Uuid;

fn read(tenant: &str, cursor: &str) -> String {
    format!("SELECT * FROM activity.read_stream('{tenant}', '{cursor}')")
}

#[test]
fn a_cursor_of_another_tenant_of_another_log_or_of_list_is_refused() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    record(&mut session);
    record(&mut session);
    let drained = drain(&mut session, "", &of(TENANT, 500)).1;
    let midst = page(&mut session, "", &of(TENANT, 1)).cursor;
    let of_all = drain(&mut session, "", "").1;
    for cursor in [&drained, &midst, &of_all] {
        expect_error(session.simple_query(&read(OTHER_TENANT, cursor)), "22023");
    }
    let everybodys = format!("SELECT * FROM activity.read_stream(cursor => '{drained}')");
    expect_error(session.simple_query(&everybodys), "22023");
    let listed = session
        .text(&format!(
            "SELECT cursor FROM activity.list('{TENANT}') LIMIT 1"
        ))
        .unwrap();
    for bad in [&listed[..], "x", "=", &drained[1..], &format!("{drained}A")] {
        let refusal = expect_error(session.simple_query(&read(TENANT, bad)), "22023");
        assert!(refusal.hint.contains("next_cursor"), "{refusal:?}");
    }
    let mut other = log(Cluster::shared()).superuser();
    expect_error(other.simple_query(&read(TENANT, &drained)), "22023");
    let start = now(&mut other);
    expect_error(session.simple_query(&read(TENANT, &start)), "22023");
}

#[test]
fn a_start_is_good_for_any_tenant_and_for_all() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    record(&mut session);
    let start = now(&mut session);
    let own = record(&mut session);
    let other = record_for(&mut session, OTHER_TENANT, "a.b");
    assert_eq!(drain(&mut session, &start, &of(TENANT, 5)).0, [own]);
    assert_eq!(drain(&mut session, &start, &of(OTHER_TENANT, 5)).0, [other]);
    assert_eq!(drain(&mut session, &start, "").0, [own, other]);
}

#[test]
fn a_start_at_a_time_gives_what_was_recorded_since() {
    let database = log(Cluster::shared());
    let (mut session, mut slow) = (database.superuser(), database.superuser());
    record(&mut session);
    slow.batch_execute("BEGIN").unwrap();
    record(&mut slow);
    let at = session.text("SELECT clock_timestamp()::text").unwrap();
    let since = session
        .text(&format!("SELECT activity.stream_start('{at}')"))
        .unwrap();
    let first = record(&mut session);
    let (found, cursor) = drain(&mut session, &since, &of(TENANT, 5));
    assert_eq!(found, [first]);
    let late = record(&mut slow);
    slow.batch_execute("COMMIT").unwrap();
    let second = record(&mut session);
    // It was recorded before that time, but it comes now: a stream is about what becomes visible.
    let rest = drain(&mut session, &cursor, &of(TENANT, 1)).0;
    assert_eq!(rest.len(), 3);
    assert_eq!(rest[1..], [late, second]);
    // Asked anew, the time decides.
    for arguments in [of(TENANT, 1), ", page_size => 1".to_owned()] {
        let mut again = drain(&mut session, &since, &arguments).0;
        again.sort();
        let mut expected = [first, late, second];
        expected.sort();
        assert_eq!(again, expected);
    }
    let future = session
        .text("SELECT activity.stream_start('infinity')")
        .unwrap();
    assert_eq!(
        drain(&mut session, &future, &of(TENANT, 5)).0,
        [] as [Uuid; 0]
    );
}

#[test]
fn a_cursor_stays_short_and_url_safe_under_many_open_transactions() {
    let cluster = Cluster::start(&Options {
        preload: true,
        settings: &[("max_connections", "320")],
    });
    let database = log(&cluster);
    let mut reader = database.superuser();
    let quiet = drain(&mut reader, "", &of(TENANT, 500)).1;
    assert!(quiet.len() < 80, "{} characters", quiet.len());
    let mut open: Vec<_> = (0..250).map(|_| database.superuser()).collect();
    let mut ids = Vec::new();
    for session in &mut open {
        session.batch_execute("BEGIN").unwrap();
        ids.push(record(session));
    }
    let seen = record(&mut reader);
    let (found, cursor) = drain(&mut reader, &quiet, &of(TENANT, 500));
    assert_eq!(found, [seen]);
    assert!(cursor.len() < 600, "{} characters", cursor.len());
    assert!(
        cursor
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    );
    for session in open.iter_mut().rev() {
        session.batch_execute("COMMIT").unwrap();
    }
    assert_eq!(drain(&mut reader, &cursor, &of(TENANT, 20)).0, ids);
}

#[test]
fn a_reader_behind_retention_is_told_where_it_can_go_on() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let past = |time: &str| {
        format!(
            "INSERT INTO activity.events (recorded_at, occurred_at, xact, gen, event_id, tenant_id, action, status, source, metadata)
             SELECT t, t, pg_current_xact_id(), 1,
                    (lpad(to_hex((extract(epoch FROM t) * 1000)::bigint), 12, '0') || '7000' || '8000' || substr(md5(random()::text), 1, 12))::uuid,
                    '{TENANT}', 'a.b', 'success', 'api', '{{}}' FROM (SELECT {time}) AS x (t)"
        )
    };
    let month = "date_trunc('month', now(), 'UTC')";
    for time in [
        format!("{month} - interval '3 days'"),
        format!("{month} - interval '2 days'"),
    ] {
        session.batch_execute(&past(&time)).unwrap();
    }
    let kept = record(&mut session);
    let midst = page(&mut session, "", &of(TENANT, 1)).cursor;
    session
        .batch_execute(
            "DO $$ BEGIN EXECUTE format('ALTER TABLE activity.events DETACH PARTITION activity.%I',
                 'events_p' || to_char(date_trunc('month', now(), 'UTC') - interval '1 day', 'YYYY_MM')); END $$",
        )
        .unwrap();
    let refusal = expect_error(session.simple_query(&read(TENANT, &midst)), "55000");
    let detail: serde_json::Value = serde_json::from_str(&refusal.detail).unwrap();
    let goes_on = detail["goes_on_at"].as_str().unwrap();
    assert!(refusal.hint.contains(goes_on), "{refusal:?}");
    let start = session
        .text(&format!("SELECT activity.stream_start(at => '{goes_on}')"))
        .unwrap();
    assert_eq!(drain(&mut session, &start, &of(TENANT, 5)).0, [kept]);
    // Who begins anew gets what there is.
    assert_eq!(drain(&mut session, "", &of(TENANT, 5)).0, [kept]);
}
