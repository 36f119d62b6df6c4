//! What goes in comes out, whatever it is.

use super::*;

#[test]
fn every_kind_of_value_comes_back_bit_by_bit() {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    for columns in EVERY_KIND_OF_ROW {
        insert(&mut owner, columns);
    }
    let partition = partition(&mut owner);
    let before = rows(&mut owner, &format!("activity.{partition}"));
    let manifest_path = archive(&mut owner, &partition, &folder);
    let table = restore(&mut owner, &manifest_path, "restored_all");

    assert_eq!(rows(&mut owner, &table), before);
    // 'setup' has recorded one as well.
    assert_eq!(before.len(), EVERY_KIND_OF_ROW.len() + 1);
}

/// Columns that differ from the ordinary row, with their values.
const EVERY_KIND_OF_ROW: &[&[(&str, &str)]] = &[
    &[],
    &[("occurred_at", "'infinity'")],
    &[("occurred_at", "'-infinity'")],
    &[("occurred_at", "'0044-03-15 12:00:00.000001 BC'")],
    &[("occurred_at", "'12026-01-01 00:00:00+00'")],
    &[("occurred_at", "'2024-02-29 23:59:59.999999+14'")],
    &[("xact", "'18446744073709551615'"), ("gen", "2147483647")],
    &[("action_version", "-1"), ("status", "'denied'")],
    &[
        ("actor_type", "'user'"),
        (
            "actor_id",
            r#"E'Zo\u00eb "O''Neil" \\ \t\n\r\u0001\u2028\u202e'"#,
        ),
        ("object_type", "''"),
        ("object_id", "U&'\\+01F600'"),
        ("request_id", "E'line\\nbreak'"),
    ],
    &[
        ("ip_hash", r"'\x0001feff0a0d22'"),
        ("ip_prefix", "'2001:db8:1::/48'"),
        ("user_agent", "repeat('ü', 5000)"),
        ("db_role", "'a \"b\"'"),
    ],
    &[("ip_hash", r"'\x'"), ("ip_prefix", "'203.0.113.0/24'")],
    &[(
        "metadata",
        r#"'{"n": 1.10, "big": 1e400, "tiny": 1E-300, "int": 12345678901234567890123, "zero": -0.0, "": {"a": [[], {}, null, true]}}'"#,
    )],
    &[("metadata", r#"'"a string"'"#), ("changes", "'null'")],
    &[("metadata", "'null'"), ("changes", "'[1, 2]'")],
    &[(
        "metadata",
        r#"'{"text": "\u0001\u007f\"\\\/\ud83d\ude00"}'"#,
    )],
    &[
        ("source", "'capture'"),
        (
            "changes",
            r#"'{"old": {"name": "Zoë", "tags": ["a"]}, "new": {"name": null, "tags": [], "note": {"$omitted": {"bytes": 9, "sha256": "x"}}}}'"#,
        ),
    ],
    // Three megabytes that do not compress well, and one that does.
    &[(
        "metadata",
        "(SELECT jsonb_build_object('v', string_agg(md5(i::text), '')) FROM generate_series(1, 100000) i)",
    )],
    &[("metadata", "jsonb_build_object('v', repeat('x', 1000000))")],
    &[("tenant_id", "'00000000-0000-0000-0000-000000000000'")],
];

#[test]
fn the_manifest_says_what_the_file_holds() {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    for tenant in [TENANT_A, TENANT_A, TENANT_B] {
        let tenant = format!("'{tenant}'");
        let occurred = ("occurred_at", "'2020-05-05 05:05:05.5+00'");
        insert(&mut owner, &[("tenant_id", tenant.as_str()), occurred]);
    }
    let partition = partition(&mut owner);
    let path = archive(&mut owner, &partition, &folder);
    let manifest = manifest(&path);

    assert_eq!(manifest["format"], "activity_log/archive/v1");
    assert_eq!(manifest["partition"], partition.as_str());
    assert_eq!(manifest["rows"], 4);
    let log_id = owner.text("SELECT log_id::text FROM activity.log").unwrap();
    assert_eq!(manifest["log_id"], log_id.as_str());
    assert_eq!(manifest["tenants"][TENANT_A], 2);
    assert_eq!(manifest["tenants"][TENANT_B], 1);
    assert_eq!(
        manifest["occurred_at"]["first"],
        "2020-05-05T05:05:05.500000Z"
    );
    assert_eq!(manifest["columns"].as_array().unwrap().len(), 21);
    let sum = |path: &Path| {
        let output = Command::new("sha256sum").arg(path).output().unwrap();
        String::from_utf8(output.stdout).unwrap()[..64].to_owned()
    };
    assert_eq!(manifest["sha256"], sum(&file_of(&path)).as_str());
    assert_eq!(
        manifest["bytes"],
        std::fs::metadata(file_of(&path)).unwrap().len()
    );
}

#[test]
fn each_row_is_an_object_in_a_line_in_the_order_of_the_ids() {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    for _ in 0..5 {
        insert(&mut owner, &[]);
    }
    let partition = partition(&mut owner);
    let path = archive(&mut owner, &partition, &folder);
    let manifest = manifest(&path);
    let lines: Vec<Value> = lines(&path)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids: Vec<&str> = lines
        .iter()
        .map(|row| row["event_id"].as_str().unwrap())
        .collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(manifest["event_id"]["first"], ids[0]);
    assert!(lines.iter().all(|row| row.get("changes").is_none()));
    assert!(
        lines
            .iter()
            .all(|row| row["recorded_at"].as_str().unwrap().contains('T'))
    );
}

#[test]
fn an_empty_partition_is_archived_and_restored_as_such() {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    let partition = owner
        .text("SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'activity.events'::regclass")
        .unwrap();
    let path = archive(&mut owner, &partition, &folder);
    assert_eq!(manifest(&path)["rows"], 0);
    assert_eq!(manifest(&path)["event_id"], Value::Null);
    let table = restore(&mut owner, &path, "restored_empty");
    assert_eq!(owner.number(&format!("SELECT count(*) FROM {table}")), 0);
}

#[test]
fn the_same_rows_give_the_same_file_and_other_rows_another() {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    insert(&mut owner, &[]);
    let partition = partition(&mut owner);
    // The second is the first one, which archive_partition() finds; its own event goes elsewhere.
    let detach = format!("ALTER TABLE activity.events DETACH PARTITION activity.{partition}");
    owner.batch_execute(&detach).unwrap();
    owner.batch_execute("SELECT activity.setup()").unwrap_err();
    owner
        .batch_execute(&format!("ALTER TABLE activity.{partition} RENAME TO away"))
        .unwrap();
    owner.batch_execute("SELECT activity.setup()").unwrap();

    let first = archive(&mut owner, "away", &folder);
    let written = std::fs::metadata(&first).unwrap().modified().unwrap();
    let second = archive(&mut owner, "away", &folder);
    assert_eq!(first, second);
    assert_eq!(
        std::fs::metadata(&first).unwrap().modified().unwrap(),
        written
    );
    assert_eq!(files(&folder).len(), 2);

    owner
        .batch_execute("INSERT INTO activity.away SELECT e.* FROM activity.events e LIMIT 1")
        .unwrap();
    let third = archive(&mut owner, "away", &folder);
    assert_ne!(first, third);
    assert_eq!(files(&folder).len(), 4);
    assert_eq!(
        owner.number(&format!("SELECT activity.verify_archive('{first}')")),
        2
    );
}

#[test]
fn rows_that_were_committed_after_the_transaction_began_are_archived() {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    let partition = partition(&mut owner);
    owner
        .batch_execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM activity.events",
        )
        .unwrap();
    insert(&mut database.superuser(), &[]);
    let path = archive(&mut owner, &partition, &folder);
    owner.batch_execute("ROLLBACK").unwrap();
    assert_eq!(manifest(&path)["rows"], 2);
}

#[test]
fn a_column_that_somebody_added_travels_with_its_rows() {
    let database = Cluster::shared().database();
    let folder = folder_of(&database);
    let mut owner = database.superuser();
    owner
        .batch_execute("ALTER TABLE activity.events ADD COLUMN \"Cost Center\" numeric(8,2)[]")
        .unwrap();
    insert(&mut owner, &[("\"Cost Center\"", "'{1.5,NULL}'")]);
    let partition = partition(&mut owner);
    let path = archive(&mut owner, &partition, &folder);
    owner
        .batch_execute("ALTER TABLE activity.events DROP COLUMN \"Cost Center\"")
        .unwrap();
    let table = restore(&mut owner, &path, "restored_wide");
    let query = format!("SELECT max(\"Cost Center\")::text FROM {table}");
    assert_eq!(owner.text(&query).as_deref(), Some("{1.50,NULL}"));
}
