//! The vocabularies that come with the extension are as they say.

use super::{TENANT, record};
use activity_log_integration::{Cluster, Session, expect_error};
use serde_json::Value;
use std::collections::BTreeSet;

const TAXONOMIES: [&str; 2] = [
    include_str!("../../../../core/taxonomy/saas.json"),
    include_str!("../../../../core/taxonomy/ops.json"),
];

#[test]
fn a_taxonomy_is_installed_once_by_whomever_comes_first() {
    let database = Cluster::shared().database();
    let mut counts: Vec<i32> = std::thread::scope(|scope| {
        let install = |_| {
            let mut session = database.superuser();
            scope.spawn(move || {
                let row = session.query_one("SELECT activity.install_taxonomy('saas')", &[]);
                row.unwrap().get::<_, i32>(0)
            })
        };
        let workers: Vec<_> = (0..2).map(install).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    counts.sort_unstable();
    let mut session = database.superuser();
    let actions = session.number("SELECT count(*) FROM activity.actions");
    assert_eq!(counts, [0, i32::try_from(actions).unwrap()]);
    assert_eq!(
        session.number("SELECT count(*) FROM activity.action_versions"),
        actions
    );
    assert_eq!(
        session.number(
            "SELECT count(*) FROM activity.events WHERE action = 'activity.registry.changed'"
        ),
        1
    );
}

fn actions_of_taxonomies() -> Vec<Value> {
    let parse = |text| serde_json::from_str::<Value>(text).unwrap();
    TAXONOMIES
        .into_iter()
        .flat_map(|text| parse(text)["actions"].as_array().unwrap().clone())
        .collect()
}

fn install_taxonomies(session: &mut Session) {
    session
        .batch_execute("SELECT activity.install_taxonomy('saas'), activity.install_taxonomy('ops')")
        .unwrap();
}

#[test]
fn every_example_of_the_taxonomies_is_recorded_and_every_counterexample_refused() {
    let database = Cluster::shared().database();
    let mut session = database.superuser();
    install_taxonomies(&mut session);
    let actions = actions_of_taxonomies();
    assert!(actions.len() >= 72, "{} actions", actions.len());
    for entry in &actions {
        let action = entry["action"].as_str().unwrap();
        record(&mut session, action, &entry["example"])
            .unwrap_or_else(|error| panic!("{action}: {error:?}"));
        let refusal = expect_error(
            record(&mut session, action, &entry["counterexample"]),
            "23514",
        );
        let detail: Value = serde_json::from_str(&refusal.detail).unwrap();
        assert_eq!(detail["action"], entry["action"]);
        assert!(
            !detail["problems"].as_array().unwrap().is_empty(),
            "{refusal:?}"
        );
    }
}

#[test]
fn the_typed_wrapper_of_every_action_can_be_made_and_called() {
    let database = Cluster::shared().database();
    let mut session = database.superuser();
    install_taxonomies(&mut session);
    session
        .batch_execute("CREATE SCHEMA wrappers; SET search_path = wrappers")
        .unwrap();
    for entry in actions_of_taxonomies() {
        let action = entry["action"].as_str().unwrap();
        let sql: String = session
            .query_one("SELECT activity.helper_sql($1)", &[&action])
            .unwrap()
            .get(0);
        session
            .batch_execute(&sql)
            .unwrap_or_else(|error| panic!("{error}\n{sql}"));
        let call = wrapper_call(&mut session, action, entry["example"].as_object().unwrap());
        session
            .batch_execute(&call)
            .unwrap_or_else(|error| panic!("{error:?}\n{call}"));
        let stored: Value = session
            .query_one(
                &format!(
                    "SELECT metadata FROM activity.list(tenant_id => '{TENANT}', action => $1)"
                ),
                &[&action],
            )
            .unwrap()
            .get(0);
        let keys = |value: &Value| {
            value
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(keys(&stored), keys(&entry["example"]), "{action}");
    }
}

/// A call of the wrapper with the properties of a document, by name.
fn wrapper_call(
    session: &mut Session,
    action: &str,
    document: &serde_json::Map<String, Value>,
) -> String {
    let name = format!("record_{}", action.replace('.', "_"));
    let arguments: Vec<(String, String)> = session
        .query(
            "SELECT a.name, format_type(a.type, NULL) FROM pg_proc p, \
             unnest(p.proargnames, p.proargtypes::oid[]) AS a (name, type) WHERE p.proname = $1",
            &[&name],
        )
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let context = [
        "tenant_id",
        "actor_id",
        "actor_type",
        "object_type",
        "object_id",
        "status",
        "client_ip",
        "user_agent",
        "request_id",
        "occurred_at",
        "idempotency_key",
    ];
    let mut given = vec![format!("tenant_id => '{TENANT}'")];
    for (property, value) in document {
        let prefix = if context.contains(&property.as_str()) {
            "metadata_"
        } else {
            ""
        };
        let argument = format!("{prefix}{property}");
        let (_, sql_type) = arguments
            .iter()
            .find(|(name, _)| *name == argument)
            .unwrap();
        let text = match value {
            Value::String(text) if sql_type != "jsonb" => text.clone(),
            other => other.to_string(),
        };
        given.push(format!("\"{argument}\" => '{}'", text.replace('\'', "''")));
    }
    format!("SELECT {name}({})", given.join(", "))
}
