//! Every statement that changes rows leaves each change once, with the values that were stored.

use crate::captured::{Attached, LEVELS, by_object, changes, count, tell, tell_in_order};
use std::io::Write;

/// Two rows before capture begins.
const ITEMS: &str = "CREATE TABLE item (id int PRIMARY KEY, qty int);
    INSERT INTO item VALUES (1, 10), (2, 20);";

#[test]
fn single_statements_leave_one_event_for_each_row() {
    tell(
        ITEMS,
        &["item(id)"],
        "INSERT INTO item VALUES (3, 30), (4, NULL);
         INSERT INTO item SELECT n, n * 10 FROM generate_series(5, 6) n;
         UPDATE item SET qty = qty + 1 WHERE id IN (1, 4);
         UPDATE item SET qty = other.n FROM (VALUES (2, 200), (3, 300)) other (id, n) WHERE item.id = other.id;
         DELETE FROM item USING (VALUES (5)) other (id) WHERE item.id = other.id;
         DELETE FROM item WHERE id = 6",
        &[
            r#"item 3 created {"id": 3, "qty": 30}"#,
            r#"item 4 created {"id": 4, "qty": null}"#,
            r#"item 5 created {"id": 5, "qty": 50}"#,
            r#"item 6 created {"id": 6, "qty": 60}"#,
            r#"item 1 updated {"qty": 10} -> {"qty": 11}"#,
            r#"item 2 updated {"qty": 20} -> {"qty": 200}"#,
            r#"item 3 updated {"qty": 30} -> {"qty": 300}"#,
            r#"item 5 deleted {"id": 5, "qty": 50}"#,
            r#"item 6 deleted {"id": 6, "qty": 60}"#,
        ],
    );
}

#[test]
fn what_changes_no_row_leaves_nothing() {
    tell(
        ITEMS,
        &["item(id)"],
        "UPDATE item SET qty = qty;
         UPDATE item SET qty = 10 WHERE id = 1;
         UPDATE item SET qty = 0 WHERE id = 99;
         DELETE FROM item WHERE false;
         INSERT INTO item SELECT 1, 1 WHERE false;
         INSERT INTO item VALUES (1, 0) ON CONFLICT DO NOTHING;
         INSERT INTO item VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET qty = 0 WHERE false;
         SELECT * FROM item FOR UPDATE;
         SELECT * FROM item FOR KEY SHARE;
         ALTER TABLE item ALTER qty TYPE bigint",
        &[],
    );
}

#[test]
fn clients_see_the_row_counts_and_returned_rows_that_they_would_see_without() {
    for level in LEVELS {
        let mut attached = Attached::new(ITEMS, &["item(id)"], level);
        let session = &mut attached.session;
        let affected = session
            .execute("UPDATE item SET qty = qty WHERE id < 3", &[])
            .unwrap();
        assert_eq!(affected, 2, "{level}");
        let returned = session
            .query("DELETE FROM item WHERE id = 2 RETURNING id, qty", &[])
            .unwrap();
        let returned: Vec<(i32, i32)> = returned.iter().map(|r| (r.get(0), r.get(1))).collect();
        assert_eq!(returned, [(2, 20)], "{level}");
        let affected = session
            .execute(
                "INSERT INTO item VALUES (7, 7), (1, 1) ON CONFLICT DO NOTHING",
                &[],
            )
            .unwrap();
        assert_eq!(affected, 1, "{level}");
        assert_eq!(
            changes(session),
            [
                r#"item 2 deleted {"id": 2, "qty": 20}"#,
                r#"item 7 created {"id": 7, "qty": 7}"#
            ]
        );
    }
}

#[test]
fn both_arms_of_on_conflict_are_seen() {
    tell(
        ITEMS,
        &["item(id)"],
        "INSERT INTO item VALUES (2, 21), (3, 30), (1, 10)
         ON CONFLICT (id) DO UPDATE SET qty = excluded.qty",
        &[
            r#"item 2 updated {"qty": 20} -> {"qty": 21}"#,
            r#"item 3 created {"id": 3, "qty": 30}"#,
        ],
    );
}

