//! Reading a tenant's log: filters, pages, cursors, and one event by its id.

mod pages;
mod plans;
mod standby;

use activity_log_integration::{Cluster, Database, Session, expect_error};
use serde_json::{Value, json};
use uuid::Uuid;

const TENANT: &str = "7ead0000-0000-4000-8000-0000000000aa";
const OTHER_TENANT: &str = "7ead0000-0000-4000-8000-0000000000bb";

/// A fresh log that checks no action.
fn log(cluster: &Cluster) -> Database<'_> {
    let database = cluster.database();
    let name = database.name();
    database
        .superuser()
        .batch_execute(&format!(
            "ALTER DATABASE {name} SET activity.registry = off"
        ))
        .unwrap();
    database
}

fn record_many(session: &mut Session, events: &[Value]) -> Vec<Uuid> {
    session
        .query(
            "SELECT event_id FROM activity.record_many($1) ORDER BY ordinal",
            &[&Value::from(events)],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// Ids and the last cursor of a page of [`TENANT`], with further arguments in SQL.
fn page(session: &mut Session, arguments: &str) -> (Vec<Uuid>, Option<String>) {
    let query =
        format!("SELECT event_id, cursor FROM activity.list(tenant_id => '{TENANT}'{arguments})");
    let rows = session
        .query(&query, &[])
        .unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let cursor = rows.last().map(|row| row.get(1));
    (rows.iter().map(|row| row.get(0)).collect(), cursor)
}

/// The ids of all pages of this size.
fn all_pages(session: &mut Session, page_size: usize) -> Vec<Uuid> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let arguments = format!(", page_size => {page_size}, cursor => '{cursor}'");
        let (more, next) = page(session, &arguments);
        ids.extend(more);
        match next {
            Some(next) => cursor = next,
            None => return ids,
        }
    }
}

const ACTIONS: [&str; 3] = [
    "auth.login.success",
    "auth.login.failure",
    "authority.granted",
];
const OBJECT_TYPES: [&str; 2] = ["file", "photo"];
const STATUSES: [&str; 2] = ["success", "denied"];

/// An event with a different value in each field that can be filtered by, in many combinations.
fn varied(number: usize) -> Value {
    json!({
        "tenant_id": TENANT,
        "action": ACTIONS[number % 3],
        "actor_id": format!("actor {}", number % 4),
        "object_type": OBJECT_TYPES[number % 2],
        "object_id": format!("object {}", number % 5),
        "request_id": format!("request {}", number % 7),
        "status": STATUSES[number / 2 % 2],
        "client_ip": format!("203.0.113.{}", number % 3),
        "occurred_at": format!("2023-01-{:02}T00:00:00Z", number % 28 + 1),
        "metadata": {"parity": number % 2, "tags": [number % 6]},
    })
}

/// A filter in SQL, and what it means.
type Filter = (&'static str, fn(&Value) -> bool);

const FILTERS: [Filter; 10] = [
    (", action => 'auth.*'", |e| {
        e["action"].as_str().unwrap().starts_with("auth.")
    }),
    (", actor_id => 'actor 1'", |e| e["actor_id"] == "actor 1"),
    (", object_type => 'photo'", |e| e["object_type"] == "photo"),
    (", object_id => 'object 3'", |e| {
        e["object_id"] == "object 3"
    }),
    (", request_id => 'request 2'", |e| {
        e["request_id"] == "request 2"
    }),
    (", status => 'denied'", |e| e["status"] == "denied"),
    (", client_ip => '203.0.113.1'", |e| {
        e["client_ip"] == "203.0.113.1"
    }),
    (", since => '2023-01-05T00:00:00Z'", |e| {
        e["occurred_at"].as_str() >= Some("2023-01-05")
    }),
    (", until => '2023-01-20T00:00:00Z'", |e| {
        e["occurred_at"].as_str() < Some("2023-01-20")
    }),
    (", metadata => '{\"parity\": 1}'", |e| {
        e["metadata"]["parity"] == 1
    }),
];

#[test]
fn every_combination_of_filters_gives_what_it_says_in_order() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let events: Vec<Value> = (0..840).map(varied).collect();
    let ids = record_many(&mut session, &events);
    let mut newest_first: Vec<(&Value, Uuid)> = events.iter().zip(ids).collect();
    newest_first.sort_by(|a, b| {
        (b.0["occurred_at"].as_str(), b.1).cmp(&(a.0["occurred_at"].as_str(), a.1))
    });
    for combination in 0..1 << FILTERS.len() {
        let chosen: Vec<&Filter> = FILTERS
            .iter()
            .enumerate()
            .filter(|(bit, _)| combination >> bit & 1 == 1)
            .map(|(_, f)| f)
            .collect();
        let arguments: String = chosen.iter().map(|(sql, _)| *sql).collect();
        let expected: Vec<Uuid> = newest_first
            .iter()
            .filter(|(event, _)| chosen.iter().all(|(_, fits)| fits(event)))
            .map(|(_, id)| *id)
            .collect();
        let (found, _) = page(&mut session, &format!("{arguments}, page_size => 1000"));
        assert_eq!(found, expected, "{arguments}");
    }
}

