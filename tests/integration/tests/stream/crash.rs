//! Cursors across crashes of the server.

use super::{TENANT, drain, log, of, page, record};
use activity_log_integration::{Cluster, Options, Stop};
use uuid::Uuid;

fn cluster() -> Cluster {
    Cluster::start(&Options {
        preload: false,
        settings: &[
            ("max_prepared_transactions", "5"),
            // Nobody writes out what a commit did not wait for, except who needs it.
            ("wal_writer_delay", "10s"),
        ],
    })
}

#[test]
fn a_cursor_goes_on_after_a_crash_complete_or_in_the_midst() {
    let cluster = cluster();
    let database = log(&cluster);
    let mut session = database.superuser();
    let ids: Vec<Uuid> = (0..4).map(|_| record(&mut session)).collect();
    let (_, drained) = drain(&mut session, "", &of(TENANT, 500));
    let midst = page(&mut session, "", &of(TENANT, 2)).cursor;
    session.batch_execute("BEGIN").unwrap();
    record(&mut session);
    cluster.restart(Stop::Immediate);
    let mut session = database.superuser();
    let after = record(&mut session);
    assert_eq!(drain(&mut session, &drained, &of(TENANT, 1)).0, [after]);
    assert_eq!(
        drain(&mut session, &midst, &of(TENANT, 1)).0,
        [ids[2], ids[3], after]
    );
}

#[test]
fn what_was_given_is_not_lost_in_a_crash_though_its_commit_did_not_wait_for_the_disk() {
    let cluster = cluster();
    let database = log(&cluster);
    let mut cursor = String::new();
    let mut given = Vec::new();
    // Two crashes within a second, again and again: ids that were lost are used again.
    for round in 0..6 {
        let (mut writer, mut reader) = (database.superuser(), database.superuser());
        writer
            .batch_execute("SET synchronous_commit = off")
            .unwrap();
        for _ in 0..20 {
            record(&mut writer);
        }
        let (found, next) = drain(&mut reader, &cursor, &of(TENANT, 7));
        assert!(found.len() >= 20, "round {round}: {} events", found.len());
        given.extend(found);
        cursor = next;
        // Without any, what the reader got is the very end of the WAL.
        for _ in 0..round % 2 * 20 {
            record(&mut writer);
        }
        cluster.restart(Stop::Immediate);
    }
    let mut session = database.superuser();
    let (rest, _) = drain(&mut session, &cursor, &of(TENANT, 7));
    given.extend(rest);
    let stored: Vec<Uuid> = session
        .query(
            "SELECT event_id FROM activity.events WHERE tenant_id = $1::text::uuid ORDER BY event_id",
            &[&TENANT],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    given.sort();
    assert_eq!(
        given, stored,
        "each that is there, once, and none that is not"
    );
}

#[test]
fn a_prepared_transaction_comes_after_the_crash_that_it_outlived() {
    let cluster = cluster();
    let database = log(&cluster);
    let mut session = database.superuser();
    session.batch_execute("BEGIN").unwrap();
    let prepared = record(&mut session);
    session.batch_execute("PREPARE TRANSACTION 'p'").unwrap();
    let other = record(&mut session);
    let (found, cursor) = drain(&mut session, "", &of(TENANT, 500));
    assert_eq!(found, [other]);
    cluster.restart(Stop::Immediate);
    let mut session = database.superuser();
    let (found, cursor) = drain(&mut session, &cursor, &of(TENANT, 500));
    assert_eq!(found, [] as [Uuid; 0]);
    session.batch_execute("COMMIT PREPARED 'p'").unwrap();
    assert_eq!(drain(&mut session, &cursor, &of(TENANT, 500)).0, [prepared]);
    assert_eq!(
        drain(&mut session, "", &of(TENANT, 500)).0,
        [prepared, other]
    );
}
