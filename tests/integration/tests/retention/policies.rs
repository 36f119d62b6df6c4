//! How long events are kept, by default, tenant, category and action.

use super::*;

#[test]
fn without_a_policy_nothing_ever_goes() {
    let database = log_with_months(quiet_cluster(), &[30, 120]);
    let mut session = database.superuser();
    assert_eq!(maintain(&mut session)["ok"], true);
    assert!(is_attached(&mut session, 120));
    assert!(
        session
            .texts("SELECT partition FROM activity.retention_preview()")
            .is_empty()
    );
}

#[test]
fn a_preset_drops_what_is_older_and_nothing_younger() {
    for (preset, gone, kept) in [("hipaa", 74, 71), ("soc2", 14, 11), ("pci", 14, 11)] {
        let database = log_with_months(quiet_cluster(), &[gone, kept]);
        let mut session = database.superuser();
        keep_for(&mut session, &format!("preset => '{preset}'"));
        assert_eq!(maintain(&mut session)["ok"], true);
        assert!(!is_attached(&mut session, gone), "{preset}");
        assert!(is_attached(&mut session, kept), "{preset}");
        assert_eq!(system_events(&mut session, "activity.partition.dropped"), 1);
    }
}

#[test]
fn a_partition_stays_until_its_youngest_event_is_old_enough() {
    let database = log_with_months(quiet_cluster(), &[12, 13]);
    let mut session = database.superuser();
    // The month of a year ago ends less than a year ago.
    keep_for(&mut session, "keep => '1 year'");
    maintain(&mut session);
    assert!(is_attached(&mut session, 12));
    assert!(!is_attached(&mut session, 13) || day_of_month(&mut session) == 1);
}

fn day_of_month(session: &mut Session) -> i64 {
    session.number("SELECT extract(day FROM now() AT TIME ZONE 'UTC')::bigint")
}

#[test]
fn a_shorter_policy_of_a_tenant_removes_its_rows_and_only_these() {
    let database = log_with_months(quiet_cluster(), &[2, 3]);
    let mut session = database.superuser();
    let before = [
        count(&mut session, TENANT_B, 2),
        count(&mut session, TENANT_B, 3),
    ];
    keep_for(&mut session, "keep => '1 year'");
    keep_for(
        &mut session,
        &format!("keep => '75 days', tenant_id => '{TENANT_A}'"),
    );
    assert_eq!(maintain(&mut session)["ok"], true);
    assert_eq!(count(&mut session, TENANT_A, 3), 0);
    // Between the months lies the boundary: rows go at their own time.
    let left = session.number(&format!(
        "SELECT count(*) FROM activity.events WHERE tenant_id = '{TENANT_A}' AND recorded_at < now() - interval '75 days 1 hour'"
    ));
    assert_eq!(left, 0);
    let young = session.number(&format!(
        "SELECT count(*) FROM activity.events WHERE tenant_id = '{TENANT_A}' AND recorded_at > now() - interval '74 days'"
    ));
    assert!(young > 0, "what is younger stays");
    assert_eq!(
        [
            count(&mut session, TENANT_B, 2),
            count(&mut session, TENANT_B, 3)
        ],
        before
    );
}

#[test]
fn a_longer_policy_of_an_action_keeps_its_events_beyond_the_default() {
    let database = log_with_months(quiet_cluster(), &[14]);
    let mut session = database.superuser();
    let logins = session.number("SELECT count(*) FROM activity.events WHERE action = 'auth.login'");
    keep_for(&mut session, "keep => '1 year'");
    keep_for(&mut session, "keep => '7 years', action => 'auth.*'");
    assert_eq!(maintain(&mut session)["ok"], true);
    let left = session
        .texts("SELECT DISTINCT action FROM activity.events WHERE recorded_at < test.month(12)");
    assert_eq!(left, ["auth.login"]);
    assert_eq!(
        session.number("SELECT count(*) FROM activity.events WHERE action = 'auth.login'"),
        logins
    );
}

#[test]
fn a_category_and_what_the_registry_says_of_an_action_count_as_well() {
    let database = log_with_months(quiet_cluster(), &[14]);
    let mut session = database.superuser();
    session
        .batch_execute(
            "SELECT activity.register_action('auth.login', category => 'security');
             SELECT activity.register_action('doc.read', keep => '3 years')",
        )
        .unwrap();
    let before = count(&mut session, TENANT_A, 14);
    keep_for(&mut session, "keep => '1 year'");
    keep_for(&mut session, "keep => '7 years', category => 'security'");
    maintain(&mut session);
    assert_eq!(
        count(&mut session, TENANT_A, 14),
        before,
        "both actions are kept for longer"
    );
    session
        .batch_execute("SELECT activity.register_action('doc.read', keep => '30 days')")
        .unwrap();
    maintain(&mut session);
    let left = session
        .texts("SELECT DISTINCT action FROM activity.events WHERE recorded_at < test.month(12)");
    assert_eq!(left, ["auth.login"]);
}

