//! The log shares the fate of what it tells of: savepoints, errors, prepared transactions, and
//! sessions that pose as replication.

use crate::captured::{
    Attached, LEVELS, assert_replays, attach, changes, count, log_in, start_replay, tell_in_order,
};
use activity_log_integration::{Cluster, Options, Stop, expect_error};

const ITEM: &str =
    "CREATE TABLE item (id int PRIMARY KEY, qty int); INSERT INTO item VALUES (1, 0)";

#[test]
fn what_is_rolled_back_was_never_captured() {
    tell_in_order(
        LEVELS,
        ITEM,
        &["item(id)"],
        "BEGIN; UPDATE item SET qty = 1; SAVEPOINT a; UPDATE item SET qty = 2; SAVEPOINT b;
         INSERT INTO item VALUES (2, 2); ROLLBACK TO a; INSERT INTO item VALUES (3, 3); RELEASE a; COMMIT;
         BEGIN; DELETE FROM item; TRUNCATE item; ROLLBACK;
         DO $$ BEGIN
             BEGIN UPDATE item SET qty = 9; PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END;
             UPDATE item SET qty = 4 WHERE id = 3;
         END $$",
        &[
            r#"item 1 updated {"qty": 0} -> {"qty": 1}"#,
            r#"item 3 created {"id": 3, "qty": 3}"#,
            r#"item 3 updated {"qty": 3} -> {"qty": 4}"#,
        ],
    );
}

#[test]
fn a_statement_that_fails_half_way_leaves_nothing() {
    for level in LEVELS {
        let mut attached = Attached::new(ITEM, &["item(id)"], level);
        let refused = attached.session.batch_execute(
            "INSERT INTO item SELECT n, 1000 / (n - 500) FROM generate_series(2, 1000) n",
        );
        expect_error(refused, "22012");
        let refused = attached
            .session
            .batch_execute("INSERT INTO item VALUES (2, 2), (1, 1)");
        expect_error(refused, "23505");
        assert_eq!(changes(&mut attached.session), [""; 0]);
        attached.run("INSERT INTO item VALUES (2, 2)");
        assert_eq!(changes(&mut attached.session).len(), 1);
        attached.assert_replays();
    }
}

#[test]
fn a_transaction_that_changes_a_row_many_times_is_seen_step_by_step() {
    for level in LEVELS {
        let mut attached = Attached::new(ITEM, &["item(id)"], level);
        attached.run(
            "BEGIN; DO $$ BEGIN FOR n IN 1..300 LOOP UPDATE item SET qty = n WHERE id = 1; END LOOP; END $$;
             DELETE FROM item; INSERT INTO item VALUES (1, -1); COMMIT",
        );
        assert_eq!(count(&mut attached.session, "true"), 302);
        attached.assert_replays();
    }
}

#[test]
fn no_subtransaction_is_spent_on_a_row() {
    for level in LEVELS {
        let mut attached = Attached::new(ITEM, &["item(id)"], level);
        let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
        let before = attached.session.number(next);
        attached.run("INSERT INTO item SELECT n, n FROM generate_series(2, 500) n; UPDATE item SET qty = qty + 1");
        let spent = attached.session.number(next) - before;
        // Other tests of this cluster may take some too.
        assert!(spent < 400, "{spent} transaction ids at {level} level");
    }
}

#[test]
fn prepared_transactions_are_seen_when_they_commit_also_after_a_crash() {
    let cluster = Cluster::start(&Options {
        settings: &[("max_prepared_transactions", "10")],
        ..Options::default()
    });
    for level in LEVELS {
        let database = log_in(&cluster);
        let mut session = database.superuser();
        session.batch_execute(ITEM).unwrap();
        start_replay(&mut session, "item", "id");
        attach(&mut session, "item", &format!(", level => '{level}'"));
        session
            .batch_execute(
                "BEGIN; UPDATE item SET qty = 1; PREPARE TRANSACTION 'kept';
                 BEGIN; INSERT INTO item VALUES (2, 2); PREPARE TRANSACTION 'undone'",
            )
            .unwrap();
        assert_eq!(changes(&mut session), [""; 0]);
        drop(session);
        cluster.restart(Stop::Immediate);
        let mut session = database.superuser();
        session.batch_execute("ROLLBACK PREPARED 'undone'").unwrap();
        session.batch_execute("COMMIT PREPARED 'kept'").unwrap();
        assert_eq!(
            changes(&mut session),
            [r#"item 1 updated {"qty": 0} -> {"qty": 1}"#]
        );
        assert_replays(&mut session, "item", "item");
    }
}

#[test]
fn a_session_in_the_role_of_a_replica_is_captured_once() {
    tell_in_order(
        LEVELS,
        ITEM,
        &["item(id)"],
        "SET session_replication_role = replica;
         INSERT INTO item VALUES (2, 2), (3, 3); UPDATE item SET qty = 5 WHERE id = 1; DELETE FROM item WHERE id = 3;
         TRUNCATE item; INSERT INTO item VALUES (4, 4);
         SET session_replication_role = local; INSERT INTO item VALUES (5, 5);
         RESET session_replication_role; UPDATE item SET qty = 6 WHERE id = 5",
        &[
            r#"item 2 created {"id": 2, "qty": 2}"#,
            r#"item 3 created {"id": 3, "qty": 3}"#,
            r#"item 1 updated {"qty": 0} -> {"qty": 5}"#,
            r#"item 3 deleted {"id": 3, "qty": 3}"#,
            "item - truncated",
            r#"item 4 created {"id": 4, "qty": 4}"#,
            r#"item 5 created {"id": 5, "qty": 5}"#,
            r#"item 5 updated {"qty": 5} -> {"qty": 6}"#,
        ],
    );
}

#[test]
fn capture_needs_no_preloaded_library() {
    let cluster = Cluster::start(&Options {
        preload: false,
        ..Options::default()
    });
    for level in LEVELS {
        let database = log_in(&cluster);
        let mut session = database.superuser();
        session.batch_execute(ITEM).unwrap();
        start_replay(&mut session, "item", "id");
        attach(&mut session, "item", &format!(", level => '{level}'"));
        // The first thing that a new session does is a change; it knows nothing of the log.
        let mut other = database.superuser();
        other
            .batch_execute("UPDATE item SET qty = 1; INSERT INTO item VALUES (2, 2); TRUNCATE item")
            .unwrap();
        assert_eq!(changes(&mut session).len(), 3, "at {level} level");
        assert_replays(&mut session, "item", "item");
    }
}
