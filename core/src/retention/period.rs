//! Which partitions must exist. The time is always an argument.

use std::fmt;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Utc};

/// The coverage that must exist ahead, whatever the period: a quarter without any upkeep.
pub const MIN_DAYS_AHEAD: u64 = 90;
/// Most periods made ahead; a larger wish is cut to it.
pub const MAX_PREMAKE: u32 = 1_000;

/// The Monday from which periods of days are counted, so that 7 days are weeks from Monday.
const FIRST_MONDAY: NaiveDate = match NaiveDate::from_ymd_opt(1970, 1, 5) {
    Some(date) => date,
    None => NaiveDate::MIN,
};

/// The length of a partition: 1 to 31 days, or 1, 2, 3, 4, 6 or 12 months.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(Length);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Days(i64),
    Months(u32),
}

/// Why an interval is no period of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeriodProblem {
    /// Zero or less.
    NotPositive,
    /// It has a part below a day.
    NotWholeDays,
    /// Months and days together have no fixed boundaries.
    MonthsAndDays,
    /// More than 31 days.
    TooManyDays,
    /// Months that do not divide a year.
    UnevenMonths,
}

impl fmt::Display for PeriodProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotPositive => "partition interval must be positive",
            Self::NotWholeDays => "partition interval must be of whole days or months",
            Self::MonthsAndDays => "partition interval must be of days or of months, not of both",
            Self::TooManyDays => "partition interval in days must be at most 31 days",
            Self::UnevenMonths => "partition interval in months must be 1, 2, 3, 4, 6 or 12 months",
        })
    }
}

impl std::error::Error for PeriodProblem {}

/// The range of one partition in UTC, `upper` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bounds {
    /// The first instant inside.
    pub lower: DateTime<Utc>,
    /// The first instant after it.
    pub upper: DateTime<Utc>,
}

/// How far partitions reach ahead without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// The end of the coverage; the time itself if no partition holds it.
    pub until: DateTime<Utc>,
    /// Partitions of the coverage that lie fully in the future.
    pub partitions: usize,
}

impl Period {
    /// Reads the three parts in which PostgreSQL keeps an `interval`.
    ///
    /// # Errors
    /// See [`PeriodProblem`].
    pub fn from_interval(months: i32, days: i32, microseconds: i64) -> Result<Self, PeriodProblem> {
        if months < 0 || days < 0 || microseconds < 0 || (months, days, microseconds) == (0, 0, 0) {
            return Err(PeriodProblem::NotPositive);
        }
        match (months, days) {
            _ if microseconds != 0 => Err(PeriodProblem::NotWholeDays),
            (0, 1..=31) => Ok(Self(Length::Days(i64::from(days)))),
            (0, _) => Err(PeriodProblem::TooManyDays),
            (1 | 2 | 3 | 4 | 6 | 12, 0) => Ok(Self(Length::Months(months.unsigned_abs()))),
            (_, 0) => Err(PeriodProblem::UnevenMonths),
            _ => Err(PeriodProblem::MonthsAndDays),
        }
    }

    /// The boundary at or before `at`: a UTC midnight.
    #[must_use]
    pub fn floor(self, at: DateTime<Utc>) -> DateTime<Utc> {
        midnight(self.floor_date(at.date_naive()).unwrap_or(NaiveDate::MIN))
    }

    /// The first boundary after `start`: a UTC midnight, or the last instant that can be told
    /// where there is none.
    #[must_use]
    pub fn next(self, start: DateTime<Utc>) -> DateTime<Utc> {
        self.checked_next(start).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn checked_next(self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let date = at.date_naive();
        let next = match self.0 {
            Length::Days(days) => {
                let rest = days - day_number(date).rem_euclid(days);
                date.checked_add_days(Days::new(rest.unsigned_abs()))?
            }
            Length::Months(months) => self
                .floor_date(date)?
                .checked_add_months(chrono::Months::new(months))?,
        };
        Some(midnight(next))
    }

    fn floor_date(self, date: NaiveDate) -> Option<NaiveDate> {
        match self.0 {
            Length::Days(days) => {
                let past = day_number(date).rem_euclid(days);
                date.checked_sub_days(Days::new(past.unsigned_abs()))
            }
            Length::Months(months) => {
                let first = date.month0() - date.month0() % months;
                NaiveDate::from_ymd_opt(date.year(), first + 1, 1)
            }
        }
    }

    /// The start of the period before the one that starts at `start`.
    fn previous(self, start: DateTime<Utc>) -> DateTime<Utc> {
        let day_before = start.checked_sub_days(Days::new(1));
        day_before.map_or(start, |day| self.floor(day))
    }
}

/// Days since a Monday; negative before it.
fn day_number(date: NaiveDate) -> i64 {
    date.signed_duration_since(FIRST_MONDAY).num_days()
}

fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(NaiveTime::MIN).and_utc()
}

