//! A restored archive: who reads it, who changes it, how it goes again.

use super::*;

fn restored() -> (Database<'static>, String) {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    for tenant in [TENANT_A, TENANT_B] {
        insert(&mut owner, &[("tenant_id", &format!("'{tenant}'"))]);
    }
    let partition = partition(&mut owner);
    let path = archive(&mut owner, &partition, &folder);
    restore(&mut owner, &path, "restored_story");
    (database, path)
}

fn login(database: &Database<'_>, role: &str) -> Session {
    database.connect_as(&database.create_login(&[role]))
}

#[test]
fn auditors_and_administrators_read_it_within_their_pins_and_nobody_else() {
    let (database, _) = restored();
    let count = "SELECT count(*) FROM activity.restored_story";
    for role in ["activity_auditor", "activity_admin"] {
        assert_eq!(login(&database, role).number(count), 3, "{role}");
    }
    for role in ["activity_writer", "activity_reader"] {
        expect_error(login(&database, role).query(count, &[]), "42501");
    }
    let pinned = database.create_login(&["activity_auditor"]);
    let pin = format!("INSERT INTO activity.role_tenants VALUES ('{pinned}', '{TENANT_B}')");
    login(&database, "activity_admin")
        .batch_execute(&pin)
        .unwrap();
    let mut session = database.connect_as(&pinned);
    assert_eq!(
        session.texts("SELECT tenant_id::text FROM activity.restored_story"),
        [TENANT_B]
    );
}

#[test]
fn nobody_changes_it_not_even_its_owner() {
    let (database, _) = restored();
    let mut owner = database.superuser();
    for attempt in [
        "UPDATE activity.restored_story SET action = 'x.y'",
        "DELETE FROM activity.restored_story",
        "TRUNCATE activity.restored_story",
    ] {
        expect_error(owner.batch_execute(attempt), "42501");
    }
    let mut admin = login(&database, "activity_admin");
    expect_error(
        admin.batch_execute("DROP TABLE activity.restored_story"),
        "42501",
    );
    let insert = "INSERT INTO activity.restored_story SELECT * FROM activity.restored_story";
    expect_error(admin.batch_execute(insert), "42501");
}

#[test]
fn it_is_no_part_of_the_log() {
    let (database, _) = restored();
    let mut owner = database.superuser();
    let listed = format!("SELECT count(*) FROM activity.list('{TENANT_A}')");
    assert_eq!(owner.number(&listed), 1);
    let problems = owner.texts(
        "SELECT item FROM activity.status() WHERE area = 'protection' AND NOT ok AND item NOT LIKE 'role%'",
    );
    assert_eq!(problems, [""; 0]);
}

#[test]
fn an_administrator_restores_drops_and_restores_again_and_the_log_says_so() {
    let (database, path) = restored();
    let mut admin = login(&database, "activity_admin");
    let again = format!("SELECT activity.restore_archive('{path}', 'restored_story')");
    expect_error(admin.query(&again, &[]), "42P07");
    let query = "SELECT activity.drop_restored_archive('activity.restored_story')::text";
    assert_eq!(admin.text(query).as_deref(), Some("true"));
    expect_error(admin.query(query, &[]), "42704");
    let by_file = file_of(&path).display().to_string();
    restore(&mut admin, &by_file, "restored_story");
    let events = database.superuser().texts(
        "SELECT action || ' ' || coalesce(metadata->>'table', metadata->>'partition') FROM activity.events
         WHERE action LIKE 'activity.archive.%' AND metadata->>'table' IS NOT NULL ORDER BY event_id",
    );
    assert_eq!(
        events,
        [
            "activity.archive.restored restored_story",
            "activity.archive.restored_dropped restored_story",
            "activity.archive.restored restored_story"
        ]
    );
    for role in ["activity_writer", "activity_reader", "activity_auditor"] {
        let mut session = login(&database, role);
        expect_error(session.query(&again, &[]), "42501");
    }
}

#[test]
fn names_that_the_log_needs_itself_are_refused() {
    let (database, path) = restored();
    let mut owner = database.superuser();
    for name in [
        "events_p2030_01",
        "Restored_x",
        "restored_\"; --",
        "restored_x y",
        "x",
    ] {
        let statement = format!("SELECT activity.restore_archive('{path}', '{name}')");
        expect_error(owner.query(&statement, &[]), "22023");
    }
    let own = format!("SELECT activity.restore_archive('{path}', 'restored_archives')");
    expect_error(owner.query(&own, &[]), "42P07");
}

#[test]
fn an_archive_of_another_log_is_taken_only_when_asked_for() {
    let (_, path) = restored();
    let other = Cluster::shared().database();
    let mut owner = other.superuser();
    let plain = format!("SELECT activity.restore_archive('{path}', 'restored_other')");
    let refusal = expect_error(owner.query(&plain, &[]), "55000");
    assert!(refusal.hint.contains("other_log"), "{refusal:?}");
    let asked = format!("SELECT activity.restore_archive('{path}', 'restored_other', true)");
    assert_eq!(
        owner.text(&asked).as_deref(),
        Some("activity.restored_other")
    );
    assert_eq!(
        owner.number("SELECT count(*) FROM activity.restored_other"),
        3
    );
}

#[test]
fn a_restore_that_is_rolled_back_leaves_nothing() {
    let (database, path) = restored();
    let mut owner = database.superuser();
    owner.batch_execute("BEGIN").unwrap();
    restore(&mut owner, &path, "restored_gone");
    owner.batch_execute("ROLLBACK").unwrap();
    let left = "SELECT count(*) FROM pg_class WHERE relname = 'restored_gone'";
    assert_eq!(owner.number(left), 0);
}

#[test]
fn protection_comes_back_after_the_extension_was_dropped() {
    let (database, _) = restored();
    let mut owner = database.superuser();
    owner
        .batch_execute("DROP EXTENSION activity_log CASCADE; CREATE EXTENSION activity_log; SELECT activity.setup()")
        .unwrap();
    let count = "SELECT count(*) FROM activity.restored_story";
    assert_eq!(login(&database, "activity_auditor").number(count), 3);
    let attempt = "DELETE FROM activity.restored_story";
    expect_error(owner.batch_execute(attempt), "42501");
}
