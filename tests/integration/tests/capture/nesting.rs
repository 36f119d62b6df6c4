//! Changes that cause changes: foreign keys and triggers. Each is seen once, as stored, and behind
//! its cause.

use crate::captured::{
    Attached, LEVELS, ROW_LEVELS, TENANT, changes, tell, tell_at, tell_in_order,
};
use activity_log_integration::expect_error;

#[test]
fn what_foreign_keys_do_to_other_tables_is_seen() {
    tell_at(
        ROW_LEVELS,
        "CREATE TABLE parent (id int PRIMARY KEY);
         CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);
         CREATE TABLE friend (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE SET NULL ON UPDATE CASCADE);
         CREATE TABLE guest (id int PRIMARY KEY, parent int DEFAULT 3 REFERENCES parent ON DELETE SET DEFAULT ON UPDATE CASCADE);
         INSERT INTO parent VALUES (1), (2), (3);
         INSERT INTO child VALUES (1, 1), (2, 2); INSERT INTO friend VALUES (1, 1); INSERT INTO guest VALUES (1, 2)",
        &["parent(id)", "child(id)", "friend(id)", "guest(id)"],
        "UPDATE parent SET id = 10 WHERE id = 1; DELETE FROM parent WHERE id IN (2, 10)",
        &[
            r#"parent 1 updated {"id": 1} -> {"id": 10}"#,
            r#"child 1 updated {"parent": 1} -> {"parent": 10}"#,
            r#"friend 1 updated {"parent": 1} -> {"parent": 10}"#,
            r#"parent 2 deleted {"id": 2}"#,
            r#"parent 10 deleted {"id": 10}"#,
            r#"child 1 deleted {"id": 1, "parent": 10}"#,
            r#"child 2 deleted {"id": 2, "parent": 2}"#,
            r#"friend 1 updated {"parent": 10} -> {"parent": null}"#,
            r#"guest 1 updated {"parent": 2} -> {"parent": 3}"#,
        ],
    );
}

#[test]
fn a_foreign_key_to_the_own_table_is_seen_in_the_order_of_cause_and_effect() {
    tell_in_order(
        ROW_LEVELS,
        "CREATE TABLE node (id int PRIMARY KEY, parent int REFERENCES node ON DELETE CASCADE ON UPDATE CASCADE);
         INSERT INTO node VALUES (1, 1), (2, 1), (3, 2)",
        &["node(id)"],
        // The row that refers to itself is changed a second time by what it causes.
        "UPDATE node SET id = 10 WHERE id = 1; DELETE FROM node WHERE id = 2",
        &[
            r#"node 1 updated {"id": 1} -> {"id": 10}"#,
            r#"node 2 updated {"parent": 1} -> {"parent": 10}"#,
            r#"node 10 updated {"parent": 1} -> {"parent": 10}"#,
            r#"node 2 deleted {"id": 2, "parent": 10}"#,
            r#"node 3 deleted {"id": 3, "parent": 2}"#,
        ],
    );
}

#[test]
fn what_a_before_trigger_makes_of_a_row_is_what_is_seen() {
    tell(
        "CREATE TABLE item (id int PRIMARY KEY, qty int, changed int DEFAULT 0); INSERT INTO item VALUES (1, 10), (2, 20);
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF TG_OP = 'DELETE' THEN RETURN CASE WHEN OLD.qty = 0 THEN OLD END; END IF;
             IF NEW.qty < 0 THEN RETURN NULL; END IF;
             NEW.qty := least(NEW.qty, 100);
             IF TG_OP = 'UPDATE' THEN NEW.changed := OLD.changed + 1; END IF;
             RETURN NEW; END $$;
         CREATE TRIGGER keep BEFORE INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION keep()",
        &["item(id)"],
        "INSERT INTO item VALUES (3, 500), (4, -1);
         UPDATE item SET qty = 0 WHERE id = 1;
         UPDATE item SET qty = -5 WHERE id = 2;
         DELETE FROM item",
        &[
            r#"item 3 created {"id": 3, "qty": 100, "changed": 0}"#,
            r#"item 1 updated {"qty": 10, "changed": 0} -> {"qty": 0, "changed": 1}"#,
            r#"item 1 deleted {"id": 1, "qty": 0, "changed": 1}"#,
        ],
    );
}

/// An AFTER ROW trigger that changes its own row again, and writes to another table.
const NESTED: &str = "CREATE TABLE item (id int PRIMARY KEY, qty int); CREATE TABLE total (id int PRIMARY KEY, qty int);
    INSERT INTO total VALUES (1, 0);
    CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.qty % 2 = 1 THEN UPDATE item SET qty = NEW.qty + 1 WHERE id = NEW.id; END IF;
        UPDATE total SET qty = total.qty + 1; RETURN NULL; END $$;";

const NESTED_TRIGGER: &str =
    "CREATE TRIGGER again AFTER INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION again();";

