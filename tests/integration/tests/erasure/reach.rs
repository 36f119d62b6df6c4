//! How far an erasure reaches: every table with events, and what it says of files.

use super::*;
use activity_log_integration::give_to_server;

/// A folder for archives.
fn folder(database: &Database<'_>) -> String {
    let folder = database
        .cluster()
        .folder()
        .join(format!("archive-{}", database.name()));
    std::fs::create_dir(&folder).unwrap();
    give_to_server(&folder);
    folder.display().to_string()
}

fn partition(session: &mut Session) -> String {
    session
        .text("SELECT min(tableoid::regclass::text) FROM activity.events")
        .unwrap()
}

#[test]
fn detached_partitions_and_restored_archives_are_reached_too() {
    let database = database();
    let folder = folder(&database);
    let mut owner = database.superuser();
    let partition = partition(&mut owner);
    let manifest = owner
        .text(&format!(
            "SELECT activity.archive_partition('{partition}', '{folder}')"
        ))
        .unwrap();
    let restored = owner
        .text(&format!("SELECT activity.restore_archive('{manifest}')"))
        .unwrap();
    owner
        .batch_execute(&format!(
            "ALTER TABLE activity.events DETACH PARTITION {partition};
             ALTER TABLE {partition} RENAME TO away; SELECT activity.setup()"
        ))
        .unwrap();
    insert_again(&mut owner);
    // Two in the detached table, two in the restored one, and one that came later.
    assert_eq!(erase(&mut owner), 5);
    for table in ["activity.away", &restored, "activity.events"] {
        let left = format!(
            "SELECT count(*) FROM {table} e WHERE e::text LIKE '%{ACTOR}%' AND tenant_id = '{TENANT}'"
        );
        assert_eq!(owner.number(&left), 0, "{table}");
    }
    let tables = event(&mut owner, "action = 'activity.actor.erased'");
    assert_eq!(tables["metadata"]["tables"].as_array().unwrap().len(), 3);
}

fn insert_again(owner: &mut Session) {
    owner
        .batch_execute(&format!(
            "SELECT activity.record('note.written', tenant_id => '{TENANT}', actor_id => '{ACTOR}')"
        ))
        .unwrap();
}

#[test]
fn archives_are_not_changed_but_counted() {
    let database = database();
    let folder = folder(&database);
    let mut owner = database.superuser();
    let partition = partition(&mut owner);
    let archive = format!("SELECT activity.archive_partition('{partition}', '{folder}')");
    let manifest = owner.text(&archive).unwrap();
    write_down(
        &mut owner,
        partition.trim_start_matches("activity."),
        "closed",
        &manifest,
    );
    write_down(
        &mut owner,
        "events_p2019_01",
        "dropped",
        "/nowhere/x.manifest.json",
    );
    let counted = format!(
        "SELECT coalesce(events::text, 'unreadable') FROM activity.archived_events('{ACTOR}', '{TENANT}') ORDER BY 1"
    );
    assert_eq!(owner.texts(&counted), ["2", "unreadable"]);
    let nobody = format!("SELECT manifest FROM activity.archived_events('nobody', '{TENANT}')");
    assert_eq!(owner.texts(&nobody), ["/nowhere/x.manifest.json"]);
    let other =
        format!("SELECT manifest FROM activity.archived_events('{ACTOR}', '{OTHER_TENANT}')");
    assert_eq!(owner.texts(&other), [""; 0]);

    let _ = owner.take_notices();
    erase(&mut owner);
    let notices: Vec<String> = owner
        .take_notices()
        .into_iter()
        .map(|n| n.message)
        .collect();
    assert!(
        notices.iter().any(|n| n.starts_with("2 archives may hold")),
        "{notices:?}"
    );
    assert_eq!(owner.texts(&counted), ["2", "unreadable"]);
    // The one whose table is still there is written anew before that goes.
    let current = "SELECT partition FROM activity.partition_ranges WHERE archived_at IS NOT NULL";
    assert_eq!(owner.texts(current), ["events_p2019_01"]);
}

/// Writes an archive down, as `maintain()` does.
fn write_down(owner: &mut Session, partition: &str, state: &str, manifest: &str) {
    owner
        .batch_execute(&format!(
            "INSERT INTO activity.partition_ranges (partition, lower_bound, upper_bound, state, archive_manifest, archive_tenants, archived_at)
             VALUES ('{partition}', '2020-01-01', '2020-02-01', '{state}', '{manifest}', '{{{TENANT}}}', now())
             ON CONFLICT (partition) DO UPDATE SET archive_manifest = excluded.archive_manifest,
                 archive_tenants = excluded.archive_tenants, archived_at = excluded.archived_at"
        ))
        .unwrap();
}

#[test]
fn an_archive_is_cleaned_by_way_of_a_restored_table() {
    let database = database();
    let folder = folder(&database);
    let mut owner = database.superuser();
    let partition = partition(&mut owner);
    let archive = |owner: &mut Session, table: &str| {
        let statement = format!("SELECT activity.archive_partition('{table}', '{folder}')");
        owner.text(&statement).unwrap()
    };
    let old = archive(&mut owner, &partition);
    let table = owner
        .text(&format!("SELECT activity.restore_archive('{old}')"))
        .unwrap();
    erase(&mut owner);
    let new = archive(&mut owner, &table);
    assert_ne!(new, old);
    let manifest: Value = serde_json::from_str(&std::fs::read_to_string(&new).unwrap()).unwrap();
    let file = Path::new(&new).with_file_name(manifest["file"].as_str().unwrap());
    let lines = std::process::Command::new("gzip")
        .arg("-dc")
        .arg(file)
        .output()
        .unwrap();
    let lines = String::from_utf8(lines.stdout).unwrap();
    assert!(!lines.contains(FREE_TEXT), "{lines}");
}