#[test]
fn every_arm_of_merge_is_seen() {
    if Attached::new("", &[], "row").session.major() < 15 {
        eprintln!("skipped: MERGE came with Postgres 15");
        return;
    }
    tell(
        ITEMS,
        &["item(id)"],
        "MERGE INTO item USING (VALUES (1, 11), (2, NULL), (3, 30)) other (id, qty) ON item.id = other.id
         WHEN MATCHED AND other.qty IS NULL THEN DELETE
         WHEN MATCHED THEN UPDATE SET qty = other.qty
         WHEN NOT MATCHED THEN INSERT VALUES (other.id, other.qty)",
        &[
            r#"item 1 updated {"qty": 10} -> {"qty": 11}"#,
            r#"item 2 deleted {"id": 2, "qty": 20}"#,
            r#"item 3 created {"id": 3, "qty": 30}"#,
        ],
    );
}

#[test]
fn copy_is_seen() {
    for level in LEVELS {
        let mut attached = Attached::new(ITEMS, &["item(id)"], level);
        let mut writer = attached.session.copy_in("COPY item FROM STDIN").unwrap();
        for id in 3..2_503 {
            writeln!(writer, "{id}\t{}", id * 10).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), 2_500);
        assert_eq!(
            count(&mut attached.session, "action = 'item.created'"),
            2_500
        );
        assert_eq!(
            count(
                &mut attached.session,
                "(changes #>> '{new,id}') = object_id"
            ),
            2_500
        );
        attached.assert_replays();
    }
}

#[test]
fn truncate_is_seen_on_each_table_that_it_empties() {
    let definitions = "CREATE TABLE parent (id int PRIMARY KEY);
        CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent);
        CREATE TABLE stranger (id int PRIMARY KEY);
        INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (1, 1); INSERT INTO stranger VALUES (1)";
    tell(
        definitions,
        &["parent(id)", "child(id)", "stranger(id)"],
        "TRUNCATE parent CASCADE; INSERT INTO parent VALUES (3); TRUNCATE stranger, child, parent;
         INSERT INTO stranger VALUES (9)",
        &[
            "parent - truncated",
            "child - truncated",
            r#"parent 3 created {"id": 3}"#,
            "stranger - truncated",
            "child - truncated",
            "parent - truncated",
            r#"stranger 9 created {"id": 9}"#,
        ],
    );
}

#[test]
fn writable_with_queries_are_seen_part_by_part() {
    tell(
        "CREATE TABLE item (id int PRIMARY KEY, qty int); CREATE TABLE archive (id int PRIMARY KEY, qty int);
         INSERT INTO item VALUES (1, 10), (2, 20), (3, 30)",
        &["item(id)", "archive(id)"],
        "WITH gone AS (DELETE FROM item WHERE id < 3 RETURNING *),
              kept AS (INSERT INTO archive SELECT * FROM gone RETURNING id),
              changed AS (UPDATE item SET qty = 31 WHERE id = 3 RETURNING id)
         INSERT INTO item SELECT id + 10, 0 FROM kept",
        &[
            r#"item 1 deleted {"id": 1, "qty": 10}"#,
            r#"item 2 deleted {"id": 2, "qty": 20}"#,
            r#"archive 1 created {"id": 1, "qty": 10}"#,
            r#"archive 2 created {"id": 2, "qty": 20}"#,
            r#"item 3 updated {"qty": 30} -> {"qty": 31}"#,
            r#"item 11 created {"id": 11, "qty": 0}"#,
            r#"item 12 created {"id": 12, "qty": 0}"#,
        ],
    );
}

