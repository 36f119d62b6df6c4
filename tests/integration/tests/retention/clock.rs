//! Years of service: a log in which every month of two years lies, seen from today.

use super::*;

#[test]
fn after_years_exactly_the_months_that_are_kept_are_there() {
    let months: Vec<i32> = (2..30).collect();
    let database = log_with_months(quiet_cluster(), &months);
    let mut session = database.superuser();
    keep_for(&mut session, "keep => '1 year'");
    // A year and a half without any run, then one.
    assert_eq!(maintain(&mut session)["ok"], true);
    let wrong = session.number(
        "SELECT count(*) FROM generate_series(2, 29) back \
         WHERE (to_regclass('activity.' || test.name(back)) IS NOT NULL) <> (test.month(back - 1) > now() - interval '1 year')",
    );
    assert_eq!(wrong, 0);
    let gaps = session.number(
        "SELECT count(*) FROM (SELECT lower_bound, lag(upper_bound) OVER (ORDER BY lower_bound) AS before FROM activity.partitions) p \
         WHERE before <> lower_bound",
    );
    assert_eq!(gaps, 0);
    let young = session.number(&format!(
        "SELECT count(*) FROM generate_series(2, 29) back, LATERAL (SELECT count(*) AS n FROM activity.events \
         WHERE tenant_id = '{TENANT_A}' AND recorded_at >= test.month(back) AND recorded_at < test.month(back - 1)) c \
         WHERE test.month(back - 1) > now() - interval '1 year' AND n < 28"
    ));
    assert_eq!(young, 0, "no month that is kept has lost a day");
}
