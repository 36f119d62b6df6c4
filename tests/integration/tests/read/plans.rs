//! Every way of reading uses the index that was made for it, and a page costs the same however
//! deep it lies.

use super::{TENANT, log, page};
use activity_log_integration::{Cluster, Database, Session};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// Events of one tenant, spread over all partitions, the future ones included.
const EVENTS: usize = 20_000;

/// A log with [`EVENTS`] of one tenant and as many of others, spread over every partition.
fn filled() -> Database<'static> {
    let database = log(Cluster::shared());
    database
        .superuser()
        .batch_execute(&format!(
            "INSERT INTO activity.events (recorded_at, occurred_at, xact, gen, event_id, tenant_id, action, status, source,
                 actor_type, actor_id, object_type, object_id, request_id, ip_hash, metadata)
             SELECT at, at, '3', 1, gen_random_uuid(),
                 CASE WHEN n % 2 = 0 THEN '{TENANT}'::uuid ELSE md5((n % 50)::text)::uuid END,
                 'area' || n % 41 || '.done', CASE WHEN n % 101 < 2 THEN 'denied' ELSE 'success' END, 'api',
                 'user', 'actor ' || n % 499, 'file', 'object ' || n % 3989, 'request ' || n / 6,
                 decode(md5((n % 997)::text), 'hex'), jsonb_build_object('n', n % 11)
             FROM generate_series(1, {}) AS n,
                  LATERAL (SELECT date_trunc('month', now(), 'UTC') - interval '1 month' + n * interval '15 minutes') AS t (at);
             ANALYZE activity.events",
            EVENTS * 2
        ))
        .unwrap();
    database
}

/// The indexes of the log that the plans in the notices use, by the name of the parent's index.
fn indexes_used(session: &mut Session, plans: &str) -> BTreeSet<String> {
    let parents: HashMap<String, String> = session
        .query(
            "SELECT i.inhrelid::regclass::text, i.inhparent::regclass::text FROM pg_inherits i \
             JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relkind = 'i'",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| (short(row.get(0)), short(row.get(1))))
        .collect();
    let words: Vec<&str> = plans.split_whitespace().collect();
    words
        .windows(2)
        .filter(|pair| ["using", "on"].contains(&pair[0]))
        .filter_map(|pair| parents.get(pair[1]).cloned())
        .collect()
}

fn short(name: String) -> String {
    name.trim_start_matches("activity.").to_owned()
}

/// A session that is told the plan of every statement, also inside functions.
fn explained(database: &Database<'_>) -> Session {
    let mut session = database.superuser();
    session
        .batch_execute(
            "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;
             SET auto_explain.log_analyze = on; SET auto_explain.log_level = notice; SET client_min_messages = notice",
        )
        .unwrap();
    session
}

fn plans_of(session: &mut Session, query: &str) -> String {
    let _ = session.take_notices();
    session.batch_execute(query).unwrap();
    let plans: Vec<String> = session
        .take_notices()
        .into_iter()
        .map(|notice| notice.message)
        .filter(|message| message.contains("activity.events_p"))
        .collect();
    plans.join("\n")
}

/// What list() is asked for, the same as a condition on the table, and the index meant for it.
const READS: [(&str, &str, &str); 10] = [
    ("", "true", "events_pkey"),
    (
        ", action => 'area7.done'",
        "action = 'area7.done'",
        "events_action_idx",
    ),
    (
        ", action => 'area7.*'",
        "action >= 'area7.' AND action < 'area7/'",
        "events_action_idx",
    ),
    (
        ", actor_id => 'actor 8'",
        "actor_id = 'actor 8'",
        "events_actor_idx",
    ),
    (
        ", object_id => 'object 8'",
        "object_id = 'object 8'",
        "events_object_idx",
    ),
    (
        ", object_id => 'object 8', object_type => 'file'",
        "object_id = 'object 8' AND object_type = 'file'",
        "events_object_idx",
    ),
    (
        ", request_id => 'request 100'",
        "request_id = 'request 100'",
        "events_request_idx",
    ),
    (
        ", client_ip => '203.0.113.7'",
        "ip_hash = '\\x00'",
        "events_ip_hash_idx",
    ),
    (
        ", since => '2020-01-01'",
        "occurred_at >= '2020-01-01'",
        "events_pkey",
    ),
    (", until => now()", "occurred_at < now()", "events_pkey"),
];

/// Filters without an index of their own go through the tenant's timeline.
const UNINDEXED: [(&str, &str, &str); 2] = [
    (", status => 'success', page_size => 5", "", "events_pkey"),
    (
        ", metadata => '{\"n\": 2}', page_size => 5",
        "",
        "events_pkey",
    ),
];