#[test]
fn an_exact_action_finds_itself_and_a_prefix_what_lies_below_it() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let events: Vec<Value> = [
        "auth.login",
        "auth.login.success",
        "auth.login_page",
        "authority.login",
        "auth_x.login",
    ]
    .map(|action| json!({"tenant_id": TENANT, "action": action}))
    .into();
    let ids = record_many(&mut session, &events);
    let found = |session: &mut Session, action: &str| {
        let (mut found, _) = page(session, &format!(", action => '{action}'"));
        found.reverse();
        found
    };
    assert_eq!(found(&mut session, "auth.login"), ids[..1]);
    assert_eq!(found(&mut session, "auth.login.*"), ids[1..2]);
    assert_eq!(found(&mut session, "auth.*"), ids[..3]);
}

#[test]
fn get_gives_an_event_of_ones_own_and_nothing_else() {
    let database = log(Cluster::shared());
    let mut admin = database.superuser();
    let ids = record_many(
        &mut admin,
        &[
            json!({"tenant_id": TENANT, "action": "a.b", "metadata": {"n": 1}}),
            json!({"tenant_id": OTHER_TENANT, "action": "a.b"}),
        ],
    );
    let login = database.create_login(&["activity_reader"]);
    let mut reader = database.connect_as(&login);
    let get =
        |session: &mut Session, id: &Uuid| session.query("SELECT * FROM activity.get($1)", &[id]);
    expect_error(get(&mut reader, &ids[0]), "22004");
    reader
        .batch_execute(&format!("SET activity.tenant_id = '{TENANT}'"))
        .unwrap();
    let own = get(&mut reader, &ids[0]).unwrap();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].get::<_, Value>("metadata"), json!({"n": 1}));
    assert!(get(&mut reader, &ids[1]).unwrap().is_empty());
    assert!(
        get(&mut reader, &Uuid::from_bytes([0x72; 16]))
            .unwrap()
            .is_empty()
    );
    assert!(get(&mut reader, &Uuid::nil()).unwrap().is_empty());
    assert!(get(&mut reader, &Uuid::max()).unwrap().is_empty());

    let auditor = database.create_login(&["activity_auditor"]);
    let mut auditor = database.connect_as(&auditor);
    assert_eq!(get(&mut auditor, &ids[1]).unwrap().len(), 1);
}

#[test]
fn reading_assigns_no_transaction_id_also_in_a_session_that_knows_nothing_yet() {
    let database = log(Cluster::shared());
    let id = record_many(
        &mut database.superuser(),
        &[json!({"tenant_id": TENANT, "action": "a.b", "client_ip": "203.0.113.7"})],
    )[0];
    let login = database.create_login(&["activity_reader"]);
    let mut reader = database.connect_as(&login);
    reader
        .batch_execute(&format!("BEGIN; SET LOCAL activity.tenant_id = '{TENANT}'"))
        .unwrap();
    assert_eq!(page(&mut reader, ", client_ip => '203.0.113.7'").0, [id]);
    assert_eq!(
        reader
            .query("SELECT * FROM activity.get($1)", &[&id])
            .unwrap()
            .len(),
        1
    );
    assert_eq!(reader.number("SELECT count(*) FROM activity.events"), 1);
    assert_eq!(
        reader.text("SELECT pg_current_xact_id_if_assigned()::text"),
        None
    );
}

#[test]
fn a_page_shows_what_its_snapshot_shows() {
    let database = log(Cluster::shared());
    let (mut reader, mut writer) = (database.superuser(), database.superuser());
    let event = [json!({"tenant_id": TENANT, "action": "a.b"})];
    record_many(&mut writer, &event);
    writer.batch_execute("BEGIN").unwrap();
    record_many(&mut writer, &event);
    assert_eq!(page(&mut writer, "").0.len(), 2);
    assert_eq!(page(&mut reader, "").0.len(), 1);
    reader
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .unwrap();
    writer.batch_execute("COMMIT").unwrap();
    assert_eq!(page(&mut reader, "").0.len(), 1);
    reader.batch_execute("COMMIT").unwrap();
    assert_eq!(page(&mut reader, "").0.len(), 2);
}
