//! Partitions ahead of time: never a gap, never an overlap, whatever the clock and the period did.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test panics"
)]

use activity_log_core::retention::{
    Ahead, Bounds, MIN_DAYS_AHEAD, Period, PeriodProblem, partition_name, periods_ahead,
    plan_ahead, required_range,
};
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Utc};
use proptest::prelude::*;

fn day(year: i32, month: u32, day: u32) -> DateTime<Utc> {
    NaiveDate::from_ymd_opt(year, month, day)
        .unwrap()
        .and_time(NaiveTime::MIN)
        .and_utc()
}

fn months(count: i32) -> Period {
    Period::from_interval(count, 0, 0).unwrap()
}

fn days(count: i32) -> Period {
    Period::from_interval(0, count, 0).unwrap()
}

fn bounds(lower: DateTime<Utc>, upper: DateTime<Utc>) -> Bounds {
    Bounds { lower, upper }
}

#[test]
fn only_whole_days_and_months_that_divide_a_year_are_periods() {
    for (parts, problem) in [
        ((0, 0, 0), PeriodProblem::NotPositive),
        ((-1, 0, 0), PeriodProblem::NotPositive),
        ((1, -1, 0), PeriodProblem::NotPositive),
        ((0, 0, 3_600_000_000), PeriodProblem::NotWholeDays),
        ((1, 0, 1), PeriodProblem::NotWholeDays),
        ((1, 1, 0), PeriodProblem::MonthsAndDays),
        ((0, 32, 0), PeriodProblem::TooManyDays),
        ((5, 0, 0), PeriodProblem::UnevenMonths),
        ((24, 0, 0), PeriodProblem::UnevenMonths),
        ((i32::MIN, i32::MIN, i64::MIN), PeriodProblem::NotPositive),
        ((i32::MAX, 0, 0), PeriodProblem::UnevenMonths),
    ] {
        assert_eq!(
            Period::from_interval(parts.0, parts.1, parts.2),
            Err(problem),
            "{parts:?}"
        );
    }
    for count in [1, 2, 3, 4, 6, 12] {
        assert!(Period::from_interval(count, 0, 0).is_ok());
    }
}

#[test]
fn boundaries_are_those_of_the_calendar() {
    let at = day(2026, 11, 21) + chrono::TimeDelta::hours(13);
    for (period, floor, next) in [
        (days(1), day(2026, 11, 21), day(2026, 11, 22)),
        (days(7), day(2026, 11, 16), day(2026, 11, 23)),
        (months(1), day(2026, 11, 1), day(2026, 12, 1)),
        (months(2), day(2026, 11, 1), day(2027, 1, 1)),
        (months(3), day(2026, 10, 1), day(2027, 1, 1)),
        (months(12), day(2026, 1, 1), day(2027, 1, 1)),
    ] {
        assert_eq!(
            (period.floor(at), period.next(at)),
            (floor, next),
            "{period:?}"
        );
        assert_eq!(period.next(floor), next);
    }
    assert_eq!(days(7).floor(at).weekday(), chrono::Weekday::Mon);
    assert_eq!(days(7).floor(day(1900, 1, 3)), day(1900, 1, 1));
}

#[test]
fn the_first_plan_covers_the_period_before_and_those_ahead() {
    let now = day(2026, 11, 21);
    let plan = plan_ahead(now, months(1), 12, &[]);
    assert_eq!(
        plan.first(),
        Some(&bounds(day(2026, 10, 1), day(2026, 11, 1)))
    );
    assert_eq!(
        plan.last(),
        Some(&bounds(day(2027, 11, 1), day(2027, 12, 1)))
    );
    assert_eq!(plan.len(), 14);
    assert_eq!(plan_ahead(now, days(1), 2, &[]).len(), 1 + 1 + 90 - 1);
}

#[test]
fn a_new_period_starts_where_the_last_partition_ends() {
    let now = day(2026, 11, 21);
    let existing = [bounds(day(2026, 10, 1), day(2027, 2, 10))];
    let plan = plan_ahead(now, months(3), 1, &existing);
    assert_eq!(
        plan,
        [
            bounds(day(2026, 7, 1), day(2026, 10, 1)),
            bounds(day(2027, 2, 10), day(2027, 4, 1))
        ]
    );
}

#[test]
fn a_hole_between_partitions_is_filled() {
    let now = day(2026, 11, 21);
    let mut existing = plan_ahead(now, months(1), 6, &[]);
    let removed = existing.remove(3);
    assert_eq!(plan_ahead(now, months(1), 6, &existing), [removed]);
}

#[test]
fn names_tell_the_start() {
    for (lower, period, name) in [
        (day(2026, 11, 1), months(1), "events_p2026_11"),
        (day(2026, 11, 1), days(1), "events_p2026_11_01"),
        (day(2026, 11, 21), days(7), "events_p2026_11_21"),
        (day(2026, 11, 21), months(1), "events_p2026_11_21"),
        (
            day(2026, 11, 1) + chrono::TimeDelta::hours(1),
            months(1),
            "events_p2026_11_01_03600000000",
        ),
    ] {
        assert_eq!(
            partition_name(bounds(lower, period.next(lower)), period),
            name
        );
    }
}

