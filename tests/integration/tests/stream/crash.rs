//! Cursors across crashes of the server.

use super::{TENANT, drain, log, now, of, page, record};
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

/// Fills the page of the WAL to its end, unless other records come in between.
const FILL_WAL_PAGE: &str = "DO $$
    DECLARE start pg_lsn := pg_current_wal_insert_lsn(); size numeric; rest numeric;
    BEGIN
        PERFORM pg_logical_emit_message(false, 'x', repeat('x', 1000));
        size := pg_current_wal_insert_lsn() - start;
        rest := 8192 - (pg_current_wal_insert_lsn() - '0/0') % 8192;
        -- Unless the first message itself went over the end.
        IF rest BETWEEN size AND 8192 - size THEN
            PERFORM pg_logical_emit_message(false, 'x', repeat('x', (rest - size + 1000)::int));
        END IF;
    END $$";

#[test]
fn an_empty_page_at_the_end_of_the_wal_is_no_obstacle() {
    let cluster = Cluster::start(&Options::default());
    let database = log(&cluster);
    let mut session = database.superuser();
    now(&mut session);
    session.batch_execute("SELECT pg_switch_wal()").unwrap();
    now(&mut session);
    let filled = (0..100).any(|_| {
        session.batch_execute(FILL_WAL_PAGE).unwrap();
        let end = session.number("SELECT ((pg_current_wal_insert_lsn() - '0/0') % 8192)::bigint");
        now(&mut session);
        // The next record goes behind the header of a page that has none yet.
        end == 24
    });
    assert!(filled, "no record has ended at the end of a page");
}
