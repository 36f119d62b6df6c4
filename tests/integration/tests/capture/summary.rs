//! Bulk statements that are told in one event, where a superuser wants that.

use crate::captured::{LEVELS, OTHER_TENANT, TENANT, count, log};
use activity_log_integration::{Session, expect_error};
use serde_json::Value;

const SYSTEM: &str = "00000000-0000-0000-0000-000000000000";

fn attached(session: &mut Session, level: &str) {
    session
        .batch_execute(&format!(
            "CREATE TABLE item (id int PRIMARY KEY, tenant_id uuid, n int);
             SELECT activity.attach('item', level => '{level}')"
        ))
        .unwrap();
}

/// Rows whose tenants are the one, the other, or nobody.
fn rows(from: u32, to: u32) -> String {
    format!(
        "INSERT INTO item SELECT n, CASE n % 4 WHEN 0 THEN '{OTHER_TENANT}'::uuid WHEN 3 THEN NULL ELSE '{TENANT}' END, n
         FROM generate_series({from}, {to}) n"
    )
}

/// Tenant and metadata of the events that stand for many rows.
fn summaries(session: &mut Session, action: &str) -> Vec<(String, Value)> {
    let query = format!(
        "SELECT tenant_id::text, metadata FROM activity.events
         WHERE source = 'capture' AND action = '{action}' AND metadata ? 'rows' AND object_id IS NULL AND changes IS NULL
         ORDER BY tenant_id"
    );
    let rows = session.query(&query, &[]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[test]
fn above_the_limit_a_statement_is_one_event_for_each_tenant_and_below_one_for_each_row() {
    let database = log();
    let mut session = database.superuser();
    attached(&mut session, "statement");
    session
        .batch_execute(&format!(
            "SET activity.capture_row_limit = 100; {}",
            rows(1, 100)
        ))
        .unwrap();
    assert_eq!(count(&mut session, "object_id IS NOT NULL"), 100);

    session.batch_execute(&rows(101, 500)).unwrap();
    assert_eq!(count(&mut session, "object_id IS NOT NULL"), 100);
    let found = summaries(&mut session, "item.created");
    let outline: Vec<(&str, i64)> = found
        .iter()
        .map(|(tenant, metadata)| (tenant.as_str(), metadata["rows"].as_i64().unwrap()))
        .collect();
    assert_eq!(outline, [(SYSTEM, 100), (TENANT, 200), (OTHER_TENANT, 100)]);
    for (tenant, metadata) in &found {
        check_sample(tenant, metadata);
    }

    session
        .batch_execute("UPDATE item SET n = n + 1; DELETE FROM item")
        .unwrap();
    assert_eq!(summaries(&mut session, "item.updated").len(), 3);
    assert_eq!(summaries(&mut session, "item.deleted").len(), 3);
}

/// No tenant is shown a row of another.
fn check_sample(tenant: &str, metadata: &Value) {
    let sample = metadata["sample"].as_array().unwrap();
    assert!(!sample.is_empty() && sample.len() < 50, "{metadata}");
    for row in sample {
        assert!(row["object_id"].is_string(), "{metadata}");
        let owner = row["changes"]["new"]["tenant_id"]
            .as_str()
            .unwrap_or(SYSTEM);
        assert_eq!(owner, tenant, "{metadata}");
    }
    assert_eq!(metadata.get("missing_tenant").is_some(), tenant == SYSTEM);
}

#[test]
fn rows_that_do_not_change_do_not_count() {
    let database = log();
    let mut session = database.superuser();
    attached(&mut session, "statement");
    session.batch_execute(&rows(1, 500)).unwrap();
    session
        .batch_execute("SET activity.capture_row_limit = 100; UPDATE item SET n = CASE WHEN id <= 20 THEN -n ELSE n END")
        .unwrap();
    let told: i64 = summaries(&mut session, "item.updated")
        .iter()
        .map(|(_, metadata)| metadata["rows"].as_i64().unwrap())
        .sum();
    let single = count(
        &mut session,
        "action = 'item.updated' AND object_id IS NOT NULL",
    );
    assert_eq!(told + single, 20);
}

#[test]
fn a_table_that_is_captured_row_by_row_has_no_limit_and_only_superusers_set_one() {
    for level in LEVELS {
        let database = log();
        let mut session = database.superuser();
        attached(&mut session, level);
        let login = database.create_login(&["activity_admin"]);
        let mut admin = database.connect_as(&login);
        // Before the library is loaded, the server knows no such setting.
        let refused =
            admin.batch_execute("SELECT activity.status(); SET activity.capture_row_limit = 1");
        expect_error(refused, "42501");
        session
            .batch_execute(&format!(
                "SET activity.capture_row_limit = 1; {}",
                rows(1, 10)
            ))
            .unwrap();
        let single = count(&mut session, "object_id IS NOT NULL");
        assert_eq!(
            single,
            if level == "row" { 10 } else { 0 },
            "at {level} level"
        );
    }
}