#[test]
fn coverage_ahead_ends_at_the_first_gap() {
    let now = day(2026, 11, 21);
    let mut existing = plan_ahead(now, months(1), 6, &[]);
    assert_eq!(
        periods_ahead(now, &existing),
        Ahead {
            until: day(2027, 6, 1),
            partitions: 6
        }
    );
    existing.remove(4);
    assert_eq!(
        periods_ahead(now, &existing),
        Ahead {
            until: day(2027, 2, 1),
            partitions: 2
        }
    );
    existing.remove(1);
    assert_eq!(
        periods_ahead(now, &existing),
        Ahead {
            until: now,
            partitions: 0
        }
    );
}

#[test]
fn nothing_panics_at_the_ends_of_time() {
    for now in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        for period in [days(1), days(7), days(31), months(1), months(12)] {
            let existing = [bounds(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC)];
            assert_eq!(plan_ahead(now, period, u32::MAX, &existing), []);
            let plan = plan_ahead(now, period, 5, &[]);
            assert!(plan.iter().all(|one| one.lower < one.upper));
            assert!(
                plan.iter()
                    .all(|one| !partition_name(*one, period).is_empty())
            );
            let _ = periods_ahead(now, &plan);
            let _ = (period.floor(now), period.next(now));
        }
    }
}

#[test]
fn an_absurd_wish_is_cut() {
    assert_eq!(
        plan_ahead(day(2026, 1, 1), days(1), u32::MAX, &[]).len(),
        1_002
    );
}

fn any_period() -> impl Strategy<Value = Period> {
    prop_oneof![
        (1..=31).prop_map(days),
        prop::sample::select(vec![1, 2, 3, 4, 6, 12]).prop_map(months)
    ]
}

/// A moment of a life of the log: the clock, the period then, and whether the plan was carried out
/// in part only.
fn moments() -> impl Strategy<Value = Vec<(i64, Period, u32, usize)>> {
    let moment = (0..3_000_i64 * 86_400, any_period(), 0..20_u32, 0..100_usize);
    prop::collection::vec(moment, 0..6)
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_500_000_000 + seconds, 123_456_000).unwrap()
}

/// Partitions left behind by earlier plans, some of which were dropped meanwhile.
fn lived(moments: &[(i64, Period, u32, usize)]) -> Vec<Bounds> {
    let mut existing: Vec<Bounds> = Vec::new();
    for (seconds, period, premake, dropped) in moments {
        let plan = plan_ahead(at(*seconds), *period, *premake, &existing);
        existing.extend(plan);
        if *dropped < existing.len() {
            existing.remove(*dropped);
        }
    }
    existing
}

fn assert_no_overlap(partitions: &[Bounds]) {
    let mut sorted = partitions.to_vec();
    sorted.sort_unstable();
    assert!(sorted.iter().all(|one| one.lower < one.upper));
    assert!(sorted.windows(2).all(|pair| pair[0].upper <= pair[1].lower));
}

fn is_covered(range: Bounds, partitions: &[Bounds]) -> bool {
    let mut sorted = partitions.to_vec();
    sorted.sort_unstable();
    let mut covered = range.lower;
    for one in sorted {
        if one.lower <= covered {
            covered = covered.max(one.upper);
        }
    }
    covered >= range.upper
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_plan_leaves_no_gap_and_overlaps_nothing(
        life in moments(), seconds in 0..6_000_i64 * 86_400, period in any_period(), premake in 0..20_u32,
    ) {
        let (now, mut partitions) = (at(seconds), lived(&life));
        let plan = plan_ahead(now, period, premake, &partitions);
        partitions.extend(&plan);
        assert_no_overlap(&partitions);
        let range = required_range(now, period, premake);
        prop_assert!(is_covered(range, &partitions));
        prop_assert!(range.lower <= period.floor(now) - Days::new(1));
        prop_assert!(range.upper >= now + Days::new(MIN_DAYS_AHEAD));
        prop_assert!(periods_ahead(now, &partitions).until >= range.upper);
        prop_assert_eq!(plan_ahead(now, period, premake, &partitions), []);
    }

    #[test]
    fn planned_bounds_are_midnights_and_names_are_unique_and_sort_by_time(
        life in moments(), seconds in 0..6_000_i64 * 86_400, period in any_period(),
    ) {
        let plan = plan_ahead(at(seconds), period, 12, &lived(&life));
        for one in &plan {
            prop_assert_eq!((one.lower.time(), one.upper.time()), (NaiveTime::MIN, NaiveTime::MIN));
            prop_assert!(one.upper <= period.next(one.lower));
        }
        let names: Vec<String> = plan.iter().map(|one| partition_name(*one, period)).collect();
        prop_assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", names);
    }

    #[test]
    fn bounds_that_no_plan_made_are_respected(
        starts in prop::collection::vec((0..900_000_i64, 1..90_000_i64), 0..8), period in any_period(),
    ) {
        let mut partitions: Vec<Bounds> = Vec::new();
        let mut last = 0;
        for (pause, length) in starts {
            partitions.push(bounds(at(last + pause), at(last + pause + length)));
            last += pause + length;
        }
        let now = at(last / 2);
        partitions.extend(plan_ahead(now, period, 3, &partitions));
        assert_no_overlap(&partitions);
        prop_assert!(is_covered(required_range(now, period, 3), &partitions));
    }

    #[test]
    fn a_time_lies_between_its_floor_and_the_next_boundary(seconds in -80_000_000_000..80_000_000_000_i64, period in any_period()) {
        let now = DateTime::from_timestamp(seconds, 0).unwrap();
        let (floor, next) = (period.floor(now), period.next(now));
        prop_assert!(floor <= now && now < next);
        prop_assert_eq!((period.floor(floor), period.next(floor), period.floor(next)), (floor, next, next));
    }
}