#[test]
fn the_longest_of_several_policies_wins() {
    let database = log_with_months(quiet_cluster(), &[14]);
    let mut session = database.superuser();
    keep_for(&mut session, "keep => '1 year'");
    keep_for(
        &mut session,
        &format!("keep => '30 days', tenant_id => '{TENANT_A}'"),
    );
    keep_for(&mut session, "keep => '5 years', action => 'auth.login'");
    maintain(&mut session);
    let left = session.texts(&format!(
        "SELECT DISTINCT action FROM activity.events WHERE tenant_id = '{TENANT_A}' AND recorded_at < test.month(12)"
    ));
    assert_eq!(left, ["auth.login"]);
}

#[test]
fn making_it_shorter_says_what_would_go_and_wants_a_confirmation() {
    let database = log_with_months(quiet_cluster(), &[3, 14]);
    let mut session = database.superuser();
    session
        .batch_execute("SELECT activity.set_retention(keep => '7 years')")
        .unwrap();
    let call = "SELECT activity.set_retention(keep => '1 year')";
    let refusal = expect_error(session.simple_query(call), "22023");
    assert!(refusal.hint.contains("confirm => true"), "{refusal:?}");
    let detail: Value = serde_json::from_str(&refusal.detail).unwrap();
    let name = name_of(&mut session, 14);
    assert_eq!(
        detail["partitions"][0]["partition"],
        name.as_str(),
        "{detail}"
    );
    assert_eq!(
        detail["removes"].as_i64().unwrap(),
        count(&mut session, TENANT_A, 14) + count(&mut session, TENANT_B, 14)
    );
    maintain(&mut session);
    assert!(is_attached(&mut session, 14), "nothing was changed");

    // Also where nothing would go at once, and for a tenant.
    for call in [
        "SELECT activity.set_retention(keep => '6 years')".to_owned(),
        format!("SELECT activity.set_retention(keep => '6 years', tenant_id => '{TENANT_A}')"),
        "SELECT activity.set_retention(preset => 'soc2', confirm => false)".to_owned(),
        "SELECT activity.set_retention(preset => 'soc2', confirm => NULL)".to_owned(),
    ] {
        expect_error(session.simple_query(&call), "22023");
    }
    // Longer needs none.
    session
        .batch_execute("SELECT activity.set_retention(keep => '8 years'); SELECT activity.set_retention(preset => 'forever')")
        .unwrap();
    expect_error(
        session.simple_query("SELECT activity.set_retention(preset => 'hipaa')"),
        "22023",
    );
    assert_eq!(system_events(&mut session, "activity.retention.changed"), 3);
}

#[test]
fn a_first_policy_needs_a_confirmation_only_where_something_goes_at_once() {
    let database = log_with_months(quiet_cluster(), &[3]);
    let mut session = database.superuser();
    session
        .batch_execute("SELECT activity.set_retention(keep => '1 year')")
        .unwrap();
    let database = log_with_months(quiet_cluster(), &[14]);
    let mut session = database.superuser();
    expect_error(
        session.simple_query("SELECT activity.set_retention(keep => '1 year')"),
        "22023",
    );
}

#[test]
fn the_preview_is_what_the_next_run_does() {
    let database = log_with_months(quiet_cluster(), &[3, 14]);
    let mut session = database.superuser();
    keep_for(&mut session, "keep => '1 year'");
    keep_for(
        &mut session,
        &format!("keep => '20 days', tenant_id => '{TENANT_A}'"),
    );
    session
        .batch_execute(&format!(
            "SELECT activity.hold('{TENANT_B}', 'a case', actor_id => 'u1')"
        ))
        .unwrap();
    let planned = session.number("SELECT sum(removes)::bigint FROM activity.retention_preview()");
    let of_tenants = |session: &mut Session| {
        session.number(&format!(
            "SELECT count(*) FROM activity.events WHERE tenant_id IN ('{TENANT_A}', '{TENANT_B}')"
        ))
    };
    let before = of_tenants(&mut session);
    let auditor = database.create_login(&["activity_auditor"]);
    let seen = database
        .connect_as(&auditor)
        .number("SELECT count(*) FROM activity.retention_preview() WHERE held > 0");
    assert_eq!(seen, 1);
    assert_eq!(maintain(&mut session)["ok"], true);
    assert_eq!(before - of_tenants(&mut session), planned);
    let left = session
        .number("SELECT coalesce(sum(removes), 0)::bigint FROM activity.retention_preview()");
    assert_eq!(left, 0);
}

