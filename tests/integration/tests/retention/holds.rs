//! Legal holds: nothing under hold goes, whatever comes first.

use super::*;

fn hold(session: &mut Session, arguments: &str) -> String {
    session
        .text(&format!("SELECT activity.hold({arguments})::text"))
        .unwrap()
}

#[test]
fn nothing_of_a_tenant_an_actor_or_an_object_under_hold_goes() {
    for (arguments, condition) in [
        (
            format!("'{TENANT_A}', 'a case'"),
            format!("tenant_id = '{TENANT_A}'"),
        ),
        (
            format!("'{TENANT_A}', 'a case', actor_id => 'u1'"),
            format!("tenant_id = '{TENANT_A}' AND actor_id = 'u1'"),
        ),
        (
            "NULL, 'a case', actor_id => 'u1'".into(),
            "actor_id = 'u1'".into(),
        ),
        (
            format!(
                "tenant_id => '{TENANT_B}', reason => 'a case', object_type => 'doc', object_id => 'd2'"
            ),
            format!("tenant_id = '{TENANT_B}' AND object_type = 'doc' AND object_id = 'd2'"),
        ),
    ] {
        let database = log_with_months(quiet_cluster(), &[14]);
        let mut session = database.superuser();
        let old = format!(
            "SELECT count(*) FROM activity.events WHERE recorded_at < test.month(12) AND {condition}"
        );
        let held = session.number(&old);
        assert!(held > 0);
        let id = hold(&mut session, &arguments);
        keep_for(&mut session, "keep => '1 year'");
        assert_eq!(maintain(&mut session)["ok"], true);
        assert_eq!(session.number(&old), held, "{arguments}");
        let all = session
            .number("SELECT count(*) FROM activity.events WHERE recorded_at < test.month(12)");
        assert_eq!(all, held, "what is not held goes: {arguments}");
        maintain(&mut session);
        let kept = session
            .texts("SELECT state FROM activity.partitions WHERE upper_bound <= test.month(12)");
        assert!(kept.contains(&"held".to_owned()), "{kept:?}");
        assert!(advice(&mut session, "partitions kept by a hold").is_some());

        session
            .batch_execute(&format!("SELECT activity.release_hold('{id}', 'settled')"))
            .unwrap();
        assert_eq!(maintain(&mut session)["ok"], true);
        let all = session
            .number("SELECT count(*) FROM activity.events WHERE recorded_at < test.month(12)");
        assert_eq!(all, 0, "{arguments}");
        assert_eq!(advice(&mut session, "partitions kept by a hold"), None);
    }
}

#[test]
fn a_hold_also_keeps_rows_that_a_tenants_shorter_policy_would_remove() {
    let database = log_with_months(quiet_cluster(), &[3]);
    let mut session = database.superuser();
    hold(
        &mut session,
        &format!("'{TENANT_A}', 'a case', actor_id => 'u2'"),
    );
    let held = format!(
        "SELECT count(*) FROM activity.events WHERE tenant_id = '{TENANT_A}' AND recorded_at < test.month(1) AND actor_id = 'u2'"
    );
    let before = session.number(&held);
    keep_for(
        &mut session,
        &format!("keep => '10 days', tenant_id => '{TENANT_A}'"),
    );
    maintain(&mut session);
    assert_eq!(session.number(&held), before);
    assert_eq!(count(&mut session, TENANT_A, 3), before);
}

#[test]
fn holds_and_releases_are_events_with_their_reason() {
    let database = quiet_cluster().database();
    let admin = database.create_login(&["activity_admin"]);
    let mut session = database.connect_as(&admin);
    let id = hold(&mut session, &format!("'{TENANT_A}', 'case 4711'"));
    let released = format!("SELECT activity.release_hold('{id}', 'settled')::text");
    assert_eq!(session.text(&released).as_deref(), Some("true"));
    assert_eq!(session.text(&released).as_deref(), Some("false"));
    let told = session.texts(&format!(
        "SELECT action || ' ' || (metadata ->> 'reason') FROM activity.list(tenant_id => '{SYSTEM}', action => 'activity.hold.*')"
    ));
    assert_eq!(
        told,
        [
            "activity.hold.released settled",
            "activity.hold.placed case 4711"
        ]
    );
    let who = session.text("SELECT placed_by || ' ' || released_by FROM activity.legal_holds");
    assert_eq!(who, Some(format!("{admin} {admin}")));
}