#[test]
fn writes_through_views_are_seen_on_the_table() {
    tell(
        "CREATE TABLE item (id int PRIMARY KEY, qty int);
         CREATE VIEW small AS SELECT id, qty AS amount FROM item WHERE qty < 100 WITH CHECK OPTION;
         CREATE VIEW doubled AS SELECT id, qty * 2 AS twice FROM item;
         CREATE FUNCTION halve() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN INSERT INTO item VALUES (NEW.id, NEW.twice / 2); RETURN NEW; END $$;
         CREATE TRIGGER halve INSTEAD OF INSERT ON doubled FOR EACH ROW EXECUTE FUNCTION halve();",
        &["item(id)"],
        "INSERT INTO small VALUES (1, 10);
         UPDATE small SET amount = 11;
         INSERT INTO doubled VALUES (2, 42);
         DELETE FROM small WHERE id = 1",
        &[
            r#"item 1 created {"id": 1, "qty": 10}"#,
            r#"item 1 updated {"qty": 10} -> {"qty": 11}"#,
            r#"item 1 deleted {"id": 1, "qty": 11}"#,
            r#"item 2 created {"id": 2, "qty": 21}"#,
        ],
    );
}

#[test]
fn what_a_rule_makes_of_a_statement_is_seen() {
    tell(
        "CREATE TABLE item (id int PRIMARY KEY, qty int); CREATE TABLE copied (id int PRIMARY KEY);
         INSERT INTO item VALUES (1, 10);
         CREATE RULE also AS ON INSERT TO item DO ALSO INSERT INTO copied VALUES (NEW.id);
         CREATE RULE soft AS ON DELETE TO item DO INSTEAD UPDATE item SET qty = NULL WHERE id = OLD.id;",
        &["item(id)", "copied(id)"],
        "INSERT INTO item VALUES (2, 20); DELETE FROM item WHERE id = 1",
        &[
            r#"item 2 created {"id": 2, "qty": 20}"#,
            r#"copied 2 created {"id": 2}"#,
            r#"item 1 updated {"qty": 10} -> {"qty": null}"#,
        ],
    );
}

#[test]
fn under_row_security_exactly_the_rows_that_changed_are_seen() {
    for level in LEVELS {
        let mut attached = Attached::new(
            "CREATE TABLE item (id int PRIMARY KEY, owner text, qty int);
             INSERT INTO item VALUES (1, 'mine', 10), (2, 'theirs', 20);
             ALTER TABLE item ENABLE ROW LEVEL SECURITY; ALTER TABLE item FORCE ROW LEVEL SECURITY;
             CREATE POLICY mine ON item USING (owner = 'mine');",
            &["item(id)"],
            level,
        );
        let login = attached.database.create_login(&[]);
        attached.run(&format!("GRANT ALL ON item TO {login}"));
        let mut session = attached.database.connect_as(&login);
        session
            .batch_execute("UPDATE item SET qty = qty + 1; DELETE FROM item; INSERT INTO item VALUES (3, 'mine', 1)")
            .unwrap();
        assert_eq!(
            changes(&mut attached.session),
            [
                r#"item 1 updated {"qty": 10} -> {"qty": 11}"#,
                r#"item 1 deleted {"id": 1, "qty": 11, "owner": "mine"}"#,
                r#"item 3 created {"id": 3, "qty": 1, "owner": "mine"}"#,
            ],
            "at {level} level"
        );
        attached.assert_replays();
    }
}

#[test]
fn generated_and_identity_columns_are_seen_as_stored() {
    tell(
        "CREATE TABLE item (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, qty int DEFAULT 5,
                            twice int GENERATED ALWAYS AS (qty * 2) STORED)",
        &["item(id)"],
        "INSERT INTO item DEFAULT VALUES; INSERT INTO item (qty) VALUES (7);
         UPDATE item SET qty = 6 WHERE id = 1; DELETE FROM item WHERE id = 2",
        &[
            r#"item 1 created {"id": 1, "qty": 5, "twice": 10}"#,
            r#"item 1 updated {"qty": 5, "twice": 10} -> {"qty": 6, "twice": 12}"#,
            r#"item 2 created {"id": 2, "qty": 7, "twice": 14}"#,
            r#"item 2 deleted {"id": 2, "qty": 7, "twice": 14}"#,
        ],
    );
}