const NESTED_CHANGES: [&str; 7] = [
    r#"item 1 created {"id": 1, "qty": 1}"#,
    r#"item 1 updated {"qty": 1} -> {"qty": 2}"#,
    r#"total 1 updated {"qty": 0} -> {"qty": 1}"#,
    r#"total 1 updated {"qty": 1} -> {"qty": 2}"#,
    r#"item 1 updated {"qty": 2} -> {"qty": 5}"#,
    r#"item 1 updated {"qty": 5} -> {"qty": 6}"#,
    r#"total 1 updated {"qty": 2} -> {"qty": 3}"#,
];

const NESTED_STORY: &str = "INSERT INTO item VALUES (1, 1); UPDATE item SET qty = 5 WHERE id = 1";

#[test]
fn a_trigger_that_changes_the_row_again_is_seen_behind_the_change_that_fired_it() {
    let expected = [
        &NESTED_CHANGES[..],
        &[r#"total 1 updated {"qty": 3} -> {"qty": 4}"#],
    ]
    .concat();
    tell_in_order(
        ROW_LEVELS,
        &[NESTED, NESTED_TRIGGER].concat(),
        &["item(id)", "total(id)"],
        NESTED_STORY,
        &expected,
    );
}

#[test]
fn a_trigger_that_comes_after_capture_is_seen_in_the_same_order() {
    let expected = [
        &NESTED_CHANGES[..],
        &[r#"total 1 updated {"qty": 3} -> {"qty": 4}"#],
    ]
    .concat();
    for level in LEVELS {
        let mut attached = Attached::new(NESTED, &["item(id)", "total(id)"], level);
        attached.run(NESTED_TRIGGER);
        // coverage() repairs what a later trigger has made wrong, if nothing else has.
        attached.run("SELECT * FROM activity.coverage()");
        attached.run(NESTED_STORY);
        assert_eq!(changes(&mut attached.session), expected, "at {level} level");
        attached.assert_replays();
    }
}

#[test]
fn a_statement_trigger_that_changes_the_table_again_is_seen_behind_its_cause() {
    tell_in_order(
        LEVELS,
        "CREATE TABLE item (id int PRIMARY KEY, qty int);
         CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             UPDATE item SET qty = 100 WHERE qty < 100; RETURN NULL; END $$;
         CREATE TRIGGER a_again AFTER INSERT ON item FOR EACH STATEMENT EXECUTE FUNCTION again();",
        &["item(id)"],
        "INSERT INTO item VALUES (1, 1)",
        &[
            r#"item 1 created {"id": 1, "qty": 1}"#,
            r#"item 1 updated {"qty": 1} -> {"qty": 100}"#,
        ],
    );
}

#[test]
fn a_deferred_constraint_trigger_that_changes_the_row_at_commit_is_seen() {
    tell_in_order(
        ROW_LEVELS,
        "CREATE TABLE item (id int PRIMARY KEY, qty int);
         CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             UPDATE item SET qty = qty + 1000 WHERE id = NEW.id; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER later AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION later();",
        &["item(id)"],
        "BEGIN; INSERT INTO item VALUES (1, 1); UPDATE item SET qty = 2; COMMIT",
        &[
            r#"item 1 created {"id": 1, "qty": 1}"#,
            r#"item 1 updated {"qty": 1} -> {"qty": 2}"#,
            r#"item 1 updated {"qty": 2} -> {"qty": 1002}"#,
        ],
    );
}

#[test]
fn a_trigger_of_one_table_that_writes_another_through_spi_is_seen() {
    tell(
        "CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE trace (id int PRIMARY KEY, what text);
         CREATE FUNCTION trace() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO trace VALUES (coalesce(NEW.id, OLD.id) * 10 + CASE TG_OP WHEN 'INSERT' THEN 1 ELSE 2 END, TG_OP);
             RETURN coalesce(NEW, OLD); END $$;
         CREATE TRIGGER trace BEFORE INSERT OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION trace();",
        &["item(id)", "trace(id)"],
        "INSERT INTO item VALUES (1), (2); DELETE FROM item WHERE id = 1",
        &[
            r#"item 1 created {"id": 1}"#,
            r#"item 2 created {"id": 2}"#,
            r#"item 1 deleted {"id": 1}"#,
            r#"trace 11 created {"id": 11, "what": "INSERT"}"#,
            r#"trace 21 created {"id": 21, "what": "INSERT"}"#,
            r#"trace 12 created {"id": 12, "what": "DELETE"}"#,
        ],
    );
}

#[test]
fn statement_level_is_refused_where_it_would_log_an_effect_before_its_cause() {
    let tables = [
        (NESTED_TRIGGER, "AFTER ROW trigger"),
        (
            "ALTER TABLE item ADD parent int REFERENCES item ON DELETE CASCADE",
            "foreign key",
        ),
    ];
    for (addition, reason) in tables {
        let mut attached = Attached::new(&[NESTED, addition].concat(), &[], "row");
        let refused = attached.session.batch_execute(&format!(
            "SELECT activity.attach('item', tenant_id => '{TENANT}', level => 'statement')"
        ));
        let refusal = expect_error(refused, "22023");
        assert!(refusal.message.contains(reason), "{refusal:?}");
        let triggers =
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'item'::regclass AND tgname LIKE '!%'";
        assert_eq!(attached.session.number(triggers), 0);
    }
}