#[test]
fn removal_goes_past_the_guards_in_batches_and_leaves_them_in_place() {
    let database = log_with_months(quiet_cluster(), &[]);
    let mut session = database.superuser();
    // Some 30,000 rows: more than the pages that one transaction goes through.
    session
        .batch_execute(&format!(
            "SELECT test.old_month(3, '{{{TENANT_A},{TENANT_B}}}', 500); SELECT activity.setup()"
        ))
        .unwrap();
    let other = count(&mut session, TENANT_B, 3);
    // Fewer than those that stay: they are deleted where they are.
    keep_for(
        &mut session,
        &format!("keep => '10 days', tenant_id => '{TENANT_A}', action => 'doc.*'"),
    );
    assert_eq!(maintain(&mut session)["ok"], true);
    let removed = session
        .text("SELECT detail ->> 'removed' FROM activity.maintenance_log WHERE step = 'expire' AND outcome = 'done'");
    let removed = removed.unwrap();
    assert!(removed.parse::<i64>().unwrap() > 7_000);
    // The log tells that something has left it.
    let told = session.texts(
        "SELECT metadata ->> 'removed' FROM activity.events WHERE action = 'activity.events.removed'",
    );
    assert_eq!(told, [removed]);
    let left = session.texts(&format!(
        "SELECT DISTINCT action FROM activity.events WHERE tenant_id = '{TENANT_A}'"
    ));
    assert_eq!(left, ["auth.login"]);
    assert_eq!(count(&mut session, TENANT_B, 3), other);
    let delete = format!("DELETE FROM activity.events WHERE tenant_id = '{TENANT_B}'");
    expect_error(session.simple_query(&delete), "42501");
    let partition = name_of(&mut session, 3);
    expect_error(
        session.simple_query(&format!("DELETE FROM activity.{partition}")),
        "42501",
    );
    expect_error(
        session.simple_query(&format!("TRUNCATE activity.{partition}")),
        "42501",
    );
}

#[test]
fn a_policy_that_makes_no_sense_is_refused() {
    let database = quiet_cluster().database();
    let mut session = database.superuser();
    for (arguments, state, word) in [
        ("", "22004", "keep"),
        ("keep => '0 days'", "22023", "positive"),
        ("keep => '-1 year'", "22023", "positive"),
        ("keep => '1 year -1 day'", "22023", "positive"),
        ("preset => 'gdpr'", "22023", "preset"),
        ("preset => 'soc2', keep => '1 year'", "22023", "preset"),
        (
            "keep => '1 year', category => 'a', action => 'a.b'",
            "22023",
            "category",
        ),
        ("keep => '1 year', action => 'NoAction'", "22023", "action"),
        (
            "keep => '1 year', online => '1 month'",
            "22023",
            "archive_to",
        ),
        (
            "keep => '1 year', archive_to => 'relative/path'",
            "22023",
            "archive_to",
        ),
    ] {
        let call = format!("SELECT activity.set_retention({arguments})");
        let refusal = expect_error(session.simple_query(&call), state);
        assert!(refusal.message.contains(word), "{arguments}: {refusal:?}");
    }
    let writer = database.create_login(&["activity_writer", "activity_reader", "activity_auditor"]);
    let refused = database
        .connect_as(&writer)
        .simple_query("SELECT activity.set_retention(keep => '1 year')");
    expect_error(refused, "42501");
    assert_eq!(
        session.number("SELECT count(*) FROM activity.retention_policies"),
        0
    );
}

#[test]
fn a_policy_can_be_taken_away_again() {
    let database = log_with_months(quiet_cluster(), &[3]);
    let mut session = database.superuser();
    keep_for(&mut session, "keep => '1 year'");
    keep_for(
        &mut session,
        &format!("keep => '9 years', tenant_id => '{TENANT_A}'"),
    );
    let call =
        format!("SELECT activity.set_retention(preset => 'none', tenant_id => '{TENANT_A}')");
    expect_error(session.simple_query(&call), "22023");
    keep_for(
        &mut session,
        &format!("preset => 'none', tenant_id => '{TENANT_A}'"),
    );
    assert_eq!(
        session.number("SELECT count(*) FROM activity.retention_policies"),
        1
    );
}

#[test]
fn a_policy_shorter_than_a_period_empties_the_last_one_and_drops_it_later() {
    let database = quiet_cluster().database();
    let mut session = database.superuser();
    session.batch_execute(OLD_MONTH).unwrap();
    session
        .batch_execute(&format!(
            "SELECT test.fill(test.month(1), test.month(0), '{{{TENANT_A}}}')"
        ))
        .unwrap();
    keep_for(&mut session, "keep => '1 hour'");
    maintain(&mut session);
    // It has to be there for a clock that is set back, so it is emptied.
    assert_eq!(count(&mut session, TENANT_A, 1), 0);
    assert!(is_attached(&mut session, 1));
}
