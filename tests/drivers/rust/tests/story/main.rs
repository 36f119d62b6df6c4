//! The story of docs/drivers.md, told with each Rust driver; the assertions are here.
//!
//! `DATABASE_URL` names the server, as `tests/drivers/run` sets it up.

mod driver;
mod sqlx;
mod tokio_postgres;

use driver::{Driver, Outcome};
use serde_json::{Value, json};
use uuid::Uuid;

fn promotion() -> Value {
    json!({"old_role": "member", "new_role": "admin", "reason_detail": "Grüße, 東京 \"quoted\" \\"})
}

async fn an_event_carries_the_context_of_its_transaction<D: Driver>() {
    let (mut driver, tenant) = (D::connect().await, Uuid::new_v4());
    let event = ("user.role_changed", promotion(), Some("user-7"));
    let ids = driver
        .record(tenant, "alice", &[event])
        .await
        .expect("an event");
    let events = driver.read_all(tenant, 50).await;
    let expected = driver::Event {
        event_id: ids[0],
        tenant_id: tenant,
        actor_id: Some("alice".into()),
        ip_prefix: Some("203.0.113.0/24".into()),
        object_id: Some("user-7".into()),
        metadata: promotion(),
    };
    assert_eq!(events, [expected]);
}

async fn a_null_counts_as_not_given<D: Driver>() {
    let (mut driver, tenant) = (D::connect().await, Uuid::new_v4());
    driver
        .record(tenant, "alice", &[("auth.logout", Value::Null, None)])
        .await
        .expect("an event");
    let events = driver.read_all(tenant, 50).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].object_id, None);
    assert_eq!(events[0].metadata, json!({}));
}

async fn metadata_that_was_encoded_twice_is_stored_as_the_object<D: Driver>() {
    let (mut driver, tenant) = (D::connect().await, Uuid::new_v4());
    let event = (
        "user.role_changed",
        Value::String(promotion().to_string()),
        None,
    );
    driver
        .record(tenant, "alice", &[event])
        .await
        .expect("an event");
    assert_eq!(driver.read_all(tenant, 50).await[0].metadata, promotion());
}

async fn an_array_of_events_is_recorded_at_once<D: Driver>() {
    let (mut driver, tenant) = (D::connect().await, Uuid::new_v4());
    let once =
        json!({"action": "user.role_changed", "metadata": promotion(), "idempotency_key": "once"});
    let batch = json!([once, {"action": "auth.logout", "actor_id": "bob"}, once]);
    let outcomes = driver
        .record_many(tenant, "alice", &batch)
        .await
        .expect("outcomes");
    let expected =
        [(1, 0, true), (2, 1, true), (3, 0, false)].map(|(ordinal, same_as, inserted)| {
            let event_id = outcomes[same_as].event_id;
            assert!(event_id.is_some());
            Outcome {
                ordinal,
                event_id,
                inserted,
            }
        });
    assert_eq!(outcomes, expected);
    let events = driver.read_all(tenant, 50).await;
    let actors: Vec<_> = events
        .iter()
        .map(|event| event.actor_id.as_deref())
        .collect();
    assert_eq!(actors, [Some("bob"), Some("alice")]);
}

async fn a_bad_event_of_an_array_is_named_and_nothing_is_written<D: Driver>() {
    let (mut driver, tenant) = (D::connect().await, Uuid::new_v4());
    let batch = json!([{"action": "auth.logout"}, {"action": "no.such.action"}]);
    let refusal = driver
        .record_many(tenant, "alice", &batch)
        .await
        .expect_err("a refusal");
    assert_eq!(refusal.sqlstate, "42704");
    assert_eq!(refusal.detail.as_array().map(Vec::len), Some(1));
    assert_eq!(refusal.detail[0]["ordinal"], 2);
    assert_eq!(refusal.detail[0]["error"]["sqlstate"], "42704");
    assert!(refusal.hint.contains("skip"), "{}", refusal.hint);
    assert_eq!(driver.read_all(tenant, 50).await, []);
}

async fn a_log_is_read_page_by_page_to_its_end<D: Driver>() {
    let (mut driver, tenant) = (D::connect().await, Uuid::new_v4());
    let objects: Vec<String> = (0..8).map(|number: i32| number.to_string()).collect();
    let events: Vec<_> = objects
        .iter()
        .map(|object| ("auth.logout", json!({}), Some(object.as_str())))
        .collect();
    let mut recorded = driver
        .record(tenant, "alice", &events)
        .await
        .expect("events");
    recorded.reverse();
    for page_size in [1, 3, 4, 50] {
        let events = driver.read_all(tenant, page_size).await;
        let read: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
        assert_eq!(read, recorded, "pages of {page_size}");
    }
}

