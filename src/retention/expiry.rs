//! What of a partition may go, by policies and holds.

use super::hold::HELD;
use super::partition::{self, Partition, bounds_of, from_utc};
use super::policy::Rules;
use crate::db::{self, Mode, Parameter, Scope};
use crate::error::Error;
use activity_log_core::retention::{Bounds, Decision, Share, Situation, decide, leaves_before};
use chrono::{DateTime, Utc};
use pgrx::datum::{IntoDatum, TimestampWithTimeZone};
use pgrx::{Uuid, pg_sys};

/// The events of a partition that leave it, by kind: those of a tenant and an action that were
/// recorded before a time.
#[derive(Default)]
pub struct Leaving {
    tenants: Vec<Uuid>,
    actions: Vec<String>,
    cutoffs: Vec<i64>,
}

impl Leaving {
    /// The condition under which an event `e` leaves, held or not; its parameters come first.
    pub const CONDITION: &'static str = "EXISTS (SELECT FROM unnest($1, $2, $3) AS \
        leaving(tenant_id, action, cutoff) WHERE leaving.tenant_id = e.tenant_id \
        AND leaving.action = e.action AND e.recorded_at < leaving.cutoff)";

    /// The parameters of the condition.
    pub fn parameters(&self) -> Result<[Parameter; 3], Error> {
        let times: Result<Vec<TimestampWithTimeZone>, _> = self
            .cutoffs
            .iter()
            .map(|at| TimestampWithTimeZone::try_from(*at))
            .collect();
        let times = times.map_err(|_| Error::Internal { place: "cutoff" })?;
        Ok([
            (pg_sys::UUIDARRAYOID, self.tenants.clone().into_datum()),
            (pg_sys::TEXTARRAYOID, self.actions.clone().into_datum()),
            (pg_sys::TIMESTAMPTZARRAYOID, times.into_datum()),
        ])
    }

    /// The condition under which an event `e` goes: it leaves and is not held.
    pub fn goes() -> String {
        format!("({} AND NOT {HELD})", Self::CONDITION)
    }
}

/// A partition as it was looked at.
pub struct Exam {
    pub decision: Decision,
    pub share: Share,
    pub leaving: Leaving,
    /// The folder that it is archived to before anything goes.
    pub archive_to: Option<String>,
    /// When its archive may be removed, where that is what the events are kept in; `None` never.
    pub keep_until: Option<DateTime<Utc>>,
}

/// Looks at a partition: what leaves it, and what is to be done.
pub fn examine(
    rules: &Rules,
    partition: &Partition,
    now: DateTime<Utc>,
    required_from: DateTime<Utc>,
    is_closed: bool,
) -> Result<Exam, Error> {
    let bounds = bounds_of(partition).ok_or(Error::Internal { place: "bounds" })?;
    let table = partition::name(partition)?;
    let kinds = kinds(&table)?;
    let mut found = survey(rules, &kinds, bounds, now);
    found.share = share(rules, &table, bounds, &found.leaving, kinds.len())?;
    found.decision = decide(
        &Situation {
            bounds,
            required_from,
            is_closed,
            is_archived: found.archive_to.is_some(),
            has_policies: !rules.policies.is_empty(),
        },
        found.share,
    );
    Ok(found)
}

/// What the rules say of each kind of events in a partition.
fn survey(rules: &Rules, kinds: &[(Uuid, String)], bounds: Bounds, now: DateTime<Utc>) -> Exam {
    let mut exam = Exam {
        decision: Decision::Keep,
        share: Share::default(),
        leaving: Leaving::default(),
        archive_to: None,
        keep_until: Some(bounds.upper),
    };
    let mut is_online_for_a_time = false;
    for (tenant, action) in kinds {
        let verdict = rules.verdict(*tenant.as_bytes(), action, now);
        // As long after the end of the partition as an event that expires now was recorded ago.
        let lasts = verdict
            .cutoff
            .and_then(|cutoff| bounds.upper.checked_add_signed(now - cutoff));
        exam.keep_until = exam
            .keep_until
            .zip(lasts)
            .map(|(one, other)| one.max(other));
        is_online_for_a_time |= verdict.online_cutoff.is_some();
        if let Some(before) = leaves_before(&verdict, bounds) {
            exam.archive_to = exam.archive_to.or(verdict.archive_to.map(str::to_owned));
            exam.leaving.tenants.push(*tenant);
            exam.leaving.actions.push(action.clone());
            exam.leaving.cutoffs.push(from_utc(before));
        }
    }
    if !is_online_for_a_time {
        exam.keep_until = None;
    }
    exam
}

/// The tenants and actions of the events in a table, each pair once, by as many descents of the
/// index on actions as there are pairs.
fn kinds(table: &str) -> Result<Vec<(Uuid, String)>, Error> {
    let sql = format!(
        "WITH RECURSIVE kinds AS ( \
             (SELECT tenant_id, action FROM ONLY {table} ORDER BY tenant_id, action LIMIT 1) \
             UNION ALL \
             SELECT following.* FROM kinds k CROSS JOIN LATERAL ( \
                 SELECT e.tenant_id, e.action FROM ONLY {table} e \
                 WHERE (e.tenant_id, e.action) > (k.tenant_id, k.action) \
                 ORDER BY e.tenant_id, e.action LIMIT 1) following) \
         SELECT tenant_id, action FROM kinds"
    );
    db::as_owner(|| {
        // A young partition has poor statistics; reading all of it for each pair must not look cheap.
        for method in [c"enable_seqscan", c"enable_bitmapscan", c"enable_sort"] {
            db::set_option(method, c"off", Scope::Block);
        }
        db::query(Mode::ReadLatest, &sql, &[], |row| {
            Ok((row.must(1, "events")?, row.must(2, "events")?))
        })
    })
}

/// How many rows go, are held, and stay.
fn share(
    rules: &Rules,
    table: &str,
    bounds: Bounds,
    leaving: &Leaving,
    kinds: usize,
) -> Result<Share, Error> {
    let upper = from_utc(bounds.upper);
    let all_leave = leaving.cutoffs.len() == kinds && leaving.cutoffs.iter().all(|at| *at == upper);
    if leaving.cutoffs.is_empty() || (all_leave && !rules.has_holds) {
        let rows: i64 = db::value(
            Mode::ReadLatest,
            &format!("SELECT count(*) FROM ONLY {table}"),
            &[],
        )?
        .unwrap_or_default();
        let rows = rows.unsigned_abs();
        return Ok(if all_leave {
            Share {
                leaving: rows,
                ..Share::default()
            }
        } else {
            Share {
                kept: rows,
                ..Share::default()
            }
        });
    }
    let counts = db::query(
        Mode::ReadLatest,
        &format!(
            "SELECT count(*) FILTER (WHERE leaves AND NOT is_held), count(*) FILTER (WHERE leaves AND is_held), \
                    count(*) FILTER (WHERE NOT leaves) \
             FROM (SELECT {} AS leaves, {HELD} AS is_held FROM ONLY {table} e) events",
            Leaving::CONDITION
        ),
        &leaving.parameters()?,
        |row| {
            let count = |at| row.must::<i64>(at, "events").map(i64::unsigned_abs);
            Ok(Share {
                leaving: count(1)?,
                held: count(2)?,
                kept: count(3)?,
            })
        },
    )?;
    counts
        .into_iter()
        .next()
        .ok_or(Error::Internal { place: "events" })
}
