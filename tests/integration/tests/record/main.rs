//! `record()` and `record_many()` as programs meet them: in transactions, functions and batches,
//! beside other sessions, and with what an administrator adds to the log's tables.

mod additions;
mod concurrency;
mod idempotency;
mod limits;
mod losses;

use activity_log_integration::{Cluster, Database, Session, expect_error};
use postgres::types::ToSql;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

const TENANT: &str = "7ec00000-0000-4000-8000-0000000000aa";
const OTHER_TENANT: &str = "7ec00000-0000-4000-8000-0000000000bb";

/// A fresh log that knows the action `thing.noted`, and `thing.measured`, which needs an `amount`.
fn log() -> Database<'static> {
    let database = Cluster::shared().database();
    let register = "SELECT activity.register_action('thing.noted'), \
         activity.register_action('thing.measured', metadata_schema => '{\"required\": [\"amount\"]}')";
    database.superuser().batch_execute(register).unwrap();
    database
}

/// A call of record() for [`TENANT`] with further arguments in SQL.
fn call(arguments: &str) -> String {
    format!("SELECT activity.record('thing.noted', tenant_id => '{TENANT}', {arguments})")
}

fn record(session: &mut Session, arguments: &str) -> Result<Option<Uuid>, postgres::Error> {
    session
        .query_one(&call(arguments), &[])
        .map(|row| row.get(0))
}

fn noted(session: &mut Session, object: &str) -> Uuid {
    record(session, &format!("object_id => '{object}'"))
        .unwrap()
        .unwrap()
}

fn count(session: &mut Session, condition: &str) -> i64 {
    session.number(&format!(
        "SELECT count(*) FROM activity.events WHERE {condition}"
    ))
}

fn objects(session: &mut Session) -> Vec<String> {
    session.texts(
        "SELECT object_id FROM activity.events WHERE object_id IS NOT NULL AND source = 'api' \
         ORDER BY event_id",
    )
}