/// The name of the partition of these bounds: `events_p2026_11` if it starts a month and the
/// period is of months, `events_p2026_11_21` otherwise.
///
/// It tells where the partition starts, so that partitions that do not overlap have different
/// names, which sort by time from year 0 to 9999. A start within a day, which no plan makes by
/// itself, adds the time in microseconds.
#[must_use]
pub fn partition_name(bounds: Bounds, period: Period) -> String {
    let (date, time) = (bounds.lower.date_naive(), bounds.lower.time());
    let month = format!("events_p{:04}_{:02}", date.year(), date.month());
    match period.0 {
        _ if time != NaiveTime::MIN => {
            let microseconds = time
                .signed_duration_since(NaiveTime::MIN)
                .num_microseconds();
            format!(
                "{month}_{:02}_{:011}",
                date.day(),
                microseconds.unwrap_or_default()
            )
        }
        Length::Months(_) if date.day() == 1 => month,
        _ => format!("{month}_{:02}", date.day()),
    }
}

/// The range that must be covered: from the period before that of `now` to `premake` periods
/// after it, and at least [`MIN_DAYS_AHEAD`] days from `now`. It ends at the last boundary that can
/// be told where time does.
///
/// Retention leaves what reaches into it: the next plan would make it again, empty.
#[must_use]
pub fn required_range(now: DateTime<Utc>, period: Period, premake: u32) -> Bounds {
    let current = period.floor(now);
    let least = now
        .checked_add_days(Days::new(MIN_DAYS_AHEAD))
        .unwrap_or(DateTime::<Utc>::MAX_UTC);
    let mut upper = current;
    let mut made = 0;
    while made <= premake.min(MAX_PREMAKE) || upper < least {
        let Some(next) = period.checked_next(upper) else {
            break;
        };
        upper = next;
        made += 1;
    }
    Bounds {
        lower: period.previous(current),
        upper,
    }
}

/// The partitions to be made so that [`required_range`] is covered without a gap, given those that
/// exist, in the order of time. None overlaps another or an existing one.
///
/// All end at boundaries of `period` or where an existing partition starts. After a change of
/// period the first one may be shorter, since it starts where the last existing one ends.
#[must_use]
pub fn plan_ahead(
    now: DateTime<Utc>,
    period: Period,
    premake: u32,
    existing: &[Bounds],
) -> Vec<Bounds> {
    let range = required_range(now, period, premake);
    let mut plan = Vec::new();
    let mut covered = range.lower;
    for partition in in_order(existing) {
        fill(covered, partition.lower.min(range.upper), period, &mut plan);
        covered = covered.max(partition.upper);
    }
    fill(covered, range.upper, period, &mut plan);
    plan
}

fn in_order(existing: &[Bounds]) -> Vec<Bounds> {
    let mut ordered: Vec<Bounds> = existing
        .iter()
        .copied()
        .filter(|bounds| bounds.lower < bounds.upper)
        .collect();
    ordered.sort_unstable();
    ordered
}

/// Adds the partitions from `from` to `to`, split at the boundaries of `period`.
fn fill(from: DateTime<Utc>, to: DateTime<Utc>, period: Period, plan: &mut Vec<Bounds>) {
    let mut lower = from;
    while lower < to {
        let upper = period.next(lower).min(to);
        plan.push(Bounds { lower, upper });
        lower = upper;
    }
}

/// How far the existing partitions cover the time from `now` on without a gap.
#[must_use]
pub fn periods_ahead(now: DateTime<Utc>, existing: &[Bounds]) -> Ahead {
    let mut ahead = Ahead {
        until: now,
        partitions: 0,
    };
    for partition in in_order(existing) {
        if partition.upper <= now {
            continue;
        }
        if partition.lower > ahead.until {
            break;
        }
        ahead.until = ahead.until.max(partition.upper);
        ahead.partitions += usize::from(partition.lower > now);
    }
    ahead
}
