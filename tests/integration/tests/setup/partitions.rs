//! Partitions and the options that shape them.

use super::*;

#[test]
fn partitions_cover_the_time_from_before_now_to_far_ahead_in_utc() {
    for (interval, premake) in [
        ("1 day", None),
        ("1 week", None),
        ("1 month", None),
        ("3 months", None),
        ("1 year", Some(2)),
        ("1 day", Some(120)),
    ] {
        let database = Cluster::shared().database_before_setup();
        let mut session = database.superuser();
        // Bounds must not follow the clock of whoever sets up.
        session
            .batch_execute("SET timezone = 'Asia/Kolkata'")
            .unwrap();
        let arguments = premake.map_or_else(String::new, |n: i32| format!(", premake => {n}"));
        let call = format!("SELECT activity.setup(partition_interval => '{interval}'{arguments})");
        session.batch_execute(&call).unwrap();
        check_partitions(&mut session, interval, premake.unwrap_or(12));
        record_and_list(&mut session);
    }
}

const BOUNDS: &str = "
    CREATE TEMP TABLE bound AS
    SELECT (regexp_match(b, 'FROM \\(''([^'']+)'))[1]::timestamptz AS lower,
           (regexp_match(b, 'TO \\(''([^'']+)'))[1]::timestamptz AS upper
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid, pg_get_expr(c.relpartbound, c.oid) b
    WHERE i.inhparent = 'activity.events'::regclass";

fn check_partitions(session: &mut Session, interval: &str, premake: i32) {
    session.batch_execute(BOUNDS).unwrap();
    let mut holds = |what: &str, condition: String| {
        let holds = session.text(&format!("SELECT ({condition})::text"));
        assert_eq!(holds.as_deref(), Some("true"), "{interval}: {what}");
    };
    holds(
        "the period before now",
        "EXISTS (SELECT FROM bound WHERE upper <= now())".into(),
    );
    holds(
        "now",
        "EXISTS (SELECT FROM bound WHERE lower <= now() AND upper > now())".into(),
    );
    holds(
        "90 days ahead",
        "(SELECT max(upper) FROM bound) >= now() + interval '90 days'".into(),
    );
    holds(
        "the periods ahead",
        format!("(SELECT max(upper) FROM bound) >= now() + {premake} * interval '{interval}'"),
    );
    holds(
        "no gap and no overlap",
        "NOT EXISTS (SELECT FROM (SELECT lower, lag(upper) OVER (ORDER BY lower) AS before FROM bound) b \
         WHERE before <> lower)"
            .into(),
    );
    holds(
        "midnight in UTC",
        "NOT EXISTS (SELECT FROM bound WHERE (lower AT TIME ZONE 'UTC')::time <> '00:00')".into(),
    );
    holds(
        "the length of the period",
        format!(
            "NOT EXISTS (SELECT FROM bound WHERE upper AT TIME ZONE 'UTC' <> \
             (lower AT TIME ZONE 'UTC') + interval '{interval}')"
        ),
    );
}

#[test]
fn a_bad_option_is_refused_with_advice_and_sets_nothing_up() {
    let database = Cluster::shared().database_before_setup();
    let mut session = database.superuser();
    for interval in [
        "0",
        "-1 month",
        "1 hour",
        "36 hours",
        "1 month 1 day",
        "1 day 1 second",
    ] {
        let call = format!("SELECT activity.setup(partition_interval => '{interval}')");
        let refusal = expect_error(session.simple_query(&call), "22023");
        assert!(
            refusal.message.contains("partition_interval"),
            "{refusal:?}"
        );
        assert!(refusal.hint.contains("'1 month'"), "{refusal:?}");
    }
    for premake in [i32::MIN, -1, 0, 1001, i32::MAX] {
        let call = format!("SELECT activity.setup(premake => {premake})");
        let refusal = expect_error(session.simple_query(&call), "22023");
        assert!(refusal.message.contains("premake"), "{refusal:?}");
    }
    expect_error(
        session.simple_query("SELECT * FROM activity.list()"),
        "55000",
    );
    session
        .batch_execute("SELECT activity.setup(NULL, NULL)")
        .unwrap();
    check_partitions(&mut session, "1 month", 12);
}

#[test]
fn options_that_change_are_kept_and_used() {
    let database = Cluster::shared().database();
    let mut session = database.superuser();
    let said = session
        .text("SELECT activity.setup(premake => 30)")
        .unwrap();
    assert!(said.contains("18 partitions made"), "{said}");
    let said = session.text("SELECT activity.setup()").unwrap();
    assert_eq!(said, "activity_log is already set up");
    check_partitions(&mut session, "1 month", 30);
    // A shorter period begins where the longer ones end.
    session
        .batch_execute("SELECT activity.setup(partition_interval => '1 week')")
        .unwrap();
    session
        .batch_execute("SELECT activity.setup(premake => 200)")
        .unwrap();
    session.batch_execute("DROP TABLE bound").unwrap();
    session.batch_execute(BOUNDS).unwrap();
    let weeks = "SELECT count(*) FROM bound WHERE upper - lower = interval '7 days'";
    assert!(session.number(weeks) > 0);
    record_and_list(&mut session);
}
