//! Cursors of a log that was dumped and restored, cloned, or set back.

use super::{TENANT, drain, log, of, page, record};
use activity_log_integration::{Cluster, Database, Options, Session, Stop, expect_error};
use std::process::Command;
use uuid::Uuid;

fn read(cursor: &str) -> String {
    format!("SELECT * FROM activity.read_stream('{TENANT}', '{cursor}')")
}

/// Uses up transaction ids, so that those of two servers differ by far.
fn age(session: &mut Session) {
    session.batch_execute("CREATE TABLE aged (n int)").unwrap();
    session
        .batch_execute(
            "DO $$ BEGIN FOR n IN 1..3000 LOOP INSERT INTO aged VALUES (n); COMMIT; END LOOP; END $$",
        )
        .unwrap();
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{errors}");
}

/// Dumps a database and restores it under a name in a cluster.
fn restore<'c>(from: &Database<'_>, cluster: &'c Cluster, name: &str) -> Database<'c> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    run(from.program("pg_dump").args(["-Fc", "-f"]).arg(&file));
    cluster.create_database(name, "");
    let copy = cluster.existing_database(name);
    run(copy
        .program("pg_restore")
        .args(["--exit-on-error", "-d", name])
        .arg(&file));
    copy.superuser()
        .batch_execute(&format!(
            "ALTER DATABASE {name} SET activity.registry = off"
        ))
        .unwrap();
    copy
}

/// A copy goes on where the original was: old cursors get what they have not had, and no reader
/// gets anything twice or misses what the copy itself records, migrated or not.
fn goes_on(original: &Database<'_>, copy: &Database<'_>) {
    let mut source = original.superuser();
    let mut session = copy.superuser();
    let history = drain(&mut session, "", &of(TENANT, 3)).0;
    let (given, drained) = drain(&mut source, "", &of(TENANT, 500));
    assert_eq!(given, history, "the same history in the same order");
    let midst = page(&mut source, "", &of(TENANT, 3)).cursor;
    let _ = session.take_notices();
    drain(&mut session, &drained, &of(TENANT, 2));
    let told = session.take_notices();
    assert!(
        told.iter()
            .any(|notice| notice.hint.contains("after the copy was made")),
        "{told:?}"
    );
    let mut own: Vec<Uuid> = Vec::new();
    let mut followed = String::new();
    for step in ["", "SELECT activity.migrate()"] {
        session.batch_execute(step).unwrap();
        own.extend((0..3).map(|_| record(&mut session)));
        assert_eq!(drain(&mut session, &drained, &of(TENANT, 2)).0, own);
        let rest = [&history[3..], &own[..]].concat();
        assert_eq!(drain(&mut session, &midst, &of(TENANT, 2)).0, rest);
        let everything = [&history[..], &own[..]].concat();
        assert_eq!(drain(&mut session, "", &of(TENANT, 2)).0, everything);
        let (found, next) = drain(&mut session, &followed, &of(TENANT, 2));
        assert!(found.ends_with(&own[own.len() - 3..]) && found.len() != own.len());
        followed = next;
        let all = drain(&mut session, "", "").0;
        assert!(everything.iter().all(|id| all.contains(id)));
    }
    assert_eq!(
        drain(&mut session, &followed, &of(TENANT, 2)).0,
        [] as [Uuid; 0]
    );
    // The copy's own place means nothing to the original.
    let refusal = expect_error(source.simple_query(&read(&followed)), "55000");
    assert!(refusal.hint.contains("stream_start"), "{refusal:?}");
}

fn filled(cluster: &Cluster) -> Database<'_> {
    let database = log(cluster);
    let mut session = database.superuser();
    for _ in 0..5 {
        record(&mut session);
    }
    database
}

#[test]
fn a_newer_dump_goes_on_in_an_older_server() {
    let (old, young) = (
        Cluster::start(&Options::default()),
        Cluster::start(&Options::default()),
    );
    age(&mut old.existing_database("postgres").superuser());
    let database = filled(&old);
    goes_on(&database, &restore(&database, &young, "restored"));
}

#[test]
fn an_older_dump_goes_on_in_a_server_that_has_used_more_transactions() {
    let (young, old) = (
        Cluster::start(&Options::default()),
        Cluster::start(&Options::default()),
    );
    age(&mut old.existing_database("postgres").superuser());
    let database = filled(&young);
    goes_on(&database, &restore(&database, &old, "restored"));
}

