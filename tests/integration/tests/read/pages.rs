//! Pages: each event once, whatever else goes on.

use super::{OTHER_TENANT, TENANT, all_pages, log, page, record_many};
use activity_log_integration::{Cluster, expect_error};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

fn events(count: usize, occurred_at: impl Fn(usize) -> String) -> Vec<Value> {
    (0..count)
        .map(|n| json!({"tenant_id": TENANT, "action": "a.b", "occurred_at": occurred_at(n)}))
        .collect()
}

#[test]
fn events_of_the_same_time_have_a_stable_order() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let mut ids = record_many(
        &mut session,
        &events(100, |_| "2023-07-10T12:00:00Z".into()),
    );
    ids.reverse();
    for page_size in [1, 7, 99, 100, 1000] {
        assert_eq!(
            all_pages(&mut session, page_size),
            ids,
            "pages of {page_size}"
        );
    }
}

#[test]
fn a_reader_meets_each_old_event_once_while_a_writer_adds_new_ones() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let old: HashSet<Uuid> = (0..10)
        .flat_map(|_| {
            record_many(
                &mut session,
                &events(100, |n| format!("2023-07-10T12:00:{:02}Z", n % 60)),
            )
        })
        .collect();
    let done = AtomicBool::new(false);
    let read = std::thread::scope(|scope| {
        let mut writer = database.superuser();
        let done = &done;
        let adding = scope.spawn(move || {
            let mut added = 0;
            while !done.load(Ordering::Relaxed) {
                added +=
                    record_many(&mut writer, &events(5, |_| "2023-07-10T12:01:00Z".into())).len();
            }
            added
        });
        let read = all_pages(&mut session, 7);
        done.store(true, Ordering::Relaxed);
        assert!(adding.join().unwrap() > 0);
        read
    });
    let distinct: HashSet<Uuid> = read.iter().copied().collect();
    assert_eq!(distinct.len(), read.len(), "an event came twice");
    assert!(old.is_subset(&distinct), "an event was left out");
}

#[test]
fn what_is_recorded_late_stands_where_it_occurred() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let now = record_many(
        &mut session,
        &[json!({"tenant_id": TENANT, "action": "a.b"})],
    );
    let late = record_many(
        &mut session,
        &events(3, |n| {
            [
                "2023-02-01T00:00:00Z",
                "2024-02-01T00:00:00Z",
                "2023-01-01T00:00:00Z",
            ][n]
                .into()
        }),
    );
    let expected = [now[0], late[1], late[0], late[2]];
    for page_size in [1, 2, 3, 50] {
        assert_eq!(all_pages(&mut session, page_size), expected);
    }
    // A reader who is past the place of an event that comes in late does not go back for it.
    let (first, cursor) = page(&mut session, ", page_size => 2");
    assert_eq!(first, expected[..2]);
    record_many(&mut session, &events(1, |_| "2025-01-01T00:00:00Z".into()));
    let rest = page(&mut session, &format!(", cursor => '{}'", cursor.unwrap())).0;
    assert_eq!(rest, expected[2..]);
}

#[test]
fn pages_go_through_partitions_also_where_events_occurred_before_their_partition() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    // By recorded_at in last month's, this month's and next month's partition; by occurred_at mixed.
    session
        .batch_execute(&format!(
            "INSERT INTO activity.events (recorded_at, occurred_at, xact, gen, event_id, tenant_id, action, status, source, metadata)
             SELECT recorded_at, recorded_at - (n * 7919 % 5000) * interval '1 hour', '3', 1, gen_random_uuid(),
                    '{TENANT}', 'a.b', 'success', 'api', '{{}}'
             FROM generate_series(1, 600) AS n, LATERAL (SELECT now() + (n % 3 - 1) * interval '1 month') AS r (recorded_at)"
        ))
        .unwrap();
    let partitions =
        session.number("SELECT count(DISTINCT tableoid) FROM activity.events WHERE action = 'a.b'");
    assert_eq!(partitions, 3);
    let expected: Vec<Uuid> = session
        .query(
            &format!("SELECT event_id FROM activity.events WHERE tenant_id = '{TENANT}' ORDER BY occurred_at DESC, event_id DESC"),
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    for page_size in [13, 250, 1000] {
        assert_eq!(
            all_pages(&mut session, page_size),
            expected,
            "pages of {page_size}"
        );
    }
}

#[test]
fn the_size_of_a_page_has_bounds_and_a_default() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    record_many(
        &mut session,
        &events(1_005, |_| "2023-07-10T12:00:00Z".into()),
    );
    for (size, expected) in [("NULL", 50), ("1", 1), ("1000", 1_000)] {
        assert_eq!(
            page(&mut session, &format!(", page_size => {size}"))
                .0
                .len(),
            expected
        );
    }
    assert_eq!(page(&mut session, "").0.len(), 50);
    for size in ["0", "1001", "-1", "2147483647"] {
        let query =
            format!("SELECT * FROM activity.list(tenant_id => '{TENANT}', page_size => {size})");
        expect_error(session.query(&query, &[]), "22023");
    }
}

#[test]
fn a_cursor_is_good_for_its_tenant_and_log_and_as_it_was_given_out() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    record_many(&mut session, &events(3, |_| "2023-07-10T12:00:00Z".into()));
    let cursor = page(&mut session, ", page_size => 1").1.unwrap();
    assert!(
        cursor
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    );

    let list = "SELECT * FROM activity.list(tenant_id => $1, cursor => $2)";
    let tenant = Uuid::parse_str(TENANT).unwrap();
    let other = Uuid::parse_str(OTHER_TENANT).unwrap();
    assert_eq!(session.query(list, &[&tenant, &cursor]).unwrap().len(), 2);
    expect_error(session.query(list, &[&other, &cursor]), "22023");
    for place in 0..cursor.len() {
        let replacement = if cursor.as_bytes()[place] == b'A' {
            "B"
        } else {
            "A"
        };
        let mut tampered = cursor.clone();
        tampered.replace_range(place..=place, replacement);
        expect_error(session.query(list, &[&tenant, &tampered]), "22023");
        expect_error(
            session.query(list, &[&tenant, &&cursor[..place.max(1)]]),
            "22023",
        );
    }
    for garbage in [
        "hunter2",
        "=",
        "ä",
        "' OR true --",
        &"A".repeat(10_000),
        &format!("{cursor}A"),
        &format!(" {cursor}"),
    ] {
        let refusal = expect_error(session.query(list, &[&tenant, &garbage]), "22023");
        assert!(!refusal.text().contains("hunter2"), "{refusal:?}");
    }
    // Another log's: each has an identity of its own.
    let mut elsewhere = log(Cluster::shared()).superuser();
    expect_error(elsewhere.query(list, &[&tenant, &cursor]), "22023");
}
