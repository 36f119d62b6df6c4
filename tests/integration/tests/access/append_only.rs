//! Nobody changes what is recorded.

use super::*;

#[test]
fn nobody_changes_the_log_not_even_its_owner() {
    let database = database();
    let mut owner = database.superuser();
    let partition = partition(&mut owner);
    let before = database.rows();
    let major = owner.major();
    for replication in ["origin", "replica", "local"] {
        owner
            .batch_execute(&format!("SET session_replication_role = {replication}"))
            .unwrap();
        for table in ["activity.events", &partition] {
            for attempt in attempts(table, major) {
                let refusal = expect_error(owner.batch_execute(&attempt), "42501");
                assert!(
                    refusal.message.contains("append only"),
                    "{attempt}: {refusal:?}"
                );
            }
        }
        let truncate = "TRUNCATE activity.actions, activity.events CASCADE";
        expect_error(owner.batch_execute(truncate), "42501");
    }
    assert_eq!(database.rows(), before);
}

fn attempts(table: &str, major: i64) -> Vec<String> {
    let mut attempts = vec![
        format!("UPDATE {table} SET metadata = '{{}}'"),
        format!("DELETE FROM {table}"),
        // A statement that hits no row is refused as well: nobody gets used to it.
        format!("DELETE FROM {table} WHERE false"),
        format!("TRUNCATE {table}"),
        format!("WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT count(*) FROM gone"),
        format!("DO $$ BEGIN DELETE FROM {table}; END $$"),
        format!(
            "INSERT INTO {table} SELECT * FROM {table} ON CONFLICT (tenant_id, occurred_at, event_id, recorded_at) DO UPDATE SET metadata = '{{}}'"
        ),
    ];
    if major >= 15 {
        attempts.push(format!(
            "MERGE INTO {table} e USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE"
        ));
    }
    attempts
}

#[test]
fn a_writer_adds_nothing_but_through_the_functions() {
    let database = database();
    for group in ROLES {
        let mut session = login(&database, group);
        for attempt in [
            "INSERT INTO activity.events DEFAULT VALUES",
            "COPY activity.events FROM STDIN",
            "UPDATE activity.events SET metadata = '{}'",
            "DELETE FROM activity.events",
            "TRUNCATE activity.events",
            "DELETE FROM activity.idempotency_keys",
            "UPDATE activity.log SET log_id = gen_random_uuid()",
            "DELETE FROM activity.actions",
            "SELECT * FROM activity.keys",
            "SELECT activity._key_state()",
        ] {
            expect_error(session.simple_query(attempt), "42501");
        }
    }
}
