//! A person asks to be forgotten.

mod holds;
mod reach;
mod rights;

use activity_log_integration::{Cluster, Database, Session, expect_error};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const TENANT: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const OTHER_TENANT: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
const ACTOR: &str = "zoe-b8f1c2";
const FREE_TEXT: &str = "lives-in-Trondheim-91c4";

/// A log with what Zoë has done, what was done to her, and what others have done.
fn database() -> Database<'static> {
    let database = Cluster::shared().database();
    let mut owner = database.superuser();
    owner
        .batch_execute(&format!(
            "SELECT activity.register_actions('[{{\"action\": \"note.written\"}}, {{\"action\": \"user.changed\"}}]');
             ALTER TABLE activity.events ALTER metadata SET STORAGE EXTERNAL, ALTER changes SET STORAGE EXTERNAL;
             SELECT activity.record('note.written', tenant_id => '{TENANT}', actor_id => '{ACTOR}', actor_type => 'customer',
                 object_type => 'note', object_id => 'note-7', status => 'failure',
                 client_ip => '198.51.100.7', user_agent => 'Zoes-Browser/1.0', request_id => 'request-of-{ACTOR}',
                 occurred_at => '2026-01-01 12:00+00', idempotency_key => 'note-of-{ACTOR}',
                 metadata => '{{\"text\": \"{FREE_TEXT}\", \"age\": 4111, \"is_draft\": true, \"by/{ACTOR}\": [null, \"{FREE_TEXT}\"]}}');
             SELECT activity.record('user.changed', tenant_id => '{TENANT}', actor_id => 'anna', actor_type => 'user',
                 object_type => 'user', object_id => '{ACTOR}', client_ip => '198.51.100.8', user_agent => 'Annas-Browser/1.0',
                 request_id => 'request-of-anna', metadata => '{{\"note\": \"{FREE_TEXT}\"}}');
             SELECT activity.record('note.written', tenant_id => '{TENANT}', actor_id => 'anna', metadata => '{{\"text\": \"hers\"}}');
             SELECT activity.record('note.written', tenant_id => '{OTHER_TENANT}', actor_id => '{ACTOR}', metadata => '{{\"text\": \"other\"}}');"
        ))
        .unwrap();
    database
}

/// A captured change, which only triggers of the log write otherwise.
fn insert_captured(owner: &mut Session, table: &str) {
    owner
        .batch_execute(&format!(
            "INSERT INTO {table} (recorded_at, occurred_at, xact, gen, event_id, tenant_id, action, status, source,
                 actor_id, object_type, object_id, db_role, metadata, changes)
             SELECT recorded_at, clock_timestamp(), '77', 1, gen_random_uuid(), '{TENANT}', 'customers.updated', 'success', 'capture',
                 '{ACTOR}', 'customer', '{ACTOR}', '{ACTOR}', '{{}}',
                 '{{\"old\": {{\"city\": \"{FREE_TEXT}\", \"vip\": false}}, \"new\": {{\"city\": null, \"vip\": true}}}}'
             FROM activity.events LIMIT 1"
        ))
        .unwrap();
}

fn erase_statement(actor: &str, tenant: &str) -> String {
    format!("SELECT activity.erase_actor('{actor}', '{tenant}', 'request 4711')")
}

fn erase(session: &mut Session) -> i64 {
    session.number(&erase_statement(ACTOR, TENANT))
}

/// Every row, and what must never change of it.
fn fixed(session: &mut Session) -> Vec<String> {
    session.texts(
        "SELECT concat_ws('|', event_id, tenant_id, recorded_at, occurred_at, xact, gen, action, action_version, status,
                          source, actor_type, object_type)
         FROM activity.events WHERE action <> 'activity.actor.erased' ORDER BY event_id",
    )
}

fn rows(session: &mut Session, condition: &str) -> Vec<String> {
    session.texts(&format!(
        "SELECT encode(sha256(record_send(e)), 'hex') FROM activity.events e WHERE {condition} ORDER BY event_id"
    ))
}

fn event(session: &mut Session, condition: &str) -> Value {
    let query = format!("SELECT to_jsonb(e)::text FROM activity.events e WHERE {condition}");
    serde_json::from_str(&session.text(&query).unwrap()).unwrap()
}

fn login(database: &Database<'_>, role: &str) -> Session {
    database.connect_as(&database.create_login(&[role]))
}