/// Waits until the session with this process id waits for a lock.
fn wait_until_blocked(observer: &mut Session, process: i32) {
    let started = Instant::now();
    let query = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {process} AND wait_event_type = 'Lock'"
    );
    while observer.number(&query) == 0 {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "it does not wait"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn process_of(session: &mut Session) -> i32 {
    session
        .query_one("SELECT pg_backend_pid()", &[])
        .unwrap()
        .get(0)
}

#[test]
fn an_event_shares_the_fate_of_its_transaction_and_savepoint() {
    let database = log();
    let mut session = database.superuser();
    session.batch_execute("BEGIN").unwrap();
    noted(&mut session, "before");
    session.batch_execute("SAVEPOINT one").unwrap();
    noted(&mut session, "undone");
    session.batch_execute("SAVEPOINT two").unwrap();
    noted(&mut session, "undone with it");
    session
        .batch_execute("RELEASE two; ROLLBACK TO one")
        .unwrap();
    noted(&mut session, "after");
    session.batch_execute("COMMIT; BEGIN").unwrap();
    noted(&mut session, "rolled back");
    session.batch_execute("ROLLBACK").unwrap();
    assert_eq!(objects(&mut session), ["before", "after"]);
    // All of them name the top-level transaction.
    assert_eq!(
        session
            .number("SELECT count(DISTINCT xact) FROM activity.events WHERE object_id IS NOT NULL"),
        1
    );
}

#[test]
fn a_refused_event_fails_the_business_transaction() {
    let database = log();
    let mut session = database.superuser();
    session
        .batch_execute(
            "CREATE TABLE business (id int); COMMIT; BEGIN; INSERT INTO business VALUES (1)",
        )
        .unwrap();
    expect_error(record(&mut session, "status => 'great'"), "22023");
    expect_error(session.batch_execute("SELECT 1"), "25P02");
    session.batch_execute("COMMIT").unwrap();
    assert_eq!(session.number("SELECT count(*) FROM business"), 0);
}

#[test]
fn code_blocks_and_functions_record_in_their_callers_transaction() {
    let database = log();
    let mut session = database.superuser();
    session
        .batch_execute(&format!(
            "CREATE FUNCTION audited(object text, fails boolean) RETURNS boolean LANGUAGE plpgsql AS $$
             BEGIN
                 PERFORM activity.record('thing.noted', tenant_id => '{TENANT}', object_id => object || ' start');
                 BEGIN
                     PERFORM activity.record('thing.noted', tenant_id => '{TENANT}', object_id => object || ' inside');
                     IF fails THEN PERFORM 1 / 0; END IF;
                 EXCEPTION WHEN division_by_zero THEN
                     PERFORM activity.record('thing.noted', tenant_id => '{TENANT}', object_id => object || ' caught');
                 END;
                 RETURN true;
             END $$;
             DO $$ BEGIN PERFORM audited('a', false); PERFORM audited('b', true); END $$"
        ))
        .unwrap();
    assert_eq!(
        objects(&mut session),
        ["a start", "a inside", "b start", "b caught"]
    );
}

#[test]
fn a_security_definer_function_records_for_a_role_without_rights_and_names_that_role() {
    let database = log();
    let owner = database.create_login(&["activity_writer"]);
    let caller = database.create_login(&[]);
    let mut admin = database.superuser();
    admin
        .batch_execute(&format!(
            "CREATE FUNCTION public.note(object text) RETURNS uuid LANGUAGE sql SECURITY DEFINER
                 SET search_path = pg_catalog AS
                 $$ SELECT activity.record('thing.noted', tenant_id => '{TENANT}', object_id => $1) $$;
             ALTER FUNCTION public.note OWNER TO {owner}"
        ))
        .unwrap();
    let mut session = database.connect_as(&caller);
    expect_error(record(&mut session, "object_id => 'direct'"), "42501");
    session
        .batch_execute("SELECT public.note('through the function')")
        .unwrap();
    assert_eq!(objects(&mut admin), ["through the function"]);
    assert_eq!(
        admin.texts("SELECT db_role FROM activity.events WHERE object_id IS NOT NULL"),
        [caller.as_str()]
    );

    // The pins of the role that is logged in count, not those of the function's owner.
    admin
        .execute(
            "INSERT INTO activity.role_tenants VALUES ($1, $2)",
            &[&caller, &Uuid::parse_str(OTHER_TENANT).unwrap()],
        )
        .unwrap();
    expect_error(
        session.batch_execute("SELECT public.note('pinned elsewhere')"),
        "42501",
    );
}

#[test]
fn a_role_that_is_set_is_named_beside_the_one_that_is_logged_in() {
    let database = log();
    let login = database.create_login(&["activity_writer"]);
    let mut session = database.superuser();
    session.batch_execute(&format!("SET ROLE {login}")).unwrap();
    noted(&mut session, "as another");
    session.batch_execute("RESET ROLE").unwrap();
    noted(&mut session, "as itself");
    let roles = session
        .texts("SELECT db_role FROM activity.events WHERE object_id IS NOT NULL ORDER BY event_id");
    assert_eq!(roles, [format!("postgres/{login}"), "postgres".to_owned()]);
}

#[test]
fn a_prepared_statement_goes_on_working_through_many_executions() {
    let database = log();
    let mut session = database.superuser();
    let sql = format!(
        "SELECT activity.record($1, $2, tenant_id => '{TENANT}', object_id => $3, idempotency_key => $4)"
    );
    let statement = session.prepare(&sql).unwrap();
    for number in 0..20 {
        let object = number.to_string();
        let parameters: [&(dyn ToSql + Sync); 4] = [
            &"thing.measured",
            &json!({"amount": number}),
            &object,
            &None::<&str>,
        ];
        let row = session.query_one(&statement, &parameters).unwrap();
        assert!(row.get::<_, Option<Uuid>>(0).is_some());
    }
    assert_eq!(count(&mut session, "action = 'thing.measured'"), 20);
}

#[test]
fn neither_a_read_only_transaction_nor_a_parallel_worker_records() {
    let database = log();
    let mut session = database.superuser();
    session.batch_execute("BEGIN READ ONLY").unwrap();
    let refusal = expect_error(record(&mut session, "object_id => 'a'"), "25006");
    assert!(refusal.message.contains("read-only"), "{refusal:?}");
    session.batch_execute("ROLLBACK").unwrap();

    // A wrapper that claims to be safe for workers is found out where it runs in one.
    let force = match session.major() {
        16.. => "debug_parallel_query",
        _ => "force_parallel_mode",
    };
    session
        .batch_execute(&format!(
            "CREATE FUNCTION liar(object text) RETURNS uuid LANGUAGE plpgsql PARALLEL SAFE AS $$
             BEGIN RETURN activity.record('thing.noted', tenant_id => '{TENANT}', object_id => object); END $$;
             SET {force} = on"
        ))
        .unwrap();
    expect_error(
        session.batch_execute("SELECT liar('from a worker')"),
        "25000",
    );
    // record() itself keeps a query out of workers.
    noted(&mut session, "from the leader");
    assert_eq!(objects(&mut session), ["from the leader"]);
}

#[test]
fn record_runs_once_for_each_row_of_a_query_also_with_parallel_plans_allowed() {
    let database = log();
    let mut session = database.superuser();
    session
        .batch_execute(
            "CREATE TABLE business AS SELECT n FROM generate_series(1, 5000) n; ANALYZE business;
             SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0",
        )
        .unwrap();
    let recorded = session.number(
        &call("object_id => n::text")
            .replace("SELECT activity.record(", "SELECT count(activity.record(")
            .replace("n::text)", "n::text)) FROM business"),
    );
    assert_eq!(recorded, 5_000);
    assert_eq!(
        session.number("SELECT count(DISTINCT object_id) FROM activity.events"),
        5_000
    );
}

#[test]
fn ten_thousand_events_go_in_with_one_call_in_their_order() {
    let database = log();
    let mut session = database.superuser();
    let events: Vec<Value> = (0..10_000)
        .map(|n| {
            json!({"action": "thing.measured", "tenant_id": TENANT, "object_id": format!("{n:05}"),
                   "metadata": {"amount": n, "text": "x".repeat(n % 300)},
                   "idempotency_key": (n % 2 == 0).then(|| n.to_string())})
        })
        .collect();
    let rows = session
        .query(
            "SELECT ordinal, event_id, inserted FROM activity.record_many($1)",
            &[&Value::from(events.clone())],
        )
        .unwrap();
    assert_eq!(rows.len(), 10_000);
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get(1)).collect();
    assert!(ids.is_sorted_by(|a, b| a < b));
    assert!(
        rows.iter()
            .zip(1..)
            .all(|(row, ordinal)| row.get::<_, i32>(0) == ordinal && row.get(2))
    );
    let in_order = objects(&mut session);
    assert_eq!(in_order.len(), 10_000);
    assert!(in_order.is_sorted());

    // Again: the keyed half is known already.
    let again = session
        .query_one(
            "SELECT count(*) FILTER (WHERE inserted) FROM activity.record_many($1)",
            &[&Value::from(events)],
        )
        .unwrap();
    assert_eq!(again.get::<_, i64>(0), 5_000);
    assert_eq!(count(&mut session, "object_id IS NOT NULL"), 15_000);
}

