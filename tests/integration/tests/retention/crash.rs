//! A crash between any two steps: nothing is lost, nothing happens twice, and the next run finishes.

use super::*;

/// Everything that a run leaves behind.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    attached: Vec<String>,
    tenant_a: i64,
    tenant_b: i64,
    drops: i64,
    ledger: Vec<String>,
    keys: i64,
}

fn outcome(session: &mut Session) -> Outcome {
    Outcome {
        attached: attached(session),
        tenant_a: session.number(&format!("SELECT count(*) FROM activity.events WHERE tenant_id = '{TENANT_A}'")),
        tenant_b: session.number(&format!("SELECT count(*) FROM activity.events WHERE tenant_id = '{TENANT_B}'")),
        drops: system_events(session, "activity.partition.dropped"),
        ledger: session.texts(
            "SELECT concat_ws(' ', partition, state, rows, keys_purged_at IS NOT NULL) FROM activity.partition_ranges ORDER BY 1",
        ),
        keys: session.number("SELECT count(*) FROM activity.idempotency_keys"),
    }
}

fn prepared(cluster: &Cluster) -> Database<'_> {
    let database = log_with_months(cluster, &[3, 14, 15, 16]);
    let mut session = database.superuser();
    keep_for(&mut session, "keep => '1 year'");
    keep_for(
        &mut session,
        &format!("keep => '10 days', tenant_id => '{TENANT_A}'"),
    );
    session
        .batch_execute(&format!(
            "SELECT test.old_month(back, '{{{SYSTEM}}}') FROM generate_series(17, 19) back;
             SELECT activity.setup();
             SELECT activity.hold('{TENANT_B}', 'a case', actor_id => 'u1');
             UPDATE activity.legal_holds SET object_id = 'd1';
             INSERT INTO activity.idempotency_keys SELECT '{TENANT_A}', 'k' || i, gen_random_uuid(), test.month(15) + i * interval '1 hour'
             FROM generate_series(1, 100) i"
        ))
        .unwrap();
    database
}

/// Does some pieces of a run's work, each in its own transaction; whether the run came to its end.
fn advance(session: &mut Session, mut pieces: usize) -> bool {
    session
        .batch_execute("SELECT activity._begin_maintenance()")
        .unwrap();
    for step in session.texts("SELECT unnest(activity._maintenance_steps())") {
        let mut is_first = true;
        loop {
            if pieces == 0 {
                return false;
            }
            pieces -= 1;
            let wait: Option<f64> = session
                .query_one(
                    "SELECT activity._maintain_step($1, $2)",
                    &[&step, &is_first],
                )
                .unwrap()
                .get(0);
            is_first = false;
            if wait.is_none() {
                break;
            }
        }
    }
    true
}

#[test]
fn a_crash_between_any_two_pieces_of_work_is_made_good_by_the_next_run() {
    let cluster = Cluster::start(&QUIET);
    let expected = {
        let database = prepared(&cluster);
        let mut session = database.superuser();
        maintain(&mut session);
        maintain(&mut session);
        outcome(&mut session)
    };
    assert!(expected.drops > 0 && expected.tenant_b > 0, "{expected:?}");
    // One database for each place to stop at, all of them in one crash.
    let mut stops = Vec::new();
    for pieces in 1.. {
        let database = prepared(&cluster);
        if advance(&mut database.superuser(), pieces) {
            break;
        }
        stops.push((pieces, database));
    }
    assert!(stops.len() > 15, "{} places to stop at", stops.len());
    cluster.restart(Stop::Immediate);
    for (pieces, database) in &stops {
        let mut session = database.superuser();
        assert_eq!(maintain(&mut session)["ok"], true, "after {pieces}");
        maintain(&mut session);
        assert_eq!(outcome(&mut session), expected, "after {pieces}");
    }
}

#[test]
fn a_crash_in_the_middle_of_a_piece_of_work_is_made_good_as_well() {
    let cluster = Cluster::start(&QUIET);
    let expected = {
        let database = prepared(&cluster);
        let mut session = database.superuser();
        maintain(&mut session);
        maintain(&mut session);
        outcome(&mut session)
    };
    for round in 0..4 {
        let database = prepared(&cluster);
        std::thread::scope(|scope| {
            let mut session = database.superuser();
            let run = scope.spawn(move || session.simple_query("CALL activity.maintain()").is_ok());
            std::thread::sleep(std::time::Duration::from_millis(7 + 11 * round));
            cluster.restart(Stop::Immediate);
            let _ = run.join().unwrap();
        });
        let mut session = database.superuser();
        assert_eq!(maintain(&mut session)["ok"], true, "round {round}");
        maintain(&mut session);
        assert_eq!(outcome(&mut session), expected, "round {round}");
    }
}
