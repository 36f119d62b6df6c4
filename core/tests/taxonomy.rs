//! The taxonomies say what they promise: names, scales, controls, schemas that work, a page.
#![allow(
    clippy::expect_used,
    reason = "functions shared by tests are test code too"
)]

use std::collections::{BTreeMap, BTreeSet};

use activity_log_core::taxonomy::{Action, CATEGORIES, SEVERITIES, load, names};
use jsonschema::{Draft, Validator};
use regex::Regex;
use serde_json::{Value, json};

const FILES: [(&str, &str); 2] = [
    ("saas", include_str!("../taxonomy/saas.json")),
    ("ops", include_str!("../taxonomy/ops.json")),
];
const PAGE: &str = include_str!("../../docs/taxonomy.md");

const SAAS_ACTIONS: &str = "
    auth.signup auth.login.success auth.login.failure auth.logout auth.token.refreshed
    auth.password.changed auth.password.reset_requested auth.password.reset auth.email.verified
    auth.account.locked auth.account.unlocked
    auth.service_account.issued auth.service_account.revoked
    tenant.created tenant.updated tenant.deleted tenant.activated tenant.deactivated
    tenant.subscription_changed
    user.created user.updated user.deleted user.activated user.deactivated
    user.role_changed user.invited
    branch.created branch.updated branch.deleted branch.activated branch.deactivated
    settings.updated
    conversation.created conversation.cleared
    agent.run.started agent.run.ended
    workflow.run.started workflow.run.ended
    billing.subscription.changed billing.invoice.paid billing.payment.failed billing.plan.changed
    storage.file.uploaded storage.file.deleted
    vector.sync.state_changed
    container.created container.destroyed container.bound";

const OPS_ACTIONS: &str = "
    compliance.exception.created compliance.exception.approved compliance.exception.denied
    compliance.exception.expired compliance.exception.updated
    compliance.evidence.submitted compliance.evidence.verified compliance.evidence.downloaded
    execution.started execution.completed execution.failed
    rule.promoted rule.deployed rule.retired
    rollout.started rollout.paused rollout.resumed rollout.advanced rollout.completed
    partner.approved partner.rejected
    key.issued key.rotated key.revoked";

/// Actions whose metadata may hold nothing but what the schema names, since a stray field there
/// would be a credential.
const CLOSED_ACTIONS: &str = "
    auth.token.refreshed auth.password.changed auth.password.reset_requested auth.password.reset
    auth.service_account.issued auth.service_account.revoked key.issued key.rotated key.revoked";

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn actions_of(name: &str) -> Vec<Action> {
    load(name).expect("taxonomy loads").actions
}

fn all_actions() -> Vec<Action> {
    names().iter().flat_map(|name| actions_of(name)).collect()
}

/// The files as written, with the examples that the library leaves out.
fn all_entries() -> Vec<Value> {
    FILES
        .iter()
        .flat_map(|(_, text)| {
            let file: Value = serde_json::from_str(text).expect("file is JSON");
            file["actions"].as_array().expect("array").clone()
        })
        .collect()
}

fn names_in(name: &str) -> Vec<String> {
    actions_of(name).into_iter().map(|a| a.action).collect()
}

fn compile(schema: &Value, assert_formats: bool) -> Validator {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(assert_formats)
        .build(schema)
        .expect("schema compiles")
}

fn schema_of(action: &str) -> Validator {
    let found = all_actions().into_iter().find(|a| a.action == action);
    compile(&found.expect("known action").metadata_schema, true)
}

/// Every subschema that a schema defines as a property, at any depth, with its name.
fn collect_properties<'a>(schema: &'a Value, found: &mut Vec<(&'a str, &'a Value)>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                found.extend(
                    properties
                        .iter()
                        .map(|(name, value)| (name.as_str(), value)),
                );
            }
            map.values().for_each(|v| collect_properties(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| collect_properties(v, found)),
        _ => {}
    }
}

fn properties_of(action: &Action) -> Vec<(&str, &Value)> {
    let mut found = Vec::new();
    collect_properties(&action.metadata_schema, &mut found);
    found
}

fn required_of(action: &Action) -> Vec<String> {
    serde_json::from_value(action.metadata_schema["required"].clone()).unwrap_or_default()
}

#[test]
fn every_name_loads_and_no_other_does() {
    assert_eq!(names(), FILES.map(|(name, _)| name));
    for name in names() {
        let taxonomy = load(name).expect("taxonomy loads");
        assert_eq!(taxonomy.name, *name);
        assert!(taxonomy.version >= 1 && !taxonomy.description.is_empty());
    }
    for unknown in ["", "SAAS", "saas ", "../saas", "none"] {
        assert!(load(unknown).is_none(), "{unknown:?}");
    }
}

