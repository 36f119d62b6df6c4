//! The registry between sessions: what one registers counts for all at once, what is rolled back
//! counts for none, and the vocabularies that come with the extension are as they say.

mod hostile;
mod taxonomies;

use activity_log_integration::{Cluster, Session, expect_error};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const TENANT: &str = "7e900000-0000-4000-8000-0000000000aa";

fn register(session: &mut Session, action: &str, schema: Option<Value>) -> i32 {
    session
        .query_one(
            "SELECT activity.register_action($1, metadata_schema => $2)",
            &[&action, &schema],
        )
        .unwrap()
        .get(0)
}

fn record(session: &mut Session, action: &str, metadata: &Value) -> Result<(), postgres::Error> {
    let call = format!("SELECT activity.record($1, $2, tenant_id => '{TENANT}')");
    session.execute(&call, &[&action, metadata]).map(|_| ())
}

fn version_of_last_event(session: &mut Session, action: &str) -> Option<i32> {
    let query = format!(
        "SELECT action_version FROM activity.list(tenant_id => '{TENANT}', action => $1, page_size => 1)"
    );
    session.query_one(&query, &[&action]).unwrap().get(0)
}

fn requires(property: &str) -> Option<Value> {
    Some(json!({"required": [property]}))
}

#[test]
fn a_schema_of_one_session_is_enforced_in_another_from_its_next_statement_on() {
    let database = Cluster::shared().database();
    let (mut admin, mut writer) = (database.superuser(), database.superuser());
    register(&mut admin, "order.placed", None);
    record(&mut writer, "order.placed", &json!({})).unwrap();

    register(&mut admin, "order.placed", requires("total"));
    expect_error(record(&mut writer, "order.placed", &json!({})), "23514");

    // Also inside a transaction that has used the old one.
    writer.batch_execute("BEGIN").unwrap();
    record(&mut writer, "order.placed", &json!({"total": 1})).unwrap();
    register(&mut admin, "order.placed", requires("currency"));
    expect_error(
        record(&mut writer, "order.placed", &json!({"total": 1})),
        "23514",
    );
    writer.batch_execute("ROLLBACK").unwrap();
    record(&mut writer, "order.placed", &json!({"currency": "EUR"})).unwrap();
    assert_eq!(version_of_last_event(&mut writer, "order.placed"), Some(3));
}

#[test]
fn a_new_action_of_one_session_is_known_to_another_that_was_refused_before() {
    let database = Cluster::shared().database();
    let (mut admin, mut writer) = (database.superuser(), database.superuser());
    expect_error(record(&mut writer, "order.placed", &json!({})), "42704");
    admin.batch_execute("BEGIN").unwrap();
    register(&mut admin, "order.placed", None);
    expect_error(record(&mut writer, "order.placed", &json!({})), "42704");
    admin.batch_execute("COMMIT").unwrap();
    record(&mut writer, "order.placed", &json!({})).unwrap();
}

#[test]
fn a_registration_that_is_rolled_back_leaves_nothing_in_any_session() {
    let database = Cluster::shared().database();
    let (mut admin, mut writer) = (database.superuser(), database.superuser());
    register(&mut admin, "order.placed", requires("total"));
    admin.batch_execute("BEGIN").unwrap();
    assert_eq!(
        register(&mut admin, "order.placed", requires("currency")),
        2
    );
    register(&mut admin, "order.shipped", None);
    record(&mut admin, "order.placed", &json!({"currency": "EUR"})).unwrap();
    record(&mut admin, "order.shipped", &json!({})).unwrap();
    admin.batch_execute("ROLLBACK").unwrap();

    for session in [&mut admin, &mut writer] {
        record(session, "order.placed", &json!({"total": 1})).unwrap();
        expect_error(
            record(session, "order.placed", &json!({"currency": "EUR"})),
            "23514",
        );
        expect_error(record(session, "order.shipped", &json!({})), "42704");
    }
    assert_eq!(
        register(&mut admin, "order.placed", requires("customer")),
        2
    );
}

#[test]
fn a_registration_in_a_savepoint_goes_with_the_savepoint() {
    let database = Cluster::shared().database();
    let mut admin = database.superuser();
    register(&mut admin, "order.placed", requires("total"));
    admin.batch_execute("BEGIN; SAVEPOINT before").unwrap();
    register(&mut admin, "order.placed", requires("currency"));
    admin.batch_execute("SAVEPOINT nested").unwrap();
    record(&mut admin, "order.placed", &json!({"currency": "EUR"})).unwrap();
    admin
        .batch_execute("RELEASE nested; ROLLBACK TO before")
        .unwrap();
    record(&mut admin, "order.placed", &json!({"total": 1})).unwrap();
    admin
        .batch_execute(
            "SAVEPOINT again; SELECT activity.retire_action('order.placed'); ROLLBACK TO again",
        )
        .unwrap();
    record(&mut admin, "order.placed", &json!({"total": 1})).unwrap();
    admin.batch_execute("COMMIT").unwrap();
    assert_eq!(version_of_last_event(&mut admin, "order.placed"), Some(1));
    expect_error(
        record(&mut admin, "order.placed", &json!({"currency": "EUR"})),
        "23514",
    );
}

