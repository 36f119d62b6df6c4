//! The view of partitions, and what closing one is good for.

use super::maintain::until;
use super::*;

#[test]
fn the_view_shows_bounds_sizes_and_states() {
    let database = log_with_months(quiet_cluster(), &[3]);
    let mut session = database.superuser();
    session
        .batch_execute(&format!(
            "SELECT activity.register_action('user.created');
             SELECT activity.record('user.created', tenant_id => '{TENANT_A}')"
        ))
        .unwrap();
    maintain(&mut session);
    let auditor = database.create_login(&["activity_auditor"]);
    let mut auditor = database.connect_as(&auditor);
    let months = session.texts("SELECT state FROM activity.partitions");
    assert_eq!(months[..3], ["closed", "closed", "live"]);
    assert!(
        months[3..].iter().all(|state| state == "future"),
        "{months:?}"
    );
    let row = auditor
        .query_one(
            "SELECT rows, bytes > 0, index_bytes > 0, oldest >= lower_bound, newest < upper_bound, upper_bound > lower_bound \
             FROM activity.partitions ORDER BY lower_bound LIMIT 1",
            &[],
        )
        .unwrap();
    let expected = count(&mut session, TENANT_A, 3) + count(&mut session, TENANT_B, 3);
    assert_eq!(row.get::<_, i64>(0), expected);
    for column in 1..6 {
        assert!(row.get::<_, bool>(column), "column {column}");
    }
    for group in ["activity_reader", "activity_writer"] {
        let login = database.create_login(&[group]);
        let refused = database
            .connect_as(&login)
            .simple_query("SELECT * FROM activity.partitions");
        expect_error(refused, "42501");
    }
}

#[test]
fn the_view_is_empty_before_setup() {
    let database = quiet_cluster().database_before_setup();
    let count = database
        .superuser()
        .number("SELECT count(*) FROM activity.partitions");
    assert_eq!(count, 0);
}

/// Blocks of partitions that a page touches, all of them in memory.
fn blocks(session: &mut Session, until: &str) -> i64 {
    let query = format!(
        "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) \
         SELECT * FROM activity.list(tenant_id => '{TENANT_A}', until => {until}, page_size => 5)"
    );
    let plan: Value = session.query_one(&query, &[]).unwrap().get(0);
    let plan = &plan[0]["Plan"];
    plan["Shared Hit Blocks"].as_i64().unwrap() + plan["Shared Read Blocks"].as_i64().unwrap()
}

#[test]
fn a_deep_page_opens_no_closed_partition_that_it_can_t_lie_in() {
    let months: Vec<i32> = (2..26).collect();
    let database = log_with_months(quiet_cluster(), &months);
    let mut session = database.superuser();
    let deep = "test.month(23)";
    let page = format!(
        "SELECT event_id::text FROM activity.list(tenant_id => '{TENANT_A}', until => {deep}, page_size => 5)"
    );
    let before = session.texts(&page);
    let _ = blocks(&mut session, deep);
    let open = blocks(&mut session, deep);
    maintain(&mut session);
    let _ = blocks(&mut session, deep);
    let closed = blocks(&mut session, deep);
    assert_eq!(session.texts(&page), before);
    // Twenty younger partitions were looked into, by a block at least.
    assert!(
        closed + 20 <= open,
        "{open} blocks before, {closed} after closing"
    );
}

#[test]
fn an_event_that_comes_into_a_closed_partition_is_listed_all_the_same() {
    let database = log_with_months(quiet_cluster(), &[3]);
    let mut session = database.superuser();
    let mut reader = database.superuser();
    maintain(&mut session);
    let listed =
        format!("SELECT count(*) FROM activity.list(tenant_id => '{TENANT_A}', page_size => 1000)");
    let before = reader.number(&listed);
    let insert = format!(
        "INSERT INTO activity.events SELECT recorded_at, test.month(9), xact, gen, action_version, gen_random_uuid(), tenant_id, action, \
         status, source FROM activity.events WHERE tenant_id = '{TENANT_A}' LIMIT 1"
    );
    // The last column that is needed has no default.
    let insert = insert.replace(
        "status, source FROM",
        "status, source, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{}' FROM",
    );
    session.batch_execute(&insert).unwrap();
    assert_eq!(
        reader.number(&listed),
        before + 1,
        "long before the range that was known"
    );
    assert_eq!(state(&mut session, 3).as_deref(), Some("live"));
    maintain(&mut session);
    assert_eq!(state(&mut session, 3).as_deref(), Some("closed"));
    assert_eq!(reader.number(&listed), before + 1);

    // One that is rolled back changes nothing.
    session
        .batch_execute(&format!("BEGIN; {insert}; ROLLBACK"))
        .unwrap();
    assert_eq!(state(&mut session, 3).as_deref(), Some("closed"));
    assert_eq!(reader.number(&listed), before + 1);
}

