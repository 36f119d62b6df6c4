//! Changes that arrive by logical replication are captured once, on the subscriber, by either level.

use crate::captured::{
    LEVELS, TENANT, assert_replays, attach, by_object, changes, count, log_in, start_replay,
};
use activity_log_integration::{Cluster, Database, Options, Session};
use std::time::{Duration, Instant};

const TABLES: &str = "CREATE TABLE item (id int PRIMARY KEY, qty int, body text);
    CREATE TABLE part (id int, region text, qty int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
    CREATE TABLE part_eu PARTITION OF part FOR VALUES IN ('eu');
    CREATE TABLE part_us PARTITION OF part FOR VALUES IN ('us');";

struct Pair {
    publisher: Cluster,
    subscriber: Cluster,
    names: [String; 2],
}

impl Pair {
    fn start() -> Self {
        let options = Options {
            settings: &[("wal_level", "logical")],
            ..Options::default()
        };
        let publisher = Cluster::start(&options);
        let subscriber = Cluster::start(&options);
        let names = [publisher.database(), log_in(&subscriber)].map(|d| d.name().to_owned());
        Self {
            publisher,
            subscriber,
            names,
        }
    }

    fn source(&self) -> Database<'_> {
        self.publisher.existing_database(&self.names[0])
    }

    fn target(&self) -> Database<'_> {
        self.subscriber.existing_database(&self.names[1])
    }

    /// Publishes tables and subscribes to them.
    fn subscribe(&self, publication: &str) {
        self.source()
            .superuser()
            .batch_execute(&format!("CREATE PUBLICATION everything {publication}"))
            .unwrap();
        let connection = format!(
            "host={} user=postgres dbname={}",
            self.publisher.folder().display(),
            self.names[0]
        );
        self.target()
            .superuser()
            .batch_execute(&format!(
                "CREATE SUBSCRIPTION everything CONNECTION '{connection}' PUBLICATION everything"
            ))
            .unwrap();
        let ready = "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'";
        wait_for(&mut self.target().superuser(), ready, 0);
    }

    /// Waits until the subscriber has applied everything.
    fn catch_up(&self, source: &mut Session) {
        let behind = "SELECT count(*) FROM (SELECT pg_current_wal_lsn() AS now) w
            WHERE NOT EXISTS (SELECT FROM pg_stat_replication WHERE application_name = 'everything' AND replay_lsn >= w.now)";
        source
            .batch_execute("SELECT pg_logical_emit_message(true, 'a', 'b')")
            .unwrap();
        let at = source.text("SELECT pg_current_wal_lsn()::text").unwrap();
        wait_for(
            source,
            &behind.replace("pg_current_wal_lsn()", &format!("'{at}'::pg_lsn")),
            0,
        );
    }
}

