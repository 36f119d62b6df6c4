//! `activity.key_file`: the master key outside of the database.

use super::{TENANT, found, hash_of, register, stored};
use activity_log_integration::{Cluster, Database, Options, Stop, expect_error};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const ADDRESS: &str = "203.0.113.77";
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER_KEY: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff101112131415161718191a1b1c1d1e1f";

/// Writes a key file that the server can read into the cluster's folder, beside its data.
fn write_key(cluster: &Cluster, name: &str, text: &str) -> PathBuf {
    let path = cluster.folder().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    path
}

/// Names the key file and starts the server again.
fn use_key(cluster: &Cluster, path: &Path) {
    cluster.configure(&format!("activity.key_file = '{}'\n", path.display()));
    cluster.restart(Stop::Fast);
}

fn with_key_file(text: &str) -> (Cluster, PathBuf) {
    let cluster = Cluster::start(&Options::default());
    let path = write_key(&cluster, "master.key", text);
    use_key(&cluster, &path);
    (cluster, path)
}

fn sources(database: &Database<'_>) -> Vec<String> {
    database
        .superuser()
        .texts("SELECT epoch || ' ' || source FROM activity.key_epochs ORDER BY epoch")
}

/// What status() says about the key: where it is, and whether that is well.
fn status(database: &Database<'_>) -> String {
    database
        .superuser()
        .text("SELECT value || ' ' || ok FROM activity.status() WHERE item = 'key for addresses'")
        .unwrap()
}

#[test]
fn a_log_with_a_key_file_keeps_no_secret_in_the_database() {
    let (cluster, _) = with_key_file(&format!("  {KEY}\n"));
    let database = cluster.database();
    register(&mut database.superuser());
    assert_eq!(sources(&database), ["0 file", "1 file"]);
    assert_eq!(
        database
            .superuser()
            .number("SELECT count(*) FROM activity.keys"),
        0
    );
    assert_eq!(status(&database), "file true");

    let mut session = database.superuser();
    let hash = hash_of(&mut session, TENANT, ADDRESS).unwrap();
    let secret = stored(&mut session, TENANT, &json!({"password": "same"}));
    session
        .batch_execute("SELECT activity.rotate_ip_key()")
        .unwrap();
    assert_ne!(hash_of(&mut session, TENANT, ADDRESS), Some(hash));
    assert_eq!(sources(&database), ["0 file", "1 file", "2 file"]);
    cluster.restart(Stop::Immediate);
    let mut session = database.superuser();
    assert_eq!(found(&mut session, TENANT, ADDRESS), 2);
    assert_eq!(
        stored(&mut session, TENANT, &json!({"password": "same"})),
        secret
    );
}

#[test]
fn a_bad_key_file_is_refused_by_setup_with_what_is_wrong_and_not_what_is_in_it() {
    let cluster = Cluster::start(&Options::default());
    let data = cluster.folder().join("data");
    let inside = data.join("master.key");
    std::fs::write(&inside, KEY).unwrap();
    std::fs::set_permissions(&inside, PermissionsExt::from_mode(0o644)).unwrap();
    let link = cluster.folder().join("link.key");
    std::os::unix::fs::symlink(&inside, &link).unwrap();
    let closed = write_key(&cluster, "closed.key", KEY);
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
    let cases = [
        (cluster.folder().join("absent.key"), "read"),
        (closed, "read"),
        (inside, "data directory"),
        (link, "data directory"),
        (PathBuf::from("master.key"), "absolute"),
        (write_key(&cluster, "short.key", &KEY[1..]), "64"),
        (write_key(&cluster, "long.key", &format!("{KEY}00")), "64"),
        (
            write_key(&cluster, "text.key", &KEY.replace('0', "g")),
            "64",
        ),
        (
            write_key(&cluster, "signs.key", &KEY.replace("01", "+1")),
            "64",
        ),
        (write_key(&cluster, "empty.key", ""), "64"),
        (cluster.folder().to_path_buf(), ""),
    ];
    for (path, problem) in cases {
        use_key(&cluster, &path);
        let database = cluster.database_before_setup();
        let mut session = database.superuser();
        let result = session.batch_execute("SELECT activity.setup()");
        assert!(result.is_err(), "{} was accepted", path.display());
        let refusal = expect_error(result, "F0000");
        assert!(
            refusal.message.contains(problem),
            "{}: {refusal:?}",
            path.display()
        );
        assert!(
            refusal.hint.contains("64 hexadecimal digits"),
            "{refusal:?}"
        );
        assert!(!refusal.text().contains("0405060708"), "{refusal:?}");
    }
    assert!(!cluster.log().contains("0405060708"));
}

#[test]
fn while_the_key_file_is_away_events_carry_the_network_only_and_status_says_so() {
    let (cluster, path) = with_key_file(KEY);
    let database = cluster.database();
    register(&mut database.superuser());
    hash_of(&mut database.superuser(), TENANT, ADDRESS).unwrap();
    std::fs::rename(&path, path.with_extension("away")).unwrap();
    cluster.restart(Stop::Fast);
    let mut session = database.superuser();
    assert_eq!(hash_of(&mut session, TENANT, ADDRESS), None);
    // A secret is replaced all the same, without a fingerprint to compare by.
    let secret = stored(&mut session, TENANT, &json!({"password": "same"}));
    assert_eq!(secret["password"], "[redacted:password]");
    assert_eq!(found(&mut session, TENANT, ADDRESS), 0);
    assert_eq!(status(&database), "unusable false");
    expect_error(
        session.batch_execute("SELECT activity.rotate_ip_key()"),
        "F0000",
    );

    std::fs::rename(path.with_extension("away"), &path).unwrap();
    assert_eq!(found(&mut database.superuser(), TENANT, ADDRESS), 1);
    assert_eq!(status(&database), "file true");
}

