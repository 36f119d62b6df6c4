//! The extension dropped and installed again over its data.

use super::*;
use std::collections::BTreeMap;

#[test]
fn dropping_the_extension_and_setting_up_again_loses_nothing() {
    let database = Cluster::shared().database();
    let (writer, reader) = fill(&database);
    let mut old_writer = database.connect_as(&writer);
    old_writer.batch_execute(&record("user.created")).unwrap();
    let (objects, rows) = (database.objects(), database.rows());

    let mut owner = database.superuser();
    owner
        .batch_execute("DROP EXTENSION activity_log CASCADE")
        .unwrap();
    let events = owner.number("SELECT count(*) FROM activity.events");
    assert_eq!(events, i64::try_from(rows["events"].len()).unwrap());
    let mut reading = database.connect_as(&reader);
    reading
        .batch_execute(&format!("SET activity.tenant_id = '{TENANT}'"))
        .unwrap();
    assert_eq!(
        reading.number("SELECT count(*) FROM activity.events"),
        0,
        "no policy, no rows"
    );

    owner
        .batch_execute("CREATE EXTENSION activity_log; SELECT activity.setup()")
        .unwrap();
    assert_same(&objects, &database.objects());
    assert_kept(&rows, &database);
    // Both in sessions that knew the extension before, and in new ones.
    for session in [&mut old_writer, &mut database.connect_as(&writer)] {
        session.batch_execute(&record("user.created")).unwrap();
    }
    for session in [&mut reading, &mut database.connect_as(&reader)] {
        session
            .batch_execute(&format!("SET activity.tenant_id = '{TENANT}'"))
            .unwrap();
        assert_eq!(session.number("SELECT count(*) FROM activity.events"), 4);
        assert_eq!(session.number("SELECT count(*) FROM activity.list()"), 4);
    }
    expect_error(owner.simple_query("DELETE FROM activity.events"), "42501");
    assert_eq!(
        owner.text("SELECT activity.setup()").unwrap(),
        "activity_log is already set up"
    );
}

/// A log with something in each of its tables; a writer and a reader.
fn fill(database: &Database<'_>) -> (String, String) {
    let writer = database.create_login(&["activity_writer"]);
    let reader = database.create_login(&["activity_reader"]);
    database
        .superuser()
        .batch_execute(&format!(
            r#"SELECT activity.register_action('user.created', metadata_schema => '{{"type": "object"}}');
            SELECT activity.register_action('user.deleted');
            SELECT activity.retire_action('user.deleted');
            INSERT INTO activity.tenants (tenant_id, external_id) VALUES ('{TENANT}', 'org_42');
            INSERT INTO activity.role_tenants VALUES ('{reader}', '{TENANT}');
            SELECT activity.record('user.created', '{{"plan": "pro"}}', tenant_id => '{TENANT}',
                                   client_ip => '192.0.2.1', idempotency_key => 'k1');"#
        ))
        .unwrap();
    (writer, reader)
}

/// Every row is still there. The keys are the extension's and go with it; new epochs begin.
fn assert_kept(before: &BTreeMap<String, Vec<String>>, database: &Database<'_>) {
    let after = database.rows();
    for (table, rows) in before {
        let may_grow = matches!(table.as_str(), "events" | "key_epochs" | "keys");
        let lost: Vec<_> = rows
            .iter()
            .filter(|row| !after[table].contains(row))
            .collect();
        assert!(
            lost.is_empty() || table == "keys" || table == "key_epochs",
            "{table} lost {lost:?}"
        );
        assert!(
            may_grow || after[table].len() == rows.len(),
            "{table} has new rows"
        );
    }
}