fn wait_for(session: &mut Session, query: &str, wanted: i64) {
    let started = Instant::now();
    while session.number(query) != wanted {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{query} is not {wanted}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

const STORY: &str = "INSERT INTO item VALUES (1, 10, repeat('x', 10)), (2, 20, NULL);
    INSERT INTO item SELECT n, n, 'bulk' FROM generate_series(100, 199) n;
    UPDATE item SET qty = 11 WHERE id = 1; UPDATE item SET qty = qty WHERE id = 2;
    UPDATE item SET id = 3 WHERE id = 2; DELETE FROM item WHERE id = 1;
    INSERT INTO part VALUES (1, 'eu', 1), (2, 'us', 2); UPDATE part SET qty = 5; DELETE FROM part WHERE id = 2;";

#[test]
fn what_a_subscriber_applies_is_captured_once_at_either_level() {
    for level in LEVELS {
        let pair = Pair::start();
        for session in [
            &mut pair.source().superuser(),
            &mut pair.target().superuser(),
        ] {
            session.batch_execute(TABLES).unwrap();
        }
        let mut target = pair.target().superuser();
        start_replay(&mut target, "item", "id");
        start_replay(&mut target, "part", "id,region");
        attach(&mut target, "item", &format!(", level => '{level}'"));
        attach(&mut target, "part", "");
        pair.subscribe("FOR TABLE item, part WITH (publish_via_partition_root = true)");
        let mut source = pair.source().superuser();
        source.batch_execute(STORY).unwrap();
        pair.catch_up(&mut source);

        assert_replays(&mut target, "item", "item");
        assert_replays(&mut target, "part", "part");
        assert_eq!(count(&mut target, "object_type = 'item'"), 105);
        let mut lines = by_object(changes(&mut target));
        lines.retain(|line| !line.contains("bulk"));
        assert_eq!(
            lines,
            [
                r#"item 1 created {"id": 1, "qty": 10, "body": "xxxxxxxxxx"}"#,
                r#"item 1 updated {"qty": 10} -> {"qty": 11}"#,
                r#"item 1 deleted {"id": 1, "qty": 11, "body": "xxxxxxxxxx"}"#,
                r#"item 2 created {"id": 2, "qty": 20, "body": null}"#,
                r#"item 2 updated {"id": 2} -> {"id": 3}"#,
                r#"part ["1","eu"] created {"id": 1, "qty": 1, "region": "eu"}"#,
                r#"part ["1","eu"] updated {"qty": 1} -> {"qty": 5}"#,
                r#"part ["2","us"] created {"id": 2, "qty": 2, "region": "us"}"#,
                r#"part ["2","us"] updated {"qty": 2} -> {"qty": 5}"#,
                r#"part ["2","us"] deleted {"id": 2, "qty": 5, "region": "us"}"#,
            ],
            "at {level} level"
        );

        // The subscriber's own writes are captured as ever, and TRUNCATE is replicated too.
        target
            .batch_execute("UPDATE item SET qty = -1 WHERE id = 100")
            .unwrap();
        source
            .batch_execute("TRUNCATE item; INSERT INTO item VALUES (500, 5, NULL)")
            .unwrap();
        pair.catch_up(&mut source);
        assert_eq!(
            count(&mut target, "object_type = 'item'"),
            108,
            "at {level} level"
        );
        assert_replays(&mut target, "item", "item");
        target
            .batch_execute("DROP SUBSCRIPTION everything")
            .unwrap();
    }
}

#[test]
fn rows_that_were_there_before_are_captured_when_they_are_copied_over() {
    let pair = Pair::start();
    for session in [
        &mut pair.source().superuser(),
        &mut pair.target().superuser(),
    ] {
        session.batch_execute(TABLES).unwrap();
    }
    let mut source = pair.source().superuser();
    source
        .batch_execute("INSERT INTO item SELECT n, n, NULL FROM generate_series(1, 500) n")
        .unwrap();
    let mut target = pair.target().superuser();
    start_replay(&mut target, "item", "id");
    attach(&mut target, "item", "");
    pair.subscribe("FOR TABLE item");
    pair.catch_up(&mut source);
    assert_eq!(count(&mut target, "object_type = 'item'"), 500);
    assert_replays(&mut target, "item", "item");
    target
        .batch_execute("DROP SUBSCRIPTION everything")
        .unwrap();
}

#[test]
fn a_subscriber_that_also_receives_the_log_turns_capture_of_replicated_changes_off() {
    let pair = Pair::start();
    for session in [
        &mut pair.source().superuser(),
        &mut pair.target().superuser(),
    ] {
        session.batch_execute(TABLES).unwrap();
    }
    let mut source = pair.source().superuser();
    let mut target = pair.target().superuser();
    attach(&mut source, "item", "");
    attach(&mut target, "item", ", replicated => false");
    pair.subscribe("FOR TABLE item, activity.events WITH (publish_via_partition_root = true)");
    source
        .batch_execute("INSERT INTO item VALUES (1, 10, NULL); UPDATE item SET qty = 11")
        .unwrap();
    pair.catch_up(&mut source);
    let sent = changes(&mut source);
    assert_eq!(sent.len(), 2);
    assert_eq!(
        changes(&mut target),
        sent,
        "each change once, as the publisher has it"
    );

    // What the subscriber does itself is captured.
    target.batch_execute("UPDATE item SET qty = 12").unwrap();
    assert_eq!(changes(&mut target).len(), 3);
    let tenants = target
        .texts("SELECT DISTINCT tenant_id::text FROM activity.events WHERE source = 'capture'");
    assert_eq!(tenants, [TENANT]);
    target
        .batch_execute("DROP SUBSCRIPTION everything")
        .unwrap();
}
