//! Addresses of callers: a keyed hash per tenant and key epoch, and the network.

use super::{OTHER_TENANT, TENANT, found, hash_of, log};
use activity_log_integration::{Cluster, expect_error};
use std::collections::HashSet;

const ADDRESS: &str = "203.0.113.77";

#[test]
fn an_address_hashes_alike_in_its_tenant_and_otherwise_elsewhere() {
    let database = log(Cluster::shared());
    let (mut one, mut two) = (database.superuser(), database.superuser());
    let hash = hash_of(&mut one, TENANT, ADDRESS).unwrap();
    assert_eq!(hash.len(), 40);
    assert_eq!(hash_of(&mut two, TENANT, ADDRESS), Some(hash.clone()));
    assert_eq!(
        hash_of(&mut two, TENANT, "::ffff:203.0.113.77"),
        Some(hash.clone())
    );
    assert_ne!(hash_of(&mut two, OTHER_TENANT, ADDRESS), Some(hash.clone()));
    assert_ne!(hash_of(&mut two, TENANT, "203.0.113.78"), Some(hash));
    assert_eq!(found(&mut one, TENANT, ADDRESS), 3);
    assert_eq!(found(&mut one, OTHER_TENANT, ADDRESS), 1);
}

#[test]
fn the_raw_address_finds_its_events_through_every_rotation_in_every_session() {
    let database = log(Cluster::shared());
    let (mut admin, mut writer) = (database.superuser(), database.superuser());
    let mut hashes = HashSet::from([hash_of(&mut writer, TENANT, ADDRESS)]);
    for rotation in 1..=3 {
        admin
            .batch_execute("SELECT activity.rotate_ip_key()")
            .unwrap();
        // The writer has the keys at hand already and must not go on with the old one.
        assert!(
            hashes.insert(hash_of(&mut writer, TENANT, ADDRESS)),
            "rotation {rotation}"
        );
        for session in [&mut admin, &mut writer, &mut database.superuser()] {
            assert_eq!(found(session, TENANT, ADDRESS), rotation + 1);
        }
    }
    assert_eq!(found(&mut admin, TENANT, "203.0.113.78"), 0);
}

#[test]
fn a_rotation_that_is_rolled_back_leaves_no_key_behind() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let before = hash_of(&mut session, TENANT, ADDRESS);
    session
        .batch_execute("BEGIN; SELECT activity.rotate_ip_key()")
        .unwrap();
    assert_ne!(hash_of(&mut session, TENANT, ADDRESS), before);
    session
        .batch_execute("ROLLBACK; BEGIN; SAVEPOINT s; SELECT activity.rotate_ip_key()")
        .unwrap();
    assert_ne!(hash_of(&mut session, TENANT, ADDRESS), before);
    session.batch_execute("ROLLBACK TO s").unwrap();
    assert_eq!(hash_of(&mut session, TENANT, ADDRESS), before);
    session.batch_execute("COMMIT").unwrap();
    assert_eq!(hash_of(&mut session, TENANT, ADDRESS), before);
}

#[test]
fn sessions_that_rotate_at_once_begin_an_epoch_each() {
    let database = log(Cluster::shared());
    let epochs: HashSet<i32> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let mut session = database.superuser();
                scope.spawn(move || -> i32 {
                    session
                        .query_one("SELECT activity.rotate_ip_key()", &[])
                        .unwrap()
                        .get(0)
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    assert_eq!(epochs, HashSet::from([2, 3, 4]));
}

#[test]
fn an_epoch_whose_secret_is_deleted_finds_nothing_any_more() {
    let database = log(Cluster::shared());
    let (mut admin, mut writer) = (database.superuser(), database.superuser());
    hash_of(&mut writer, TENANT, ADDRESS);
    admin
        .batch_execute("SELECT activity.rotate_ip_key()")
        .unwrap();
    hash_of(&mut writer, TENANT, ADDRESS);
    assert_eq!(found(&mut writer, TENANT, ADDRESS), 2);
    admin
        .batch_execute("DELETE FROM activity.keys WHERE epoch = 1")
        .unwrap();
    assert_eq!(found(&mut writer, TENANT, ADDRESS), 1);
}

#[test]
fn only_an_administrator_rotates() {
    let database = log(Cluster::shared());
    for group in ["activity_writer", "activity_reader", "activity_auditor"] {
        let login = database.create_login(&[group]);
        expect_error(
            database
                .connect_as(&login)
                .batch_execute("SELECT activity.rotate_ip_key()"),
            "42501",
        );
    }
    let login = database.create_login(&["activity_admin"]);
    database
        .connect_as(&login)
        .batch_execute("SELECT activity.rotate_ip_key()")
        .unwrap();
}

#[test]
fn no_role_reads_the_keys() {
    let database = log(Cluster::shared());
    let groups = [
        "activity_writer",
        "activity_reader",
        "activity_auditor",
        "activity_admin",
        "pg_monitor",
        "pg_read_all_data",
    ];
    for group in groups {
        let login = database.create_login(&[group, "activity_reader"]);
        let mut session = database.connect_as(&login);
        // Refused, or at least empty: membership in pg_read_all_data opens every table that has
        // no row security.
        let rows = session
            .query("SELECT secret FROM activity.keys", &[])
            .map_or(0, |rows| rows.len());
        assert_eq!(rows, 0, "{group} reads the keys");
    }
}

#[test]
fn the_address_itself_is_in_no_column() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    hash_of(&mut session, TENANT, ADDRESS);
    hash_of(&mut session, TENANT, "2001:db8:1:2::77");
    let rows = session.texts("SELECT e::text FROM activity.events e");
    assert!(rows.iter().any(|row| row.contains("203.0.113.0/24")));
    assert!(rows.iter().any(|row| row.contains("2001:db8:1::/48")));
    assert!(
        rows.iter()
            .all(|row| !row.contains("113.77") && !row.contains("::77")),
        "{rows:?}"
    );
}
