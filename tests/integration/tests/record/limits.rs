//! Sizes and times at their limits.

use super::{TENANT, log, noted, objects, record};
use activity_log_integration::expect_error;
use serde_json::Value;

const TEXTS: [(&str, usize); 6] = [
    ("actor_type", 100),
    ("actor_id", 512),
    ("object_type", 100),
    ("object_id", 512),
    ("request_id", 512),
    ("idempotency_key", 512),
];

#[test]
fn a_text_may_reach_its_limit_in_bytes_and_not_go_beyond() {
    let database = log();
    let mut session = database.superuser();
    for (name, limit) in TEXTS {
        record(&mut session, &format!("{name} => repeat('x', {limit})")).unwrap();
        // Bytes, not characters.
        let refusal = expect_error(
            record(
                &mut session,
                &format!("{name} => repeat('ä', {limit} / 2 + 1)"),
            ),
            "22001",
        );
        assert!(refusal.message.contains(name), "{refusal:?}");
        assert!(refusal.message.contains(&limit.to_string()), "{refusal:?}");
        assert!(!refusal.text().contains("ää"), "{refusal:?}");
    }
}

#[test]
fn a_text_of_the_context_has_the_same_limit() {
    let database = log();
    let mut session = database.superuser();
    session
        .batch_execute(&format!(
            "BEGIN; SELECT activity.set_context('{TENANT}', repeat('x', 513))"
        ))
        .unwrap();
    expect_error(
        session.batch_execute("SELECT activity.record('thing.noted')"),
        "22001",
    );
}

#[test]
fn a_user_agent_is_cut_between_characters() {
    let database = log();
    let mut session = database.superuser();
    record(
        &mut session,
        "user_agent => 'x' || repeat('ä', 100000), object_id => 'a'",
    )
    .unwrap();
    let length = session.number(
        "SELECT octet_length(user_agent)::bigint FROM activity.events WHERE object_id = 'a'",
    );
    assert_eq!(length, 511);
}

#[test]
fn metadata_over_its_limit_is_refused_with_the_name_of_the_setting() {
    let database = log();
    let mut session = database.superuser();
    let sized = |bytes: usize| format!("metadata => jsonb_build_object('t', repeat('x', {bytes}))");
    record(&mut session, &sized(16_000)).unwrap();
    let refusal = expect_error(record(&mut session, &sized(17_000)), "22001");
    assert!(refusal.message.contains("16384"), "{refusal:?}");
    assert!(
        refusal.hint.contains("activity.max_metadata_size"),
        "{refusal:?}"
    );
    session
        .batch_execute("SET activity.max_metadata_size = '10MB'")
        .unwrap();
    record(&mut session, &sized(9_000_000)).unwrap();
    session
        .batch_execute("SET activity.max_metadata_size = '256B'")
        .unwrap();
    expect_error(record(&mut session, &sized(300)), "22001");
}

#[test]
fn metadata_that_grows_over_its_limit_by_redaction_is_refused_as_well() {
    let database = log();
    let mut session = database.superuser();
    session
        .batch_execute("SET activity.max_metadata_size = '2kB'")
        .unwrap();
    let secrets: serde_json::Map<String, Value> = (0..80)
        .map(|n| (format!("pin{n:02}_pin"), Value::from(n)))
        .collect();
    let result = session.execute(
        &format!("SELECT activity.record('thing.noted', $1, tenant_id => '{TENANT}')"),
        &[&Value::from(secrets)],
    );
    expect_error(result, "22001");
}

#[test]
fn every_byte_of_a_large_document_comes_back() {
    let database = log();
    let mut session = database.superuser();
    let document: Value = (0..120)
        .map(|n| {
            (
                format!("field_{n}"),
                Value::from(format!("{n}-").repeat(15)),
            )
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    session
        .execute(
            &format!("SELECT activity.record('thing.noted', $1, tenant_id => '{TENANT}')"),
            &[&document],
        )
        .unwrap();
    let stored: Value = session
        .query_one(
            &format!("SELECT metadata FROM activity.list(tenant_id => '{TENANT}')"),
            &[],
        )
        .unwrap()
        .get(0);
    assert_eq!(stored, document);
}

#[test]
fn an_event_may_have_happened_any_time_ago_and_five_minutes_ahead() {
    let database = log();
    let mut session = database.superuser();
    for accepted in [
        "'4713-01-01 BC'",
        "'1970-01-01'",
        "now() + interval '4 minutes 50 seconds'",
    ] {
        record(&mut session, &format!("occurred_at => {accepted}")).unwrap();
    }
    for refused in [
        "now() + interval '5 minutes 10 seconds'",
        "'9999-01-01'",
        "'294276-12-31'",
        "'infinity'",
        "'-infinity'",
    ] {
        expect_error(
            record(&mut session, &format!("occurred_at => {refused}")),
            "22023",
        );
    }
}

#[test]
fn without_a_partition_for_now_events_are_refused_until_there_is_one() {
    let database = log();
    let mut session = database.superuser();
    noted(&mut session, "before");
    let partition = session
        .text("SELECT tableoid::regclass::text FROM activity.events LIMIT 1")
        .unwrap();
    session
        .batch_execute(&format!(
            "ALTER TABLE activity.events DETACH PARTITION {partition}"
        ))
        .unwrap();
    let refusal = expect_error(record(&mut session, "object_id => 'refused'"), "55000");
    assert!(refusal.hint.contains("activity.setup()"), "{refusal:?}");
    let mut other = database.superuser();
    expect_error(record(&mut other, "object_id => 'refused'"), "55000");
    let bounds = "FOR VALUES FROM (date_trunc('month', now(), 'UTC')) TO (date_trunc('month', now(), 'UTC') + interval '1 month')";
    session
        .batch_execute(&format!(
            "ALTER TABLE activity.events ATTACH PARTITION {partition} {bounds}"
        ))
        .unwrap();
    noted(&mut other, "after");
    assert_eq!(objects(&mut session), ["before", "after"]);
}
