//! Partitioned tables: changes through the parent, aimed at a leaf, and across partitions, under
//! the name of the table that was attached.

use crate::captured::{Attached, ROW_LEVELS, attach, by_object, changes, log, tell_at};

/// Two levels of partitions, with columns in another order in one of them.
const MEASURE: &str = "CREATE TABLE measure (id int, region text, value int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
    CREATE TABLE measure_eu PARTITION OF measure FOR VALUES IN ('eu');
    CREATE TABLE measure_us (value int, gone int, region text NOT NULL, id int NOT NULL);
    ALTER TABLE measure_us DROP gone;
    ALTER TABLE measure ATTACH PARTITION measure_us FOR VALUES IN ('us');
    CREATE TABLE measure_rest PARTITION OF measure DEFAULT PARTITION BY RANGE (id);
    CREATE TABLE measure_rest_low PARTITION OF measure_rest FOR VALUES FROM (0) TO (100);
    CREATE TABLE measure_rest_high PARTITION OF measure_rest FOR VALUES FROM (100) TO (200);
    INSERT INTO measure VALUES (1, 'eu', 1), (2, 'us', 2), (3, 'jp', 3);";

#[test]
fn changes_through_the_parent_are_seen_once() {
    tell_at(
        ROW_LEVELS,
        MEASURE,
        &["measure(id,region)"],
        "INSERT INTO measure VALUES (4, 'us', 4), (150, 'br', 5);
         UPDATE measure SET value = value * 10 WHERE id < 3;
         DELETE FROM measure WHERE region = 'jp'",
        &[
            r#"measure ["4","us"] created {"id": 4, "value": 4, "region": "us"}"#,
            r#"measure ["150","br"] created {"id": 150, "value": 5, "region": "br"}"#,
            r#"measure ["1","eu"] updated {"value": 1} -> {"value": 10}"#,
            r#"measure ["2","us"] updated {"value": 2} -> {"value": 20}"#,
            r#"measure ["3","jp"] deleted {"id": 3, "value": 3, "region": "jp"}"#,
        ],
    );
}

#[test]
fn changes_aimed_at_a_leaf_are_seen_once_under_the_name_of_the_parent() {
    tell_at(
        ROW_LEVELS,
        MEASURE,
        &["measure(id,region)"],
        "INSERT INTO measure_us (id, region, value) VALUES (5, 'us', 5);
         UPDATE measure_us SET value = 50 WHERE id = 5;
         UPDATE measure_rest SET value = 30 WHERE id = 3;
         DELETE FROM measure_eu",
        &[
            r#"measure ["5","us"] created {"id": 5, "value": 5, "region": "us"}"#,
            r#"measure ["5","us"] updated {"value": 5} -> {"value": 50}"#,
            r#"measure ["3","jp"] updated {"value": 3} -> {"value": 30}"#,
            r#"measure ["1","eu"] deleted {"id": 1, "value": 1, "region": "eu"}"#,
        ],
    );
}