#[test]
fn functions_code_blocks_and_cursors_are_seen() {
    tell_in_order(
        LEVELS,
        "CREATE TABLE item (id int PRIMARY KEY, qty int);
         CREATE FUNCTION add(id int) RETURNS int LANGUAGE sql AS 'INSERT INTO item VALUES ($1, 0) RETURNING id';
         CREATE PROCEDURE change(key int) LANGUAGE plpgsql AS
             $$ BEGIN UPDATE item SET qty = 1 WHERE id = key; COMMIT; UPDATE item SET qty = 2 WHERE id = key; END $$;",
        &["item(id)"],
        "SELECT add(1), add(2);;
         CALL change(1);;
         DO $$ DECLARE r item; c CURSOR FOR SELECT * FROM item ORDER BY id FOR UPDATE; BEGIN
             OPEN c; FETCH c INTO r; UPDATE item SET qty = qty + 10 WHERE CURRENT OF c;
             FETCH c INTO r; DELETE FROM item WHERE CURRENT OF c;
         END $$",
        &[
            r#"item 1 created {"id": 1, "qty": 0}"#,
            r#"item 2 created {"id": 2, "qty": 0}"#,
            r#"item 1 updated {"qty": 0} -> {"qty": 1}"#,
            r#"item 1 updated {"qty": 1} -> {"qty": 2}"#,
            r#"item 1 updated {"qty": 2} -> {"qty": 12}"#,
            r#"item 2 deleted {"id": 2, "qty": 0}"#,
        ],
    );
}

#[test]
fn without_a_key_the_old_row_stands_for_the_object() {
    tell(
        "CREATE TABLE note (line text, n int); INSERT INTO note VALUES ('a', 1), ('a', 1)",
        &["note()"],
        "UPDATE note SET n = 2 WHERE ctid = (SELECT min(ctid) FROM note);
         INSERT INTO note VALUES (NULL, NULL);
         DELETE FROM note WHERE n = 1",
        &[
            r#"note - updated {"n": 1, "line": "a"} -> {"n": 2}"#,
            r#"note - created {"n": null, "line": null}"#,
            r#"note - deleted {"n": 1, "line": "a"}"#,
        ],
    );
}

#[test]
fn a_change_of_the_key_is_an_event_of_the_old_key() {
    tell(
        "CREATE TABLE line (bill int, place int, qty int, PRIMARY KEY (bill, place)); INSERT INTO line VALUES (1, 1, 5)",
        &["line(bill,place)"],
        "UPDATE line SET place = 2; UPDATE line SET qty = 6; DELETE FROM line",
        &[
            r#"line ["1","1"] updated {"place": 1} -> {"place": 2}"#,
            r#"line ["1","2"] updated {"qty": 5} -> {"qty": 6}"#,
            r#"line ["1","2"] deleted {"qty": 6, "bill": 1, "place": 2}"#,
        ],
    );
    // A statement may move every key to one that was another row's.
    tell(
        "CREATE TABLE item (id int PRIMARY KEY, qty int); INSERT INTO item VALUES (3, 30), (2, 20), (1, 10)",
        &["item(id)"],
        "UPDATE item SET id = id + 1",
        &[
            r#"item 3 updated {"id": 3} -> {"id": 4}"#,
            r#"item 2 updated {"id": 2} -> {"id": 3}"#,
            r#"item 1 updated {"id": 1} -> {"id": 2}"#,
        ],
    );
}

#[test]
fn prepared_statements_go_on_being_seen_after_detach_and_attach() {
    for level in LEVELS {
        let mut attached = Attached::new(ITEMS, &["item(id)"], level);
        let update = attached
            .session
            .prepare("UPDATE item SET qty = $1 WHERE id = 1")
            .unwrap();
        for qty in 100..110 {
            attached.session.execute(&update, &[&qty]).unwrap();
        }
        attached.run("SELECT activity.detach('item')");
        attached.session.execute(&update, &[&0]).unwrap();
        crate::captured::attach(
            &mut attached.session,
            "item",
            &format!(", level => '{level}'"),
        );
        attached.session.execute(&update, &[&1]).unwrap();
        let updates = changes(&mut attached.session);
        assert_eq!(updates.len(), 11, "{updates:?}");
        assert_eq!(updates[10], r#"item 1 updated {"qty": 0} -> {"qty": 1}"#);
        assert_eq!(by_object(updates.clone()), updates);
    }
}
