//! Archives on the server's file system: written, found again, refused when damaged, and brought
//! back bit by bit.

mod cloudtrail;
mod crash;
mod damage;
mod folders;
mod restored;
mod round_trip;

use activity_log_integration::{Cluster, Database, Session, expect_error, give_to_server};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const TENANT_A: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const TENANT_B: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

/// A folder that belongs to the server's user, beside the server's own.
fn folder_of(database: &Database<'_>) -> PathBuf {
    let name = format!("archive-{}", database.name());
    new_folder(database.cluster(), &name)
}

fn new_folder(cluster: &Cluster, name: &str) -> PathBuf {
    let folder = cluster.folder().join(name);
    std::fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o700);
    give_to_server(&folder);
    folder
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The partition of this moment, without its schema.
fn partition(session: &mut Session) -> String {
    let name = session.text(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'activity.events'::regclass
           AND now() >= substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \\(''([^'']+)''\\)')::timestamptz
           AND now() < substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''([^'']+)''\\)')::timestamptz",
    );
    name.expect("a partition takes events now")
}

/// Inserts rows as no caller of the log could, within the present partition. `columns` replace
/// those of the ordinary row.
fn insert(session: &mut Session, columns: &[(&str, &str)]) {
    let mut row = vec![
        ("recorded_at", "clock_timestamp()"),
        ("occurred_at", "clock_timestamp()"),
        ("xact", "pg_current_xact_id()"),
        ("gen", "1"),
        ("event_id", "gen_random_uuid()"),
        ("tenant_id", "'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa'"),
        ("action", "'test.row'"),
        ("status", "'success'"),
        ("source", "'api'"),
        ("metadata", "'{}'"),
    ];
    row.retain(|(name, _)| columns.iter().all(|(given, _)| given != name));
    row.extend(columns);
    let names: Vec<&str> = row.iter().map(|(name, _)| *name).collect();
    let values: Vec<&str> = row.iter().map(|(_, value)| *value).collect();
    let statement = format!(
        "INSERT INTO activity.events ({}) SELECT {}",
        names.join(", "),
        values.join(", ")
    );
    session.batch_execute(&statement).unwrap();
}

/// Archives a partition; the path of the manifest.
fn archive(session: &mut Session, partition: &str, folder: &Path) -> String {
    let path = session.text(&archive_statement(partition, folder));
    path.expect("there is a path")
}

fn archive_statement(partition: &str, folder: &Path) -> String {
    format!(
        "SELECT activity.archive_partition('{partition}', '{}')",
        folder.display()
    )
}

fn restore(session: &mut Session, manifest: &str, table: &str) -> String {
    let statement = format!("SELECT activity.restore_archive('{manifest}', '{table}')");
    session.text(&statement).expect("there is a table")
}

fn manifest(path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The file that a manifest describes.
fn file_of(path: &str) -> PathBuf {
    let name = manifest(path)["file"].as_str().unwrap().to_owned();
    Path::new(path).with_file_name(name)
}

/// What is in a folder, in order.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The lines of an archive, unpacked by the program that everybody has.
fn lines(manifest: &str) -> Vec<String> {
    let output = Command::new("gzip")
        .arg("-dc")
        .arg(file_of(manifest))
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Every row of a table in the server's binary form, so that nothing can differ unseen.
fn rows(session: &mut Session, table: &str) -> Vec<String> {
    session.texts(&format!(
        "SELECT encode(sha256(record_send(e)), 'hex') || coalesce(':' || jsonb_typeof(e.changes), '')
         FROM {table} e ORDER BY event_id, recorded_at"
    ))
}