#[test]
fn a_hold_without_a_reason_or_an_aim_is_refused() {
    let database = quiet_cluster().database();
    let mut session = database.superuser();
    for call in [
        format!("activity.hold('{TENANT_A}')"),
        format!("activity.hold('{TENANT_A}', '')"),
        "activity.hold(reason => 'a case')".to_owned(),
        "activity.hold(NULL, 'a case', '', '', '')".to_owned(),
        "activity.release_hold(NULL, 'x')".to_owned(),
        format!("activity.release_hold('{TENANT_A}')"),
    ] {
        expect_error(session.simple_query(&format!("SELECT {call}")), "22004");
    }
    let unknown = format!("SELECT activity.release_hold('{TENANT_A}', 'settled')");
    expect_error(session.simple_query(&unknown), "42704");
    let auditor = database.create_login(&["activity_auditor"]);
    let refused = database
        .connect_as(&auditor)
        .simple_query(&format!("SELECT activity.hold('{TENANT_A}', 'a case')"));
    expect_error(refused, "42501");
}

/// Steps of a run, one by one, as `maintain()` takes them.
fn step_until(session: &mut Session, last: &str) {
    session
        .batch_execute("SELECT activity._begin_maintenance()")
        .unwrap();
    for step in session.texts("SELECT unnest(activity._maintenance_steps())") {
        if step == last {
            return;
        }
        run_step(session, &step);
    }
}

fn run_step(session: &mut Session, step: &str) {
    let mut is_first = true;
    while session
        .query_one(
            "SELECT activity._maintain_step($1, $2)",
            &[&step, &is_first],
        )
        .unwrap()
        .get::<_, Option<f64>>(0)
        .is_some()
    {
        is_first = false;
    }
}

#[test]
fn a_hold_that_comes_after_the_decision_is_still_in_time() {
    for stop_before in ["detach", "drop"] {
        let database = log_with_months(quiet_cluster(), &[14]);
        let mut session = database.superuser();
        keep_for(&mut session, "keep => '1 year'");
        let before = count(&mut session, TENANT_A, 14);
        step_until(&mut session, stop_before);
        hold(
            &mut database.superuser(),
            &format!("'{TENANT_A}', 'in the last moment'"),
        );
        for step in ["detach", "drop"] {
            run_step(&mut session, step);
        }
        assert_eq!(
            count(&mut session, TENANT_A, 14),
            before,
            "before {stop_before}"
        );
        session
            .batch_execute("SELECT activity._end_maintenance()")
            .unwrap();
        assert_eq!(maintain(&mut session)["ok"], true);
        assert_eq!(count(&mut session, TENANT_A, 14), before);
        assert_eq!(count(&mut session, TENANT_B, 14), 0);
    }
}

#[test]
fn a_hold_that_is_not_committed_yet_makes_the_drop_wait() {
    let database = log_with_months(quiet_cluster(), &[14]);
    let mut session = database.superuser();
    keep_for(&mut session, "keep => '1 year'");
    let before = count(&mut session, TENANT_A, 14);
    step_until(&mut session, "drop");
    assert!(!is_attached(&mut session, 14));
    let mut lawyer = database.superuser();
    let mut transaction = lawyer.transaction().unwrap();
    transaction
        .batch_execute(&format!("SELECT activity.hold('{TENANT_A}', 'a case')"))
        .unwrap();
    run_step(&mut session, "drop");
    assert_eq!(
        state(&mut session, 14).as_deref(),
        Some("detached"),
        "it gave up"
    );
    transaction.commit().unwrap();
    run_step(&mut session, "drop");
    session
        .batch_execute("SELECT activity._end_maintenance()")
        .unwrap();
    maintain(&mut session);
    assert_eq!(count(&mut session, TENANT_A, 14), before);
}

#[test]
fn holds_and_drops_at_the_same_time_lose_nothing() {
    for round in 0..6 {
        let database = log_with_months(quiet_cluster(), &[14, 15, 16]);
        let mut session = database.superuser();
        keep_for(&mut session, "keep => '1 year'");
        let before = count(&mut session, TENANT_A, 15);
        let placed = std::thread::scope(|scope| {
            let lawyer = scope.spawn(|| {
                let mut lawyer = database.superuser();
                std::thread::sleep(std::time::Duration::from_millis(round * 12));
                lawyer
                    .batch_execute(&format!("SELECT activity.hold('{TENANT_A}', 'a case')"))
                    .unwrap();
                // What is there when the hold is placed must stay.
                lawyer.number(
                    "SELECT count(*) FROM activity.partitions WHERE partition = test.name(15)",
                )
            });
            let run = scope.spawn(|| maintain(&mut database.superuser()));
            run.join().unwrap();
            lawyer.join().unwrap()
        });
        maintain(&mut session);
        let left = count(&mut session, TENANT_A, 15);
        let was_there = placed == 1;
        assert_eq!(left, if was_there { before } else { 0 }, "round {round}");
    }
}