#[test]
fn a_row_that_moves_to_another_partition_stays_one_object() {
    for level in ROW_LEVELS {
        let mut attached = Attached::new(MEASURE, &["measure(id,region)"], level);
        attached.run(
            "UPDATE measure SET region = 'us', value = 11 WHERE id = 1;
             UPDATE measure SET id = id + 100 WHERE id = 3;
             UPDATE measure SET region = CASE region WHEN 'us' THEN 'eu' ELSE region END, value = value + 1",
        );
        let found = by_object(changes(&mut attached.session));
        // The server makes a move of a DELETE and an INSERT, and both are as true as an UPDATE.
        let moves = found.iter().filter(|line| line.contains(r#""us""#)).count();
        assert!(moves >= 2, "at {level} level: {found:#?}");
        attached.assert_replays();
    }
}

#[test]
fn truncate_of_the_parent_is_seen() {
    for level in ROW_LEVELS {
        let mut attached = Attached::new(MEASURE, &["measure(id,region)"], level);
        attached.run("TRUNCATE measure; INSERT INTO measure VALUES (9, 'eu', 9)");
        let found = changes(&mut attached.session);
        assert!(
            found.contains(&"measure - truncated".to_owned()),
            "{found:?}"
        );
        attached.assert_replays();
    }
}

#[test]
fn truncate_of_a_partition_says_which() {
    for level in ROW_LEVELS {
        let mut attached = Attached::new(MEASURE, &["measure(id,region)"], level);
        attached.run("TRUNCATE measure_us");
        let metadata = attached
            .session
            .texts("SELECT metadata::text FROM activity.events WHERE action = 'measure.truncated'");
        assert_eq!(metadata.len(), 1, "at {level} level: {metadata:?}");
        assert!(metadata[0].contains("measure_us"), "{metadata:?}");
    }
}

#[test]
fn a_partition_that_is_made_or_attached_later_is_captured_too() {
    for level in ROW_LEVELS {
        let mut attached = Attached::new(MEASURE, &["measure(id,region)"], level);
        attached.run(
            "CREATE TABLE measure_cn PARTITION OF measure FOR VALUES IN ('cn');
             INSERT INTO measure VALUES (20, 'cn', 1);
             INSERT INTO measure_cn VALUES (21, 'cn', 1);
             UPDATE measure_cn SET value = 2 WHERE id = 21",
        );
        assert_eq!(
            changes(&mut attached.session),
            [
                r#"measure ["20","cn"] created {"id": 20, "value": 1, "region": "cn"}"#,
                r#"measure ["21","cn"] created {"id": 21, "value": 1, "region": "cn"}"#,
                r#"measure ["21","cn"] updated {"value": 1} -> {"value": 2}"#,
            ],
            "at {level} level"
        );
        attached.assert_replays();
    }
}

#[test]
fn rows_of_an_inheriting_table_belong_to_who_is_attached() {
    for level in ROW_LEVELS {
        let mut attached = Attached::new(
            "CREATE TABLE base (id int PRIMARY KEY, n int); CREATE TABLE derived (extra int) INHERITS (base);
             INSERT INTO base VALUES (1, 1); INSERT INTO derived VALUES (2, 2, 2);",
            &["base(id)"],
            level,
        );
        attached.run("UPDATE ONLY base SET n = 10");
        assert_eq!(
            changes(&mut attached.session),
            [r#"base 1 updated {"n": 1} -> {"n": 10}"#],
            "at {level} level"
        );
    }
}

#[test]
fn an_owner_without_rights_on_the_log_makes_and_attaches_partitions() {
    let database = log();
    let owner = database.create_login(&[]);
    let mut admin = database.superuser();
    admin
        .batch_execute(&format!("CREATE SCHEMA shop AUTHORIZATION {owner}"))
        .unwrap();
    let mut session = database.connect_as(&owner);
    session
        .batch_execute(
            "CREATE TABLE shop.measure (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)",
        )
        .unwrap();
    attach(&mut admin, "shop.measure", "");
    session
        .batch_execute(
            "CREATE TABLE shop.asia PARTITION OF shop.measure FOR VALUES IN ('asia');
             CREATE TABLE shop.eu (LIKE shop.measure INCLUDING ALL);
             ALTER TABLE shop.measure ATTACH PARTITION shop.eu FOR VALUES IN ('eu');
             INSERT INTO shop.measure VALUES (1, 'asia'), (2, 'eu');
             INSERT INTO shop.eu VALUES (3, 'eu');
             TRUNCATE shop.asia",
        )
        .unwrap();
    assert_eq!(
        admin.texts("SELECT concat_ws(' ', action, object_id) FROM activity.events WHERE source = 'capture' ORDER BY event_id"),
        [
            r#"measure.created ["1","asia"]"#,
            r#"measure.created ["2","eu"]"#,
            r#"measure.created ["3","eu"]"#,
            "measure.truncated",
        ]
    );
}
