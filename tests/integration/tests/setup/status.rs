//! What `status()` says, and that its advice helps.

use super::*;

#[test]
fn status_says_what_to_do_before_setup_and_nothing_important_after() {
    let database = Cluster::shared().database_before_setup();
    let mut session = database.superuser();
    assert_eq!(
        advice(&mut session, "set up").as_deref(),
        Some("SELECT activity.setup();")
    );
    session
        .batch_execute("SELECT activity.setup(); SELECT activity.install_taxonomy()")
        .unwrap();
    let complaints =
        session.texts("SELECT item FROM activity.status() WHERE ok IS NOT TRUE ORDER BY item");
    assert_eq!(complaints, ["key for addresses"]);
    let without_advice =
        "SELECT count(*) FROM activity.status() WHERE (ok IS NOT TRUE) <> (advice IS NOT NULL)";
    assert_eq!(session.number(without_advice), 0);
}

#[test]
fn status_shows_tampering_and_its_advice_mends_it() {
    let database = Cluster::shared().database();
    let mut session = database.superuser();
    let partition = session
        .text("SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'activity.events'::regclass")
        .unwrap();
    let guards = "tables that are not append only";
    let security = "tables without row security";
    let policy = "policy of activity_reader";
    for (tampering, item) in [
        (
            "DROP TRIGGER append_only ON activity.events".to_owned(),
            guards,
        ),
        (format!("DROP TRIGGER append_only ON {partition}"), guards),
        (
            format!("ALTER TABLE {partition} DISABLE TRIGGER append_only"),
            guards,
        ),
        (
            "ALTER TABLE activity.events DISABLE TRIGGER append_only".to_owned(),
            guards,
        ),
        // Fires for nobody who sets session_replication_role.
        (
            "ALTER TABLE activity.events ENABLE TRIGGER append_only".to_owned(),
            guards,
        ),
        (
            "ALTER TABLE activity.events DISABLE ROW LEVEL SECURITY".to_owned(),
            security,
        ),
        (
            format!("ALTER TABLE {partition} DISABLE ROW LEVEL SECURITY"),
            security,
        ),
        (
            "DROP POLICY reader_sees_tenant ON activity.events".to_owned(),
            policy,
        ),
    ] {
        assert_eq!(advice_count(&mut session, item), 0, "{item}");
        session.batch_execute(&tampering).unwrap();
        let advice =
            advice(&mut session, item).unwrap_or_else(|| panic!("{tampering} is not seen"));
        assert!(
            advice.contains("activity.setup()") || advice.contains("ENABLE ROW LEVEL SECURITY"),
            "{advice}"
        );
        session.batch_execute("SELECT activity.setup()").unwrap();
        for table in ["activity.events", &partition] {
            session
                .batch_execute(&format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"))
                .unwrap();
        }
        assert_eq!(
            advice_count(&mut session, item),
            0,
            "{tampering} is not mended"
        );
    }
}

#[test]
fn a_policy_that_lets_readers_see_more_is_shown() {
    let database = Cluster::shared().database();
    let mut session = database.superuser();
    let complaints = "SELECT count(*) FROM activity.status() WHERE area = 'protection' AND NOT ok";
    for tampering in [
        "ALTER POLICY reader_sees_tenant ON activity.events USING (true)",
        "CREATE POLICY open ON activity.events FOR SELECT TO activity_reader USING (true)",
        "GRANT SELECT ON activity.keys TO PUBLIC",
        "GRANT SELECT ON activity.idempotency_keys TO activity_reader",
    ] {
        session.batch_execute("BEGIN").unwrap();
        session.batch_execute(tampering).unwrap();
        assert!(session.number(complaints) > 0, "{tampering} is not seen");
        session.batch_execute("ROLLBACK").unwrap();
    }
    assert_eq!(session.number(complaints), 0);
}

#[test]
fn what_setup_puts_back_is_said_and_recorded() {
    let database = Cluster::shared().database();
    let mut session = database.superuser();
    session
        .batch_execute(
            "ALTER TABLE activity.events DISABLE TRIGGER append_only;
             DROP POLICY reader_sees_tenant ON activity.events",
        )
        .unwrap();
    let said = session.text("SELECT activity.setup()").unwrap();
    assert!(said.ends_with("2 guards put back"), "{said}");
    let recorded = "SELECT count(*) FROM activity.events
        WHERE action = 'activity.log.changed' AND metadata->'guards_restored' = '2'";
    assert_eq!(session.number(recorded), 1);
}

#[test]
fn a_hole_at_the_present_time_and_a_role_without_rights_are_shown() {
    let database = Cluster::shared().database();
    let mut session = database.superuser();
    assert_eq!(advice(&mut session, "takes events now"), None);
    session
        .batch_execute(
            "DO $$ BEGIN EXECUTE format('ALTER TABLE activity.events DETACH PARTITION activity.%I',
                 to_char(now() AT TIME ZONE 'UTC', '\"events_p\"YYYY_MM')); END $$;
             REVOKE USAGE ON SCHEMA activity FROM activity_writer",
        )
        .unwrap();
    assert!(advice(&mut session, "takes events now").is_some());
    assert!(advice(&mut session, "role activity_writer").is_some());
    let refusal = expect_error(session.batch_execute("SELECT activity.setup()"), "55000");
    assert!(refusal.hint.contains("attach it again"), "{refusal:?}");
}