#[test]
fn a_log_moves_from_the_table_to_a_file_with_the_next_rotation() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    register(&mut database.superuser());
    assert_eq!(status(&database), "table false");
    let table_hash = hash_of(&mut database.superuser(), TENANT, ADDRESS);
    let path = write_key(&cluster, "master.key", KEY);
    use_key(&cluster, &path);
    // No epoch of the file yet: nothing is hashed with the key that was to be left behind.
    assert_eq!(hash_of(&mut database.superuser(), TENANT, ADDRESS), None);
    assert_eq!(status(&database), "missing false");

    let mut session = database.superuser();
    session
        .batch_execute("SELECT activity.rotate_ip_key()")
        .unwrap();
    let file_hash = hash_of(&mut session, TENANT, ADDRESS);
    assert!(file_hash.is_some() && file_hash != table_hash);
    assert_eq!(sources(&database), ["0 table", "1 table", "2 file"]);
    assert_eq!(status(&database), "file true");
    assert_eq!(found(&mut session, TENANT, ADDRESS), 2);

    // When the file goes, the table's old key is not taken up again unnoticed.
    std::fs::remove_file(&path).unwrap();
    cluster.restart(Stop::Fast);
    assert_eq!(hash_of(&mut database.superuser(), TENANT, ADDRESS), None);
    assert_eq!(status(&database), "unusable false");
}

#[test]
fn another_file_does_not_pass_for_the_first() {
    let (cluster, path) = with_key_file(KEY);
    let database = cluster.database();
    register(&mut database.superuser());
    let first = hash_of(&mut database.superuser(), TENANT, ADDRESS);
    let other = write_key(&cluster, "other.key", OTHER_KEY);
    use_key(&cluster, &other);
    let mut session = database.superuser();
    assert_eq!(hash_of(&mut session, TENANT, ADDRESS), None);
    assert_eq!(found(&mut session, TENANT, ADDRESS), 0);
    session
        .batch_execute("SELECT activity.rotate_ip_key()")
        .unwrap();
    assert_ne!(hash_of(&mut session, TENANT, ADDRESS), first);
    assert_eq!(found(&mut session, TENANT, ADDRESS), 1);
    use_key(&cluster, &path);
    let mut session = database.superuser();
    assert_eq!(hash_of(&mut session, TENANT, ADDRESS), first);
    assert_eq!(found(&mut session, TENANT, ADDRESS), 2);
}

/// Dumps a database and restores it as a new one of the same cluster.
fn restored<'c>(database: &Database<'c>, name: &str) -> Database<'c> {
    let cluster = database.cluster();
    cluster.create_database(name, "");
    let copy = cluster.existing_database(name);
    let mut dump = database
        .program("pg_dump")
        .arg("-Fc")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let restore = copy
        .program("pg_restore")
        .args(["--exit-on-error", "-d", name])
        .stdin(dump.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(dump.wait().unwrap().success());
    assert!(
        restore.status.success(),
        "{}",
        String::from_utf8_lossy(&restore.stderr)
    );
    copy
}

#[test]
fn a_restored_log_searches_on_with_the_same_key_file() {
    let (cluster, _) = with_key_file(KEY);
    let database = cluster.database();
    register(&mut database.superuser());
    let hash = hash_of(&mut database.superuser(), TENANT, ADDRESS);
    let copy = restored(&database, "restored_with_file");
    let mut session = copy.superuser();
    assert_eq!(found(&mut session, TENANT, ADDRESS), 1);
    assert_eq!(hash_of(&mut session, TENANT, ADDRESS), hash);
    session.batch_execute("SELECT activity.migrate()").unwrap();
    assert_eq!(hash_of(&mut session, TENANT, ADDRESS), hash);
    assert_eq!(sources(&copy), ["0 file", "1 file"]);
}

#[test]
fn a_restored_log_without_key_file_hashes_again_after_migrate_and_never_under_the_old_key() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    register(&mut database.superuser());
    let hash = hash_of(&mut database.superuser(), TENANT, ADDRESS);
    let copy = restored(&database, "restored_without_file");
    let mut session = copy.superuser();
    assert_eq!(session.number("SELECT count(*) FROM activity.keys"), 0);
    assert_eq!(hash_of(&mut session, TENANT, ADDRESS), None);
    assert_eq!(status(&copy), "missing false");
    session.batch_execute("SELECT activity.migrate()").unwrap();
    let new = hash_of(&mut session, TENANT, ADDRESS);
    assert!(new.is_some() && new != hash);
    // What was hashed under the key that is gone is not found any more, what is new is.
    assert_eq!(found(&mut session, TENANT, ADDRESS), 1);
    assert_eq!(status(&copy), "table false");
}
