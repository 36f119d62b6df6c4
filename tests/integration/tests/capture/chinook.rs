//! Real input: the record shop Chinook with all of its 11 tables captured, a workload, and the
//! tables rebuilt from the log alone.
//!
//! The data is not part of the repository. `ACTIVITY_TEST_DATA` names its folder; without it, a
//! folder `shared/data` beside the checkout is tried. Where there is none, the tests say so.

use crate::captured::{ROW_LEVELS, TENANT, assert_replays, attach, count, log, start_replay};
use activity_log_integration::Session;
use std::path::{Path, PathBuf};

const TABLES: [(&str, &str); 11] = [
    ("album", "album_id"),
    ("artist", "artist_id"),
    ("customer", "customer_id"),
    ("employee", "employee_id"),
    ("genre", "genre_id"),
    ("invoice", "invoice_id"),
    ("invoice_line", "invoice_line_id"),
    ("media_type", "media_type_id"),
    ("playlist", "playlist_id"),
    ("playlist_track", "playlist_id,track_id"),
    ("track", "track_id"),
];

/// What the workload's deletes and changes of keys need.
const CASCADES: [(&str, &str, &str); 6] = [
    ("album", "artist_id", "artist"),
    ("track", "album_id", "album"),
    ("playlist_track", "playlist_id", "playlist"),
    ("playlist_track", "track_id", "track"),
    ("invoice_line", "track_id", "track"),
    ("invoice_line", "invoice_id", "invoice"),
];

fn data_file() -> Option<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = match std::env::var_os("ACTIVITY_TEST_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => repository
            .canonicalize()
            .ok()?
            .parent()?
            .join("shared/data"),
    };
    Some(folder.join("chinook.sql")).filter(|file| file.is_file())
}

/// The script without what makes and enters a database of its own.
fn script() -> Option<String> {
    let Some(file) = data_file() else {
        eprintln!("skipped: no chinook.sql in the folder that ACTIVITY_TEST_DATA names");
        return None;
    };
    let text = std::fs::read_to_string(file).unwrap();
    let begins_another = |line: &&str| {
        line.starts_with("DROP DATABASE")
            || line.starts_with("CREATE DATABASE")
            || line.starts_with("\\c")
    };
    Some(
        text.lines()
            .filter(|line| !begins_another(line))
            .collect::<Vec<_>>()
            .join("\n"),
    )
}

fn load(session: &mut Session, script: &str) {
    session.batch_execute(script).unwrap();
    for (table, column, target) in CASCADES {
        session
            .batch_execute(&format!(
                "ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_fkey,
                 ADD FOREIGN KEY ({column}) REFERENCES {target} ON DELETE CASCADE ON UPDATE CASCADE"
            ))
            .unwrap();
    }
}

fn run_workload(session: &mut Session, copies: u32) {
    let workload = include_str!("chinook_workload.sql").replace("{copies}", &copies.to_string());
    session.batch_execute(&workload).unwrap();
}

/// What was captured, without what differs between two runs, sorted.
fn outline(session: &mut Session) -> Vec<String> {
    session.texts(
        "SELECT concat_ws(' ', action, object_type, object_id, changes) FROM activity.events
         WHERE source = 'capture' ORDER BY 1",
    )
}

fn run_and_replay(script: &str, level: &str, copies: u32) -> Vec<String> {
    let database = log();
    let mut session = database.superuser();
    load(&mut session, script);
    for (table, keys) in TABLES {
        start_replay(&mut session, table, keys);
        attach(&mut session, table, &format!(", level => '{level}'"));
    }
    run_workload(&mut session, copies);
    for (table, _) in TABLES {
        assert_replays(&mut session, table, table);
    }
    let lines = i64::from(copies) * 2_000;
    assert!(count(&mut session, "action = 'invoice_line.updated'") >= lines);
    outline(&mut session)
}

#[test]
fn the_log_alone_rebuilds_every_table_and_is_the_same_at_every_level() {
    let Some(script) = script() else { return };
    // Left to itself, capture takes statement level for the tables that no foreign key cascades from.
    let [rows, statements] = ROW_LEVELS.map(|level| run_and_replay(&script, level, 2));
    assert!(rows.len() > 15_000, "{} events", rows.len());
    assert!(rows == statements, "the levels differ");
}

#[test]
#[ignore = "long"]
fn a_bulk_update_of_a_hundred_thousand_lines_is_rebuilt_from_the_log() {
    let Some(script) = script() else { return };
    for level in ROW_LEVELS {
        let events = run_and_replay(&script, level, 45);
        assert!(events.len() > 200_000, "{} events", events.len());
    }
}

#[test]
fn from_empty_tables_the_log_rebuilds_the_whole_shop() {
    let Some(script) = script() else { return };
    let database = log();
    let mut session = database.superuser();
    // Definitions first, then capture, then the rows: the script's own INSERT statements.
    let (definitions, rows) = script.split_at(script.find("INSERT INTO").unwrap());
    session.batch_execute(definitions).unwrap();
    for (table, keys) in TABLES {
        start_replay(&mut session, table, keys);
        attach(&mut session, table, "");
    }
    session.batch_execute(rows).unwrap();
    for (table, _) in TABLES {
        assert_replays(&mut session, table, table);
    }
    let created = count(&mut session, "action LIKE '%.created'");
    let stored: i64 = TABLES
        .iter()
        .map(|(table, _)| session.number(&format!("SELECT count(*) FROM {table}")))
        .sum();
    assert_eq!(created, stored);
    assert_eq!(
        count(&mut session, "true"),
        stored,
        "each row once and nothing else"
    );
}

#[test]
fn what_is_not_exact_says_so() {
    let Some(script) = script() else { return };
    let database = log();
    let mut session = database.superuser();
    load(&mut session, &script);
    session
        .batch_execute(&format!(
            "SET activity.tenant_id = '{TENANT}'; ALTER TABLE customer ALTER address TYPE text;
             SELECT activity.attach('customer', tenant_id => '{TENANT}', exclude => '{{fax}}', redact => '{{email}}');
             UPDATE customer SET phone = '1', fax = '2', email = 'new@example.org', address = repeat('long ', 100000) WHERE customer_id = 7;
             DELETE FROM customer WHERE false"
        ))
        .unwrap();
    let row = session
        .text("SELECT activity.row_as_of('customer', '{\"customer_id\": 7}', clock_timestamp())::text")
        .unwrap();
    let row: serde_json::Value = serde_json::from_str(&row).unwrap();
    assert_eq!(row["phone"], "1", "{row}");
    let inexact = row.to_string();
    for column in ["fax", "email", "address"] {
        assert!(inexact.contains(column), "{column} is not named in {row}");
    }
    assert!(!inexact.contains("new@example.org"), "{row}");
}