#[test]
fn list_scans_the_index_that_was_made_for_its_filter() {
    let database = filled();
    let mut session = explained(&database);
    let mut catalog = database.superuser();
    for mode in ["auto", "force_generic_plan"] {
        session
            .batch_execute(&format!("SET plan_cache_mode = {mode}"))
            .unwrap();
        for (arguments, _, index) in READS.into_iter().chain(UNINDEXED) {
            let plans = plans_of(
                &mut session,
                &format!("SELECT * FROM activity.list(tenant_id => '{TENANT}'{arguments})"),
            );
            assert!(plans.contains("Index"), "{mode}{arguments}\n{plans}");
            assert!(!plans.contains("Seq Scan"), "{mode}{arguments}\n{plans}");
            let used = indexes_used(&mut catalog, &plans);
            assert_eq!(
                used,
                BTreeSet::from([index.to_owned()]),
                "{mode}{arguments}\n{plans}"
            );
        }
    }
}

#[test]
fn get_finds_its_event_by_the_index_of_ids_in_one_partition() {
    let database = log(Cluster::shared());
    let mut session = explained(&database);
    let id: uuid::Uuid = session
        .query_one(
            &format!("SELECT activity.record('a.b', tenant_id => '{TENANT}')"),
            &[],
        )
        .unwrap()
        .get(0);
    // A table of one page is never worth an index.
    session.batch_execute("SET enable_seqscan = off").unwrap();
    let plans = plans_of(&mut session, &format!("SELECT * FROM activity.get('{id}')"));
    assert_eq!(plans.matches("Index Scan").count(), 1, "{plans}");
    let used = indexes_used(&mut database.superuser(), &plans);
    assert_eq!(
        used,
        BTreeSet::from(["events_event_id_idx".to_owned()]),
        "{plans}"
    );
}

#[test]
fn a_direct_read_under_row_security_uses_the_same_indexes_also_with_a_generic_plan() {
    let database = filled();
    let login = database.create_login(&["activity_reader"]);
    let mut reader = database.connect_as(&login);
    let mut catalog = database.superuser();
    reader
        .batch_execute(&format!(
            "SET activity.tenant_id = '{TENANT}'; SET plan_cache_mode = force_generic_plan"
        ))
        .unwrap();
    for (number, (_, condition, index)) in READS.into_iter().enumerate() {
        let query = format!(
            "SELECT * FROM activity.events WHERE {condition} ORDER BY occurred_at DESC, event_id DESC LIMIT 5"
        );
        let direct = reader
            .texts(&format!("EXPLAIN (COSTS off) {query}"))
            .join("\n");
        reader
            .batch_execute(&format!("PREPARE p{number} (int) AS {query} OFFSET $1"))
            .unwrap();
        let generic = reader
            .texts(&format!("EXPLAIN (COSTS off) EXECUTE p{number} (0)"))
            .join("\n");
        for plan in [direct, generic] {
            assert!(!plan.contains("Seq Scan"), "{condition}\n{plan}");
            let used = indexes_used(&mut catalog, &plan);
            assert_eq!(
                used,
                BTreeSet::from([index.to_owned()]),
                "{condition}\n{plan}"
            );
        }
    }
}

/// The pages of the server's cache that one page of the log touches, once its plans are warm.
fn blocks(session: &mut Session, cursor: &str) -> i64 {
    let query = format!(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT * FROM activity.list(tenant_id => '{TENANT}', cursor => '{cursor}')"
    );
    session.batch_execute(&query).unwrap();
    let plan: Value = session.query_one(&query, &[]).unwrap().get(0);
    let node = &plan[0]["Plan"];
    let blocks = |name: &str| node[name].as_i64().unwrap();
    assert_eq!(node["Actual Rows"].as_f64(), Some(50.0));
    blocks("Shared Hit Blocks") + blocks("Shared Read Blocks")
}

#[test]
fn a_deep_page_touches_about_as_many_blocks_as_the_first() {
    let database = filled();
    let mut session = database.superuser();
    let mut cursors = vec![String::new()];
    for _ in 1..EVENTS / 50 {
        let cursor = page(
            &mut session,
            &format!(", cursor => '{}'", cursors.last().unwrap()),
        )
        .1;
        cursors.push(cursor.unwrap());
    }
    let first = blocks(&mut session, &cursors[0]);
    let partitions = database
        .superuser()
        .number("SELECT count(*) FROM pg_inherits WHERE inhparent = 'activity.events'::regclass");
    for number in [2, 50, 100, 200, 399, 400] {
        let deep = blocks(&mut session, &cursors[number - 1]);
        // Each younger partition is asked once whether it holds something that occurred long
        // before it was recorded.
        let limit = if number <= 100 {
            first * 3
        } else {
            first + 4 * partitions
        };
        assert!(
            deep < limit,
            "page {number} touches {deep} blocks, the first {first}"
        );
    }
}
