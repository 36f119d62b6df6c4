//! Reading on a hot standby, and after its promotion.

use super::{TENANT, drain, log, now, of, page, record};
use activity_log_integration::{Cluster, Database, Options, Session, Stop, expect_error};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Waits until the standby has replayed what the primary has written.
fn follow(primary: &mut Session, standby: &mut Session) {
    let position = primary
        .text("SELECT pg_current_wal_flush_lsn()::text")
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let reached = format!("SELECT (pg_last_wal_replay_lsn() >= '{position}'::pg_lsn)::int::bigint");
    while standby.number(&reached) == 0 {
        assert!(Instant::now() < deadline, "the standby does not follow");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn primary() -> Cluster {
    Cluster::start(&Options {
        preload: true,
        settings: &[("max_prepared_transactions", "5")],
    })
}

fn copy<'c>(standby: &'c Cluster, database: &Database<'_>) -> Database<'c> {
    standby.existing_database(database.name())
}

#[test]
fn a_standby_streams_past_open_transactions_and_their_many_savepoints() {
    let cluster = primary();
    let database = log(&cluster);
    let standby = cluster.start_standby();
    let (mut slow, mut quick) = (database.superuser(), database.superuser());
    let mut reader = copy(&standby, &database).superuser();
    let start = now(&mut quick);
    slow.batch_execute("BEGIN").unwrap();
    let mut late = vec![record(&mut slow)];
    // More than a backend keeps in memory: the standby's snapshot overflows.
    for savepoint in 0..80 {
        slow.batch_execute(&format!("SAVEPOINT s{savepoint}"))
            .unwrap();
        late.push(record(&mut slow));
    }
    let mut cursor = start;
    for _ in 0..5 {
        let id = record(&mut quick);
        follow(&mut quick, &mut reader);
        let (found, next) = drain(&mut reader, &cursor, &of(TENANT, 500));
        assert_eq!(found, [id], "nobody waits for the open transaction");
        cursor = next;
    }
    slow.batch_execute("COMMIT").unwrap();
    follow(&mut quick, &mut reader);
    let (found, cursor) = drain(&mut reader, &cursor, &of(TENANT, 7));
    assert_eq!(found, late);
    // And back on the primary, and for everybody's events.
    let last = record(&mut quick);
    assert_eq!(drain(&mut quick, &cursor, &of(TENANT, 500)).0, [last]);
    follow(&mut quick, &mut reader);
    let all = drain(&mut reader, "", ", page_size => 10").0;
    assert_eq!(
        all.iter().filter(|id| late.contains(id)).count(),
        late.len()
    );
    assert!(all.contains(&last));
}

#[test]
fn a_standby_that_lags_gives_nothing_again_and_nothing_up() {
    let cluster = primary();
    let database = log(&cluster);
    let standby = cluster.start_standby();
    let mut writer = database.superuser();
    let mut reader = copy(&standby, &database).superuser();
    let before: Vec<Uuid> = (0..3).map(|_| record(&mut writer)).collect();
    follow(&mut writer, &mut reader);
    reader
        .batch_execute("SELECT pg_wal_replay_pause()")
        .unwrap();
    let after: Vec<Uuid> = (0..3).map(|_| record(&mut writer)).collect();
    let all = [before.clone(), after.clone()].concat();
    let (found, ahead) = drain(&mut writer, "", &of(TENANT, 500));
    assert_eq!(found, all);
    let midst = page(&mut writer, "", &of(TENANT, 2)).cursor;
    for cursor in [&ahead, &midst] {
        let nothing = page(&mut reader, cursor, &of(TENANT, 500));
        assert!(nothing.ids.is_empty() && nothing.is_drained);
        let (rest, _) = drain(&mut writer, &nothing.cursor, &of(TENANT, 1));
        assert_eq!(rest, if *cursor == ahead { &[] } else { &all[2..] });
    }
    assert_eq!(drain(&mut reader, "", &of(TENANT, 1)).0, before);
    reader
        .batch_execute("SELECT pg_wal_replay_resume()")
        .unwrap();
    follow(&mut writer, &mut reader);
    assert_eq!(drain(&mut reader, &midst, &of(TENANT, 1)).0, all[2..]);
    assert_eq!(
        drain(&mut reader, &ahead, &of(TENANT, 1)).0,
        [] as [Uuid; 0]
    );
}

#[test]
fn promotion_brings_what_the_old_primary_s_reader_has_not_seen() {
    let cluster = primary();
    let database = log(&cluster);
    let standby = cluster.start_standby();
    let copy = copy(&standby, &database);
    let mut writer = database.superuser();
    let mut reader = copy.superuser();
    let first = record(&mut writer);
    // Prepared before and committed after the promotion.
    writer.batch_execute("BEGIN").unwrap();
    let prepared = record(&mut writer);
    writer.batch_execute("PREPARE TRANSACTION 'p'").unwrap();
    let (found, both_know) = drain(&mut writer, "", &of(TENANT, 500));
    assert_eq!(found, [first]);
    let midst = page(&mut writer, "", &of(TENANT, 1)).cursor;
    follow(&mut writer, &mut reader);
    // What the standby has not got when it is promoted was given to a reader all the same.
    reader
        .batch_execute("SELECT pg_wal_replay_pause()")
        .unwrap();
    let second = record(&mut writer);
    let (_, only_old) = drain(&mut writer, &both_know, &of(TENANT, 500));
    for _ in 0..50 {
        record(&mut writer);
    }
    let (_, far_ahead) = drain(&mut writer, &both_know, &of(TENANT, 500));
    cluster.stop(Stop::Immediate);
    reader
        .batch_execute("SELECT pg_wal_replay_resume()")
        .unwrap();
    standby.promote();

    let own = record(&mut reader);
    let mut lost_or_not = drain(&mut reader, &both_know, &of(TENANT, 500)).0;
    assert_eq!(lost_or_not.pop(), Some(own));
    let mut written = vec![own];
    for cursor in [&both_know, &midst, &only_old, &far_ahead] {
        let (found, next) = drain(&mut reader, cursor, &of(TENANT, 1));
        assert!(found.ends_with(&written), "{found:?}");
        assert!(!found.contains(&first) && !found.contains(&prepared));
        assert!(*cursor == both_know || *cursor == midst || !found.contains(&second));
        written.push(record(&mut reader));
        let later = drain(&mut reader, &next, &of(TENANT, 1)).0;
        assert_eq!(later, written[written.len() - 1..]);
    }
    let (_, cursor) = drain(&mut reader, "", &of(TENANT, 500));
    reader.batch_execute("COMMIT PREPARED 'p'").unwrap();
    let (found, cursor) = drain(&mut reader, &cursor, &of(TENANT, 500));
    assert_eq!(found, [prepared], "of the life before");
    assert_eq!(
        drain(&mut reader, &cursor, &of(TENANT, 500)).0,
        [] as [Uuid; 0]
    );
    let found = drain(&mut reader, &far_ahead, &of(TENANT, 500)).0;
    assert!(found.contains(&prepared));
}

#[test]
fn two_promotions_that_nobody_wrote_down_get_different_lives() {
    let first = primary();
    let database = log(&first);
    let mut session = database.superuser();
    let mut ids = vec![record(&mut session)];
    let (_, of_first) = drain(&mut session, "", &of(TENANT, 500));
    let second = first.start_standby();
    first.stop(Stop::Fast);
    second.promote();
    let mut session = copy(&second, &database).superuser();
    ids.push(record(&mut session));
    let (found, of_second) = drain(&mut session, &of_first, &of(TENANT, 500));
    assert_eq!(found, ids[1..]);
    // The third never gets what the second wrote from here on, but it uses the same ids.
    let third = second.start_standby();
    let mut third_session = copy(&third, &database).superuser();
    follow(&mut session, &mut third_session);
    third_session
        .batch_execute("SELECT pg_wal_replay_pause()")
        .unwrap();
    for _ in 0..20 {
        record(&mut session);
    }
    let (_, beyond) = drain(&mut session, &of_second, &of(TENANT, 500));
    second.stop(Stop::Immediate);
    // Whatever had arrived without being replayed is thrown away with it.
    third.stop(Stop::Immediate);
    third.start_again();
    third.promote();
    let mut session = copy(&third, &database).superuser();
    let kept = drain(&mut session, "", &of(TENANT, 500)).0;
    let own = record(&mut session);
    for (cursor, seen) in [(&of_first, 1), (&of_second, 2)] {
        let mut expected = kept[seen..].to_vec();
        expected.push(own);
        assert_eq!(drain(&mut session, cursor, &of(TENANT, 3)).0, expected);
    }
    assert_eq!(drain(&mut session, &beyond, &of(TENANT, 3)).0, [own]);
    let lives = session.number("SELECT count(DISTINCT gen) FROM activity.events");
    assert_eq!(lives, 3);
    // Writing the lives down changes nothing for cursors of before.
    session.batch_execute("SELECT activity.migrate()").unwrap();
    assert_eq!(drain(&mut session, &beyond, &of(TENANT, 3)).0, [own]);
    let last = record(&mut session);
    assert_eq!(drain(&mut session, &beyond, &of(TENANT, 3)).0, [own, last]);
    let history = drain(&mut session, "", &of(TENANT, 3)).0;
    assert_eq!(history[..2], ids[..]);
    assert!(history.ends_with(&[own, last]));
}

#[test]
fn a_timeline_that_the_server_has_not_grown_out_of_is_refused() {
    let first = primary();
    let database = log(&first);
    let mut session = database.superuser();
    let standby = first.start_standby();
    standby.promote();
    let mut other = copy(&standby, &database).superuser();
    record(&mut other);
    let (_, of_other) = drain(&mut other, "", &of(TENANT, 500));
    let call = format!("SELECT * FROM activity.read_stream('{TENANT}', '{of_other}')");
    let refusal = expect_error(session.simple_query(&call), "55000");
    assert!(refusal.hint.contains("stream_start"), "{refusal:?}");
}