async fn another_tenant_reads_nothing<D: Driver>() {
    let (mut driver, tenant) = (D::connect().await, Uuid::new_v4());
    driver
        .record(tenant, "alice", &[("auth.logout", json!({}), None)])
        .await
        .expect("an event");
    assert_eq!(driver.read_all(Uuid::new_v4(), 50).await, []);
}

async fn an_unknown_action_is_told_by_its_sqlstate<D: Driver>() {
    let (mut driver, tenant) = (D::connect().await, Uuid::new_v4());
    let event = ("no.such.action", json!({}), None);
    let refusal = driver
        .record(tenant, "alice", &[event])
        .await
        .expect_err("a refusal");
    assert_eq!(refusal.sqlstate, "42704");
    assert_eq!(refusal.detail, Value::Null);
    assert!(refusal.hint.contains("register_action"), "{}", refusal.hint);
}

async fn a_schema_mismatch_says_where_and_repeats_no_payload<D: Driver>() {
    let (mut driver, tenant) = (D::connect().await, Uuid::new_v4());
    let event = (
        "user.role_changed",
        json!({"old_role": "member", "new_role": 20_230_710}),
        None,
    );
    let refusal = driver
        .record(tenant, "alice", &[event])
        .await
        .expect_err("a refusal");
    assert_eq!(refusal.sqlstate, "23514");
    assert_eq!(refusal.detail["problems"][0]["pointer"], "/new_role");
    assert!(
        !refusal.detail.to_string().contains("20230710"),
        "{}",
        refusal.detail
    );
    assert!(refusal.hint.contains("check_event"), "{}", refusal.hint);
}

async fn a_rolled_back_transaction_leaves_no_event<D: Driver>() {
    let (mut driver, tenant) = (D::connect().await, Uuid::new_v4());
    driver
        .record_and_roll_back(tenant, "alice", ("auth.logout", json!({}), None))
        .await;
    assert_eq!(driver.read_all(tenant, 50).await, []);
}

async fn the_next_user_of_the_connection_has_no_context<D: Driver>() {
    let (mut driver, tenant) = (D::connect().await, Uuid::new_v4());
    let (backend, context) = driver.record_and_look(tenant, "alice").await;
    assert_eq!(context["actor_id"], "alice");
    assert_eq!(driver.look().await, (backend, json!({})));
    let refusal = driver
        .record_without_context("auth.logout")
        .await
        .expect_err("a refusal");
    assert_eq!(refusal.sqlstate, "22004");
}

async fn transactions_at_the_same_time_keep_their_contexts<D: Driver>() {
    let (mut mine, mut theirs) = (D::connect().await, D::connect().await);
    let (tenant, other) = (Uuid::new_v4(), Uuid::new_v4());
    let events = vec![("auth.logout", json!({}), None); 5];
    let (first, second) = tokio::join!(
        mine.record(tenant, "alice", &events),
        theirs.record(other, "bob", &events)
    );
    assert_eq!(
        (first.expect("events").len(), second.expect("events").len()),
        (5, 5)
    );
    for (tenant, actor) in [(tenant, "alice"), (other, "bob")] {
        let events = mine.read_all(tenant, 50).await;
        assert_eq!(events.len(), 5);
        assert!(
            events
                .iter()
                .all(|event| event.actor_id.as_deref() == Some(actor))
        );
    }
}

/// The whole story as tests of a module, which `tests/drivers/run` picks by its name.
macro_rules! tell {
    ($module:ident, $driver:ty, [$($sentence:ident),+ $(,)?]) => {
        mod $module {
            #[test]
            fn the_documented_program_runs() {
                <$driver as crate::driver::Driver>::run_program();
            }
            $(
                #[tokio::test]
                async fn $sentence() {
                    crate::$sentence::<$driver>().await;
                }
            )+
        }
    };
    ($($module:ident: $driver:ty),+ $(,)?) => {
        $(tell!($module, $driver, [
            an_event_carries_the_context_of_its_transaction,
            a_null_counts_as_not_given,
            metadata_that_was_encoded_twice_is_stored_as_the_object,
            an_array_of_events_is_recorded_at_once,
            a_bad_event_of_an_array_is_named_and_nothing_is_written,
            a_log_is_read_page_by_page_to_its_end,
            another_tenant_reads_nothing,
            an_unknown_action_is_told_by_its_sqlstate,
            a_schema_mismatch_says_where_and_repeats_no_payload,
            a_rolled_back_transaction_leaves_no_event,
            the_next_user_of_the_connection_has_no_context,
            transactions_at_the_same_time_keep_their_contexts,
        ]);)+
    };
}

tell!(
    with_tokio_postgres: crate::tokio_postgres::TokioPostgres,
    with_sqlx: crate::sqlx::Sqlx,
);