#[test]
fn the_files_hold_exactly_the_promised_actions() {
    assert_eq!(names_in("saas"), words(SAAS_ACTIONS));
    assert_eq!(names_in("ops"), words(OPS_ACTIONS));
}

#[test]
fn action_names_obey_the_grammar_and_are_unique() {
    let grammar = Regex::new(r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$").expect("regex");
    let mut seen = BTreeSet::new();
    for action in all_actions() {
        assert!(grammar.is_match(&action.action), "{}", action.action);
        assert!(seen.insert(action.action.clone()), "{}", action.action);
    }
}

#[test]
fn every_action_is_described_and_on_the_scales() {
    let object_type = Regex::new("^[a-z][a-z0-9_]*$").expect("regex");
    for action in all_actions() {
        let name = &action.action;
        assert!(action.description.ends_with('.'), "{name}");
        assert!(SEVERITIES.contains(&action.severity.as_str()), "{name}");
        assert!(CATEGORIES.contains(&action.category.as_str()), "{name}");
        let typed = action.object_type.as_deref();
        assert!(typed.is_none_or(|t| object_type.is_match(t)), "{name}");
    }
}

#[test]
fn every_severity_and_category_is_used_and_explained() {
    let actions = all_actions();
    for severity in SEVERITIES {
        assert!(actions.iter().any(|a| a.severity == severity), "{severity}");
        assert!(PAGE.contains(&format!("\n| `{severity}` | ")), "{severity}");
    }
    for category in CATEGORIES {
        assert!(actions.iter().any(|a| a.category == category), "{category}");
        assert!(PAGE.contains(&format!("\n| `{category}` | ")), "{category}");
    }
}

#[test]
fn controls_have_the_numbering_of_their_framework_and_are_explained() {
    let annex = r"5\.([1-9]|[12]\d|3[0-7])|6\.[1-8]|7\.([1-9]|1[0-4])|8\.([1-9]|[12]\d|3[0-4])";
    let forms = BTreeMap::from([
        (
            "SOC2",
            r"^(CC[1-9]\.\d|A1\.[1-3]|C1\.[12]|PI1\.[1-5])$".to_owned(),
        ),
        ("ISO27001", format!("^A\\.({annex})$")),
        ("PCI", r"^([1-9]|1[0-2])(\.\d{1,2}){2,3}$".to_owned()),
        (
            "HIPAA",
            r"^164\.3(08|10|12|14|16)(\([a-zA-Z0-9]+\))+$".to_owned(),
        ),
    ]);
    for action in all_actions() {
        let unique: BTreeSet<_> = action.controls.iter().collect();
        assert_eq!(unique.len(), action.controls.len(), "{}", action.action);
        assert!(!unique.is_empty(), "{}", action.action);
        for control in unique {
            let (framework, number) = control.split_once(':').expect("FRAMEWORK:number");
            let form = Regex::new(&forms[framework]).expect("regex");
            assert!(form.is_match(number), "{control}");
            assert!(PAGE.contains(&format!("\n| `{control}` | ")), "{control}");
        }
    }
}

#[test]
fn every_schema_is_valid_under_draft_2020_12() {
    for action in all_actions() {
        let schema = &action.metadata_schema;
        assert!(
            jsonschema::draft202012::meta::is_valid(schema),
            "{}",
            action.action
        );
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        assert_eq!(schema["type"], "object", "{}", action.action);
    }
}

#[test]
fn every_schema_accepts_its_example_and_rejects_its_counterexample() {
    for entry in all_entries() {
        let (name, schema) = (&entry["action"], &entry["metadata_schema"]);
        assert!(
            entry["example"].is_object() && entry["counterexample"].is_object(),
            "{name}"
        );
        for assert_formats in [false, true] {
            let validator = compile(schema, assert_formats);
            assert!(validator.is_valid(&entry["example"]), "{name}");
            assert!(!validator.is_valid(&entry["counterexample"]), "{name}");
        }
    }
}

#[test]
fn examples_use_only_fields_that_the_schema_defines() {
    for entry in all_entries() {
        for field in entry["example"].as_object().expect("object").keys() {
            let defined = entry["metadata_schema"]["properties"].get(field).is_some();
            assert!(defined, "{}: {field}", entry["action"]);
        }
    }
}

#[test]
fn required_properties_are_defined_and_few() {
    for action in all_actions() {
        let required = required_of(&action);
        assert!(required.len() <= 3, "{}", action.action);
        for property in required {
            let defined = &action.metadata_schema["properties"][&property];
            assert!(defined.is_object(), "{}: {property}", action.action);
        }
    }
}

#[test]
fn every_property_is_described_and_every_text_is_bounded() {
    for action in all_actions() {
        for (name, property) in properties_of(&action) {
            assert!(
                property["description"].is_string(),
                "{}: {name}",
                action.action
            );
            let is_text = property["type"].to_string().contains("\"string\"");
            let is_bounded = ["maxLength", "enum", "pattern"]
                .iter()
                .any(|k| !property[k].is_null());
            assert!(!is_text || is_bounded, "{}: {name}", action.action);
        }
    }
}

#[test]
fn enumerations_of_causes_methods_and_kinds_end_in_other() {
    let open = [
        "reason",
        "method",
        "channel",
        "kind",
        "trigger",
        "origin",
        "purpose",
        "failure_code",
    ];
    for action in all_actions() {
        for (name, property) in properties_of(&action) {
            let last = property["enum"].as_array().and_then(|values| values.last());
            let ends = last.is_none_or(|value| value == "other");
            assert!(ends || !open.contains(&name), "{}: {name}", action.action);
        }
    }
}

#[test]
fn no_property_is_named_like_a_secret_or_repeats_a_column() {
    let secret = Regex::new(
        "password|passwd|passphrase|secret|token|api_?key|access_?key|private_?key|authorization|\
         cookie|session_?id|credential|card_?number|(^|_)(otp|pin|cvv|cvc|ssn|pwd|auth)(_|$)",
    )
    .expect("regex");
    let columns = words(
        "event_id tenant_id recorded_at occurred_at action action_version status source \
         actor_type actor_id object_type object_id request_id client_ip ip ip_address ip_hash \
         ip_prefix user_agent db_role metadata changes idempotency_key",
    );
    for action in all_actions() {
        for (name, _) in properties_of(&action) {
            assert!(!secret.is_match(name), "{}: {name}", action.action);
            assert!(!columns.contains(&name), "{}: {name}", action.action);
        }
    }
}

#[test]
fn an_unknown_field_is_accepted_unless_it_could_be_a_credential() {
    let closed = words(CLOSED_ACTIONS);
    for entry in all_entries() {
        let name = entry["action"].as_str().expect("name");
        let validator = compile(&entry["metadata_schema"], true);
        let mut extended = entry["example"].clone();
        extended["unknown_field"] = json!("new");
        assert_eq!(
            validator.is_valid(&extended),
            !closed.contains(&name),
            "{name}"
        );
        let mut prefixed = entry["example"].clone();
        prefixed["x_department"] = json!("sales");
        assert!(validator.is_valid(&prefixed), "{name}");
    }
}

#[test]
fn what_row_capture_writes_needs_no_metadata() {
    for action in actions_of("saas") {
        let verb = action.action.rsplit('.').next().expect("verb");
        if ["created", "updated", "deleted"].contains(&verb) {
            let validator = compile(&action.metadata_schema, true);
            assert!(validator.is_valid(&json!({})), "{}", action.action);
        }
    }
}

#[test]
fn an_amount_needs_its_currency_and_is_counted_in_minor_units() {
    let failed = schema_of("billing.payment.failed");
    let payment = |amount: Value| json!({"failure_code": "card_declined", "amount": amount, "currency": "EUR"});
    for amount in [
        json!(0),
        json!(4900),
        json!("4900"),
        json!("123456789012345678"),
    ] {
        assert!(failed.is_valid(&payment(amount)));
    }
    for amount in [
        json!(-1),
        json!(49.5),
        json!("49.00"),
        json!("EUR 49"),
        json!(null),
    ] {
        assert!(!failed.is_valid(&payment(amount)));
    }
    assert!(!failed.is_valid(&json!({"failure_code": "card_declined", "amount": 4900})));
    assert!(failed.is_valid(&json!({"failure_code": "card_declined"})));
}

#[test]
fn a_first_role_has_null_before_it() {
    let changed = schema_of("user.role_changed");
    assert!(changed.is_valid(&json!({"old_role": null, "new_role": "admin"})));
    assert!(!changed.is_valid(&json!({"new_role": "admin"})));
}

#[test]
fn a_difference_of_states_is_a_json_patch_or_a_merge_patch() {
    let completed = schema_of("execution.completed");
    let run = |diff: Value| json!({"before": null, "after": {"replicas": 2}, "diff": diff});
    let patch = |path: &str| json!([{"op": "add", "path": path, "value": 2}]);
    assert!(completed.is_valid(&run(patch("/replicas"))));
    assert!(completed.is_valid(&run(json!({"replicas": 2}))));
    assert!(!completed.is_valid(&run(patch("replicas"))));
    assert!(!completed.is_valid(&run(json!("two replicas"))));
}

#[test]
fn the_page_has_one_true_row_for_every_action() {
    for entry in all_actions() {
        let required: Vec<_> = required_of(&entry)
            .iter()
            .map(|r| format!("`{r}`"))
            .collect();
        let Action {
            action,
            severity,
            category,
            description,
            ..
        } = entry;
        let required = required.join(", ");
        let row =
            format!("\n| `{action}` | {severity} | {category} | {description} | {required} |\n");
        assert_eq!(PAGE.matches(&row).count(), 1, "docs/taxonomy.md lacks{row}");
    }
}