#[test]
fn ids_of_a_session_increase_and_carry_the_time_of_recording() {
    let database = log();
    let mut session = database.superuser();
    let mut ids = vec![noted(&mut session, "first")];
    for _ in 0..50 {
        ids.push(noted(&mut session, "single"));
        let batch = format!(
            r#"[{{"action": "thing.noted", "tenant_id": "{TENANT}"}}, {{"action": "thing.noted", "tenant_id": "{TENANT}"}}]"#
        );
        let batch: Value = serde_json::from_str(&batch).unwrap();
        let rows = session
            .query(
                "SELECT event_id FROM activity.record_many($1) ORDER BY ordinal",
                &[&batch],
            )
            .unwrap();
        ids.extend(rows.iter().map(|row| row.get::<_, Uuid>(0)));
    }
    assert!(ids.is_sorted_by(|a, b| a < b));
    assert!(ids.iter().all(|id| id.get_version_num() == 7));
    let mismatched = count(
        &mut session,
        "('x' || translate(left(event_id::text, 13), '-', ''))::bit(48)::bigint \
         <> floor(extract(epoch FROM recorded_at) * 1000)::bigint",
    );
    assert_eq!(mismatched, 0);
}

#[test]
fn the_context_of_a_transaction_does_not_reach_the_next() {
    let database = log();
    let mut session = database.superuser();
    session
        .batch_execute(&format!(
            "BEGIN; SELECT activity.set_context('{TENANT}', 'alice', 'user', request_id => 'r-1');
             SELECT activity.record('thing.noted', object_id => 'with context'); COMMIT"
        ))
        .unwrap();
    expect_error(
        session.batch_execute("SELECT activity.record('thing.noted')"),
        "22004",
    );
    assert_eq!(
        count(&mut session, "actor_id = 'alice' AND request_id = 'r-1'"),
        1
    );
}