#[test]
fn a_restore_beside_the_original_and_a_clone_go_on_by_themselves() {
    let database = filled(Cluster::shared());
    let restored = format!("{}_restored", database.name());
    goes_on(
        &database,
        &restore(&database, database.cluster(), &restored),
    );
    let (clone, name) = (format!("{}_clone", database.name()), database.name());
    let mut session = database.cluster().existing_database("postgres").superuser();
    for statement in [
        format!("CREATE DATABASE {clone} TEMPLATE {name}"),
        format!("ALTER DATABASE {clone} SET activity.registry = off"),
    ] {
        session.batch_execute(&statement).unwrap();
    }
    goes_on(&database, &database.cluster().existing_database(&clone));
}

#[test]
fn a_copy_of_a_copy_that_nobody_migrated_keeps_the_lives_apart() {
    let (old, young) = (
        Cluster::start(&Options::default()),
        Cluster::start(&Options::default()),
    );
    age(&mut old.existing_database("postgres").superuser());
    let database = filled(Cluster::shared());
    let first = restore(&database, &old, "first");
    let mut session = first.superuser();
    let of_first: Vec<Uuid> = (0..4).map(|_| record(&mut session)).collect();
    let (_, there) = drain(&mut session, "", &of(TENANT, 500));
    // The ids of the first copy lie far above those that this server gives out.
    let second = restore(&first, &young, "second");
    let mut session = second.superuser();
    let of_second = record(&mut session);
    let (all, cursor) = drain(&mut session, "", &of(TENANT, 2));
    assert_eq!(all.len(), 10);
    assert_eq!(all[5..9], of_first);
    assert_eq!(all[9], of_second);
    let later = record(&mut session);
    assert_eq!(drain(&mut session, &cursor, &of(TENANT, 2)).0, [later]);
    let (_, original) = drain(&mut database.superuser(), "", &of(TENANT, 500));
    let expected = [&of_first[..], &[of_second, later]].concat();
    assert_eq!(drain(&mut session, &original, &of(TENANT, 2)).0, expected);
    // What only the first copy could tell is refused, not guessed.
    expect_error(session.simple_query(&read(&there)), "55000");
}

#[test]
fn a_log_that_was_dumped_and_put_back_into_its_own_database_goes_on() {
    let database = filled(Cluster::shared());
    let mut session = database.superuser();
    let (_, before) = drain(&mut session, "", &of(TENANT, 500));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    run(database.program("pg_dump").args(["-Fc", "-f"]).arg(&file));
    let lost = record(&mut session);
    let (_, after) = drain(&mut session, "", &of(TENANT, 500));
    session
        .batch_execute("DROP EXTENSION activity_log CASCADE; DROP SCHEMA activity CASCADE")
        .unwrap();
    drop(session);
    run(database
        .program("pg_restore")
        .args(["--exit-on-error", "-d", database.name()])
        .arg(&file));
    let mut session = database.superuser();
    let own = record(&mut session);
    for cursor in [before, after] {
        assert_eq!(drain(&mut session, &cursor, &of(TENANT, 2)).0, [own]);
    }
    assert!(!drain(&mut session, "", &of(TENANT, 2)).0.contains(&lost));
}

#[test]
fn a_server_whose_files_were_set_back_tells_readers_that_are_ahead_of_it() {
    let cluster = Cluster::start(&Options::default());
    let database = filled(&cluster);
    cluster.stop(Stop::Fast);
    let (data, saved) = (
        cluster.folder().join("data"),
        cluster.folder().join("saved"),
    );
    run(Command::new("cp").arg("-a").arg(&data).arg(&saved));
    cluster.start_again();
    let mut session = database.superuser();
    for _ in 0..5 {
        record(&mut session);
    }
    let (_, ahead) = drain(&mut session, "", &of(TENANT, 500));
    drop(session);
    cluster.stop(Stop::Fast);
    run(Command::new("rm").arg("-rf").arg(&data));
    run(Command::new("mv").arg(&saved).arg(&data));
    cluster.start_again();
    let refusal = expect_error(database.superuser().simple_query(&read(&ahead)), "55000");
    assert!(refusal.message.contains("set back"), "{refusal:?}");
}