#[test]
fn identity_and_free_text_go_and_the_event_stays() {
    let database = database();
    let mut owner = database.superuser();
    let others = "actor_id = 'anna' AND object_id IS NULL OR tenant_id <> 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa' AND action <> 'activity.actor.erased'";
    let (before, untouched) = (fixed(&mut owner), rows(&mut owner, others));
    assert_eq!(erase(&mut owner), 2);
    assert_eq!(fixed(&mut owner), before);
    assert_eq!(rows(&mut owner, others), untouched);

    let marker = json!({"$erased": true});
    let done = event(&mut owner, "object_id = 'note-7'");
    let pseudonym = done["actor_id"].as_str().unwrap().to_owned();
    assert!(pseudonym.starts_with("[erased:"), "{done}");
    for gone in ["ip_hash", "ip_prefix", "user_agent"] {
        assert_eq!(done[gone], Value::Null, "{gone}");
    }
    assert!(done["request_id"].as_str().unwrap().starts_with("[erased:"));
    assert_ne!(done["request_id"], done["actor_id"]);
    let metadata = done["metadata"].as_object().unwrap();
    assert_eq!((&metadata["text"], &metadata["age"]), (&marker, &marker));
    assert_eq!(metadata["is_draft"], true);
    assert_eq!(
        metadata
            .values()
            .filter(|v| **v == json!([null, marker]))
            .count(),
        1
    );
    assert!(metadata.keys().all(|key| !key.contains(ACTOR)));

    // What somebody else did to her keeps the other one's traces.
    let suffered = event(&mut owner, "action = 'user.changed'");
    assert_eq!(suffered["object_id"], pseudonym.as_str());
    assert_eq!(suffered["metadata"], json!({"note": marker}));
    assert_eq!(suffered["actor_id"], "anna");
    assert_eq!(suffered["request_id"], "request-of-anna");
    assert_eq!(suffered["user_agent"], "Annas-Browser/1.0");
    assert_ne!(suffered["ip_hash"], Value::Null);

    let told = event(&mut owner, "action = 'activity.actor.erased'");
    assert_eq!(told["metadata"]["pseudonym"], pseudonym.as_str());
    assert_eq!(told["metadata"]["events"], 2);
    assert_eq!(told["metadata"]["reason"], "request 4711");
    assert!(!told.to_string().contains(ACTOR), "{told}");
}

#[test]
fn captured_rows_lose_their_values_and_keep_their_columns() {
    let database = database();
    let mut owner = database.superuser();
    insert_captured(&mut owner, "activity.events");
    assert_eq!(erase(&mut owner), 3);
    let row = event(&mut owner, "source = 'capture'");
    let marker = json!({"$erased": true});
    assert_eq!(
        row["changes"],
        json!({"old": {"city": marker, "vip": false}, "new": {"city": null, "vip": true}})
    );
    assert_eq!(row["object_id"], row["actor_id"]);
    assert_eq!(row["db_role"], row["actor_id"]);
    assert_eq!(row["xact"], "77");
}

#[test]
fn no_byte_of_it_is_left_in_the_files_of_the_database() {
    let database = database();
    let mut owner = database.superuser();
    insert_captured(&mut owner, "activity.events");
    // The planner's statistics quote frequent values.
    owner.batch_execute("ANALYZE").unwrap();
    owner.batch_execute("CHECKPOINT").unwrap();
    assert!(
        !found(&database, ACTOR).is_empty(),
        "the search finds something"
    );
    assert!(!found(&database, FREE_TEXT).is_empty());
    let tenant = format!("DELETE FROM activity.role_tenants; SELECT '{OTHER_TENANT}'");
    owner.batch_execute(&tenant).unwrap();
    assert_eq!(owner.number(&erase_statement(ACTOR, OTHER_TENANT)), 1);
    let _ = owner.take_notices();
    assert_eq!(erase(&mut owner), 3);
    let hint = owner.take_notices().remove(0).hint;
    let vacuum = hint.strip_prefix("After the commit: ").unwrap();
    // A transaction of the server's own that began earlier keeps the old rows for a moment.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        owner.batch_execute(vacuum).unwrap();
        owner.batch_execute("CHECKPOINT").unwrap();
        let texts = [ACTOR, FREE_TEXT, "Zoes-Browser", "request-of-zoe"];
        let left: Vec<String> = texts
            .iter()
            .flat_map(|text| found(&database, text))
            .collect();
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{left:?}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The files of a database that hold these bytes.
fn found(database: &Database<'_>, text: &str) -> Vec<String> {
    let oid = database
        .superuser()
        .text("SELECT oid::text FROM pg_database WHERE datname = current_database()")
        .unwrap();
    let folder = database.cluster().folder().join("data/base").join(oid);
    let holds = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| holds(path))
        .map(|path| path.display().to_string())
        .collect()
}

