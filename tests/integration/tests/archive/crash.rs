//! Archives that were interrupted.

use super::*;
use activity_log_integration::{Options, Stop};
use std::time::{Duration, Instant};

const ROWS: i64 = 60_000;

fn fill(session: &mut Session) {
    session
        .batch_execute(&format!(
            "INSERT INTO activity.events (recorded_at, occurred_at, xact, gen, event_id, tenant_id, action, status, source, metadata)
             SELECT now(), now(), '1', 1, gen_random_uuid(), '{TENANT_A}', 'test.row', 'success', 'api',
                    jsonb_build_object('a', md5(i::text), 'b', md5((-i)::text), 'c', md5((i * 7)::text))
             FROM generate_series(1, {ROWS}) i"
        ))
        .unwrap();
}

/// Waits until the archive that is being written has some bytes.
fn wait_for_partial_file(folder: &Path) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let has_grown = || {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        entries.into_iter().any(|entry| {
            entry.path().extension().is_some_and(|end| end == "partial")
                && entry.metadata().is_ok_and(|found| found.len() > 100_000)
        })
    };
    while !has_grown() {
        assert!(
            Instant::now() < deadline,
            "no file grows: {:?}",
            files(folder)
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_crash_in_the_middle_leaves_an_archive_that_the_next_run_replaces() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    fill(&mut owner);
    let partition = partition(&mut owner);
    let before = rows(&mut owner, &format!("activity.{partition}"));
    let statement = archive_statement(&partition, &folder);
    let running = std::thread::spawn(move || owner.query(&statement, &[]).map(|_| ()));
    wait_for_partial_file(&folder);
    cluster.restart(Stop::Immediate);
    running.join().unwrap().unwrap_err();
    let left = files(&folder);
    assert!(
        left.iter().all(|name| name.ends_with(".partial")),
        "{left:?}"
    );
    assert_eq!(left.len(), 1);

    let mut owner = database.superuser();
    let path = archive(&mut owner, &partition, &folder);
    assert_eq!(files(&folder).len(), 2);
    let table = restore(&mut owner, &path, "restored_crashed");
    assert_eq!(rows(&mut owner, &table), before);
}

#[test]
fn what_a_crash_between_the_two_files_left_is_completed() {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    let away = take_away(&mut owner);
    let path = archive(&mut owner, &away, &folder);
    let whole = std::fs::read_to_string(&path).unwrap();
    let mut interrupt = |change: &dyn Fn()| {
        change();
        assert_eq!(archive(&mut owner, &away, &folder), path);
        assert_eq!(files(&folder).len(), 2);
        let verify = format!("SELECT activity.verify_archive('{path}')");
        assert_eq!(owner.number(&verify), 2);
    };
    interrupt(&|| std::fs::remove_file(&path).unwrap());
    interrupt(&|| std::fs::write(&path, &whole[..whole.len() / 2]).unwrap());
    interrupt(&|| std::fs::write(file_of(&path), "half").unwrap());
    interrupt(&|| {
        // The data file has arrived, and the manifest was on its way.
        let name = Path::new(&path)
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let stem: Vec<&str> = name.split('.').take(2).collect();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(folder.join(format!(".{}.partial", stem.join("."))), "half").unwrap();
    });
}

/// A partition that is detached, so that the log's own events do not change it any more.
fn take_away(owner: &mut Session) -> String {
    insert(owner, &[]);
    let partition = partition(owner);
    owner
        .batch_execute(&format!(
            "ALTER TABLE activity.events DETACH PARTITION activity.{partition};
             ALTER TABLE activity.{partition} RENAME TO away;
             SELECT activity.setup()"
        ))
        .unwrap();
    "away".to_owned()
}

#[test]
fn a_request_to_cancel_ends_it_and_takes_the_file_away() {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    fill(&mut owner);
    let partition = partition(&mut owner);
    let statement = archive_statement(&partition, &folder);
    let process = owner.text("SELECT pg_backend_pid()::text").unwrap();
    let running = std::thread::spawn(move || owner.query(&statement, &[]).map(|_| ()));
    wait_for_partial_file(&folder);
    let cancel = format!("SELECT pg_cancel_backend({process})");
    database.superuser().batch_execute(&cancel).unwrap();
    expect_error(running.join().unwrap(), "57014");
    assert_eq!(files(&folder), [""; 0]);
}

#[test]
fn neither_writers_nor_readers_wait_for_an_archive_by_hand_but_another_archiver_does() {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    let partition = partition(&mut owner);
    owner.batch_execute("BEGIN").unwrap();
    archive(&mut owner, &partition, &folder);
    let mut other = database.superuser();
    other.batch_execute("SET lock_timeout = '50ms'").unwrap();
    assert_eq!(
        other.number(&format!("SELECT count(*) FROM activity.{partition}")),
        1
    );
    insert(&mut other, &[]);
    let statement = archive_statement(&partition, &folder);
    expect_error(other.query(&statement, &[]), "55P03");
    owner.batch_execute("ROLLBACK").unwrap();
}