#[test]
fn closed_partitions_are_analysed_and_told_to_freeze() {
    let database = log_with_months(quiet_cluster(), &[3]);
    let mut session = database.superuser();
    maintain(&mut session);
    let name = name_of(&mut session, 3);
    let row = session
        .query_one(
            "SELECT c.reltuples > 0, array_to_string(c.reloptions, ' ') FROM pg_class c WHERE c.relname = $1",
            &[&name],
        )
        .unwrap();
    assert!(row.get::<_, bool>(0));
    assert!(
        row.get::<_, String>(1)
            .contains("autovacuum_freeze_min_age=0")
    );
    // The trigger that notices late events comes back after the extension was dropped.
    session
        .batch_execute("DROP EXTENSION activity_log CASCADE; CREATE EXTENSION activity_log; SELECT activity.setup()")
        .unwrap();
    let triggers = session
        .number("SELECT count(*) FROM pg_trigger WHERE tgname = 'reopened' AND tgenabled = 'A'");
    assert_eq!(triggers, 2);
}

#[test]
fn a_partition_that_is_still_written_to_is_not_closed() {
    let database = log_with_months(quiet_cluster(), &[3]);
    let mut writer = database.superuser();
    let mut transaction = writer.transaction().unwrap();
    transaction
        .batch_execute(&format!(
            "SELECT test.fill(test.month(3), test.month(2), '{{{TENANT_A}}}')"
        ))
        .unwrap();
    let mut session = database.superuser();
    assert_eq!(maintain(&mut session)["ok"], false);
    assert_eq!(state(&mut session, 3).as_deref(), Some("live"));
    transaction.commit().unwrap();
    assert_eq!(maintain(&mut session)["ok"], true);
    let rows =
        session.number("SELECT rows FROM activity.partitions WHERE partition = test.name(3)");
    assert_eq!(
        rows,
        count(&mut session, TENANT_A, 3) + count(&mut session, TENANT_B, 3)
    );
}

#[test]
fn a_partition_that_takes_events_shows_about_how_many_it_has() {
    let database = quiet_cluster().database();
    let mut session = database.superuser();
    let mut writer = database.superuser();
    writer
        .batch_execute(&format!(
            "SELECT activity.register_action('doc.read');
             SELECT activity.record('doc.read', tenant_id => '{TENANT_A}') FROM generate_series(1, 20)"
        ))
        .unwrap();
    drop(writer);
    until("the live partition has rows", || {
        session.number("SELECT max(rows) FROM activity.partitions WHERE state = 'live'") >= 20
    });
}

#[test]
fn few_partitions_ahead_and_none_at_all_are_told() {
    let database = quiet_cluster().database();
    let mut session = database.superuser();
    assert!(
        advice(&mut session, "maintain() ran last")
            .unwrap()
            .contains("schedule_maintenance")
    );
    session
        .batch_execute(
            "DO $$ DECLARE name text; BEGIN
                 FOR name IN SELECT p.partition FROM activity.partitions p WHERE state = 'future' ORDER BY lower_bound OFFSET 2 LOOP
                     EXECUTE format('ALTER TABLE activity.events DETACH PARTITION activity.%I; DROP TABLE activity.%I', name, name);
                 END LOOP;
             END $$",
        )
        .unwrap();
    assert_eq!(
        advice(&mut session, "partitions ahead").as_deref(),
        Some("CALL activity.maintain();")
    );
    maintain(&mut session);
    assert_eq!(advice(&mut session, "partitions ahead"), None);
}