#[test]
fn a_transaction_with_an_old_snapshot_does_not_spoil_what_its_session_keeps() {
    let database = Cluster::shared().database();
    let (mut admin, mut writer) = (database.superuser(), database.superuser());
    register(&mut admin, "order.placed", None);
    writer
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .unwrap();
    record(&mut writer, "order.placed", &json!({})).unwrap();
    register(&mut admin, "order.placed", requires("total"));
    register(&mut admin, "order.shipped", requires("parcel"));
    // The registry as it is now counts, not as it was at the snapshot: a rule for what is written.
    record(&mut writer, "order.placed", &json!({"total": 1})).unwrap();
    record(&mut writer, "order.shipped", &json!({"parcel": 1})).unwrap();
    writer.batch_execute("COMMIT").unwrap();

    expect_error(record(&mut writer, "order.placed", &json!({})), "23514");
    expect_error(record(&mut writer, "order.shipped", &json!({})), "23514");
    record(&mut writer, "order.placed", &json!({"total": 1})).unwrap();
    assert_eq!(version_of_last_event(&mut writer, "order.placed"), Some(2));
}

#[test]
fn a_retired_action_is_refused_everywhere_until_it_is_registered_again() {
    let database = Cluster::shared().database();
    let (mut admin, mut writer) = (database.superuser(), database.superuser());
    register(&mut admin, "order.placed", requires("total"));
    record(&mut writer, "order.placed", &json!({"total": 1})).unwrap();
    admin
        .batch_execute("SELECT activity.retire_action('order.placed')")
        .unwrap();
    expect_error(
        record(&mut writer, "order.placed", &json!({"total": 1})),
        "22023",
    );
    // Coming back without a schema, it keeps the one it had.
    assert_eq!(register(&mut admin, "order.placed", None), 1);
    record(&mut writer, "order.placed", &json!({"total": 1})).unwrap();
    expect_error(record(&mut writer, "order.placed", &json!({})), "23514");
}

#[test]
fn every_changed_schema_is_a_new_version_and_events_name_theirs() {
    let database = Cluster::shared().database();
    let mut admin = database.superuser();
    let mut versions = Vec::new();
    for property in ["a", "b", "b", "c", "a"] {
        versions.push(register(&mut admin, "order.placed", requires(property)));
        record(&mut admin, "order.placed", &json!({property: 1})).unwrap();
        assert_eq!(
            version_of_last_event(&mut admin, "order.placed"),
            versions.last().copied()
        );
    }
    assert_eq!(versions, [1, 2, 2, 3, 4]);
    let kept =
        admin.number("SELECT count(*) FROM activity.action_versions WHERE action = 'order.placed'");
    assert_eq!(kept, 4);
}

#[test]
fn sessions_that_register_the_same_action_at_once_each_get_a_version_of_their_own() {
    const SESSIONS: usize = 4;
    const ROUNDS: usize = 8;
    let database = Cluster::shared().database();
    let versions: Vec<i32> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..SESSIONS)
            .map(|worker| {
                let mut session = database.superuser();
                scope.spawn(move || {
                    (0..ROUNDS)
                        .map(|round| {
                            let property = format!("p_{worker}_{round}");
                            register(&mut session, "order.placed", requires(&property))
                        })
                        .collect::<Vec<i32>>()
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    let distinct: BTreeSet<i32> = versions.iter().copied().collect();
    assert_eq!(
        distinct,
        (1..=i32::try_from(SESSIONS * ROUNDS).unwrap()).collect()
    );
}

#[test]
fn the_mode_of_the_registry_is_a_superusers_to_set() {
    let database = Cluster::shared().database();
    let login = database.create_login(&["activity_writer", "activity_admin"]);
    let mut writer = database.connect_as(&login);
    for mode in ["off", "warn"] {
        expect_error(
            writer.batch_execute(&format!("SET activity.registry = '{mode}'")),
            "42501",
        );
    }
    expect_error(record(&mut writer, "order.placed", &json!({})), "42704");

    let name = database.name();
    let mut admin = database.superuser();
    admin
        .batch_execute(&format!(
            "ALTER ROLE {login} IN DATABASE {name} SET activity.registry = warn"
        ))
        .unwrap();
    let mut writer = database.connect_as(&login);
    record(&mut writer, "order.placed", &json!({"note": "hunter2"})).unwrap();
    let notices = writer.take_notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!(
        (notices[0].severity.as_str(), notices[0].sqlstate.as_str()),
        ("WARNING", "42704")
    );
    assert!(!notices[0].message.contains("hunter2"));

    admin
        .batch_execute(&format!(
            "ALTER ROLE {login} IN DATABASE {name} SET activity.registry = off"
        ))
        .unwrap();
    let mut writer = database.connect_as(&login);
    record(&mut writer, "order.placed", &json!({})).unwrap();
    assert!(writer.take_notices().is_empty());
    // A name has to be one in every mode, and the log's own namespace stays closed.
    expect_error(record(&mut writer, "Order Placed", &json!({})), "22023");
}

#[test]
fn a_change_of_the_registry_by_hand_counts_as_well() {
    let database = Cluster::shared().database();
    let (mut admin, mut writer) = (database.superuser(), database.superuser());
    register(&mut admin, "order.placed", None);
    record(&mut writer, "order.placed", &json!({})).unwrap();
    admin
        .batch_execute(
            "UPDATE activity.actions SET retired_at = now() WHERE action = 'order.placed'",
        )
        .unwrap();
    expect_error(record(&mut writer, "order.placed", &json!({})), "22023");
    admin.batch_execute("TRUNCATE activity.actions").unwrap();
    expect_error(record(&mut writer, "order.placed", &json!({})), "42704");
}