#[test]
fn a_second_run_finds_nothing_and_one_after_new_events_finds_these() {
    let database = database();
    let mut owner = database.superuser();
    assert_eq!(erase(&mut owner), 2);
    assert_eq!(erase(&mut owner), 0);
    let again = format!(
        "SELECT activity.record('note.written', tenant_id => '{TENANT}', actor_id => '{ACTOR}')"
    );
    owner.batch_execute(&again).unwrap();
    assert_eq!(erase(&mut owner), 1);
    let pseudonyms = owner.number(
        "SELECT count(DISTINCT actor_id) FROM activity.events WHERE actor_id LIKE '[erased:%'",
    );
    // Nobody keeps what would be needed to give the same one twice.
    assert_eq!(pseudonyms, 2);
}

#[test]
fn a_rollback_brings_everything_back() {
    let database = database();
    let mut owner = database.superuser();
    let before = rows(&mut owner, "true");
    owner.batch_execute("BEGIN").unwrap();
    assert_eq!(erase(&mut owner), 2);
    owner.batch_execute("ROLLBACK").unwrap();
    assert_eq!(rows(&mut owner, "true"), before);
}

#[test]
fn the_log_is_append_only_again_whatever_came_of_it() {
    let database = database();
    let mut owner = database.superuser();
    let partition = owner
        .text("SELECT min(tableoid::regclass::text) FROM activity.events")
        .unwrap();
    let update = format!("UPDATE {partition} SET metadata = '{{}}'");
    // While a trigger of the partition fails in the middle of the erasure's own statement.
    owner
        .batch_execute(&format!(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON {partition} FOR EACH ROW EXECUTE FUNCTION public.refuse();"
        ))
        .unwrap();
    let refused = owner.query(&erase_statement(ACTOR, TENANT), &[]);
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "23514");
    expect_error(owner.batch_execute(&update), "42501");
    owner
        .batch_execute(&format!("DROP TRIGGER refuse ON {partition}"))
        .unwrap();
    assert_eq!(erase(&mut owner), 2);
    expect_error(owner.batch_execute(&update), "42501");
    expect_error(
        owner.batch_execute(&format!("DELETE FROM {partition}")),
        "42501",
    );
}

#[test]
fn thousands_of_events_of_one_moment_are_all_reached_while_others_record() {
    let database = database();
    let mut owner = database.superuser();
    owner
        .batch_execute(&format!(
            "INSERT INTO activity.events (recorded_at, occurred_at, xact, gen, event_id, tenant_id, action, status, source, actor_id, metadata)
             SELECT now(), '2026-01-01', '9', 1, gen_random_uuid(), '{TENANT}', 'note.written', 'success', 'api', '{ACTOR}',
                    jsonb_build_object('n', i) FROM generate_series(1, 3000) i"
        ))
        .unwrap();
    let mut writer = login(&database, "activity_writer");
    let writing = std::thread::spawn(move || {
        writer
            .batch_execute("SET statement_timeout = '2s'")
            .unwrap();
        (0..200).try_for_each(|_| {
            writer.batch_execute(&format!(
                "SELECT activity.record('note.written', tenant_id => '{TENANT}', actor_id => '{ACTOR}')"
            ))
        })
    });
    let first = erase(&mut owner);
    writing.join().unwrap().unwrap();
    let second = erase(&mut owner);
    assert_eq!(first + second, 3_202);
    assert!(first >= 3_002, "{first}");
    assert_eq!(erase(&mut owner), 0);
}

#[test]
fn a_key_stays_taken_but_says_nothing() {
    let database = database();
    let mut owner = database.superuser();
    let keys = "SELECT idempotency_key FROM activity.idempotency_keys";
    assert_eq!(owner.texts(keys), [format!("note-of-{ACTOR}")]);
    erase(&mut owner);
    let left = owner.texts(keys);
    assert!(
        left.len() == 1 && left[0].starts_with("[erased:"),
        "{left:?}"
    );
}
