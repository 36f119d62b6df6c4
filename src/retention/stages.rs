//! What happens to a partition up to its end: made, closed, swept, archived, marked for removal.

use super::expiry::{self, Closed, Exam, Leaving};
use super::ledger::{self, Entry};
use super::maintain::Work;
use super::partition::{self, Partition, bounds_of, to_utc};
use super::policy::Rules;
use super::run;
use super::sweep::Sweep;
use super::{carry, close, removal};
use crate::clock::now;
use crate::db::{self, Relation, Scope};
use crate::error::Error;
use crate::{archive, home, record, setup};
use activity_log_core::retention::{Bounds, Decision, Period, is_due, required_range};
use chrono::{DateTime, Utc};
use serde_json::json;
use std::rc::Rc;

/// Writes down the number of this life of the database.
pub fn persist_incarnation() -> Result<Work, Error> {
    home::ensure_incarnation()?;
    Ok(Work::Finished)
}

/// Makes the partitions that are missing ahead.
pub fn make_ahead() -> Result<Work, Error> {
    Ok(match setup::make_partitions()? {
        0 => Work::Finished,
        made => Work::Did(json!({"partitions": made})),
    })
}

/// Closes the next partition whose time is over.
pub fn close() -> Result<Work, Error> {
    let entries = ledger::entries()?;
    let at = now();
    let candidate = find(|name, partition| {
        partition.upper <= at && entries.get(name).is_none_or(|entry| !entry.is_closed)
    })?;
    candidate.map_or(Ok(Work::Finished), |(name, partition)| {
        close::close(&name, &partition).map(Work::Did)
    })
}

/// Looks at the next partition from which something may have to go, or goes on with the removal
/// that is under way.
pub fn expire() -> Result<Work, Error> {
    let rules = Rules::read()?;
    if let Some(sweep) = run::with(|run| run.sweep.take())? {
        if sweep.digest == rules.digest {
            return go_on(sweep);
        }
        tell(&sweep.partition, sweep.removed())?;
    }
    let (entries, clock) = (ledger::entries()?, Clock::read()?);
    let candidate =
        find(|name, partition| is_candidate(&rules, entries.get(name), partition, &clock))?;
    let Some((name, partition)) = candidate else {
        return Ok(Work::Finished);
    };
    let entry = entries.get(&name);
    let closed = entry.map_or(Closed::No, Entry::closed);
    let exam = expiry::examine(&rules, &partition, clock.now, clock.required_from, closed)?;
    ledger::enter(&name, partition.lower, partition.upper)?;
    let is_archived = entry.is_some_and(|entry| entry.is_archived);
    act(&rules, &name, &partition, exam, is_archived)
}

/// The times that decide.
pub struct Clock {
    pub now: DateTime<Utc>,
    /// Where the range begins that has to be covered by partitions.
    pub required_from: DateTime<Utc>,
    period: Period,
    premake: u32,
}

impl Clock {
    pub fn read() -> Result<Self, Error> {
        let now = to_utc(now()).ok_or(Error::Internal { place: "clock" })?;
        let (period, premake) = setup::plan()?;
        Ok(Self {
            now,
            required_from: required_range(now, period, premake).lower,
            period,
            premake,
        })
    }

    /// Whether something in a partition may have to go since it was looked at last.
    pub fn is_due(&self, rules: &Rules, bounds: Bounds, last: Option<DateTime<Utc>>) -> bool {
        let required_from = |at| required_range(at, self.period, self.premake).lower;
        is_due(&rules.policies, bounds, last, self.now, required_from)
    }
}

/// Whether something may have to go. A partition whose time is over but which is not closed is
/// left alone until it is: only then is it certain that nobody writes into it.
fn is_candidate(
    rules: &Rules,
    entry: Option<&Entry>,
    partition: &Partition,
    clock: &Clock,
) -> bool {
    let Some(bounds) = bounds_of(partition) else {
        return false;
    };
    let is_closed = entry.is_some_and(|entry| entry.is_closed);
    let is_leaving = entry.is_some_and(|entry| entry.state == "detaching");
    if is_leaving || (bounds.upper <= clock.now && !is_closed) {
        return false;
    }
    let last = entry
        .and_then(|entry| entry.swept.as_ref())
        .filter(|(digest, _)| *digest == rules.digest)
        .map(|(_, at)| *at);
    clock.is_due(rules, bounds, last)
}

/// The oldest attached partition that is a candidate and was not left to the next run.
pub fn find(
    is_candidate: impl Fn(&str, &Partition) -> bool,
) -> Result<Option<(String, Partition)>, Error> {
    for (name, partition) in attached()? {
        let is_skipped = run::with(|run| run.skipped.contains(&name))?;
        if !is_skipped && is_candidate(&name, &partition) {
            run::with(|run| run.partition = Some(name.clone()))?;
            return Ok(Some((name, partition)));
        }
    }
    Ok(None)
}

/// The attached partitions with their names, oldest first.
pub fn attached() -> Result<Vec<(String, Partition)>, Error> {
    let root = db::oid(Relation::Events)?;
    db::lock_shared(root);
    let all: Rc<[Partition]> = partition::partitions(root)?;
    Ok(all
        .iter()
        .filter_map(|partition| Some((db::relation_name(partition.relation)?, *partition)))
        .collect())
}

fn act(
    rules: &Rules,
    name: &str,
    partition: &Partition,
    exam: Exam,
    is_archived: bool,
) -> Result<Work, Error> {
    match exam.decision {
        Decision::Keep | Decision::Held => {
            let is_held = exam.share.held > 0;
            ledger::set_swept(name, &rules.digest, is_held)?;
            Ok(Work::Passed)
        }
        Decision::Drop | Decision::CarryOver if !is_archived && exam.archive_to.is_some() => {
            archive(name, partition, &exam)
        }
        Decision::CarryOver => carry_over(rules, name, partition, &exam),
        Decision::Sweep => {
            let sweep = Sweep::new(&rules.digest, name, partition.relation, exam)?;
            run::with(|run| run.sweep = Some(sweep))?;
            Ok(Work::Passed)
        }
        Decision::Drop => {
            ledger::set_swept(name, &rules.digest, false)?;
            ledger::set_state(name, "detaching")?;
            Ok(Work::Did(json!({"goes": exam.share.leaving})))
        }
    }
}

/// Archives a partition; the next look at it finds that it may go.
fn archive(name: &str, partition: &Partition, exam: &Exam) -> Result<Work, Error> {
    let folder = exam.archive_to.as_deref().unwrap_or_default();
    let archived = archive::write(partition.relation, folder)?;
    ledger::set_archived(name, &archived, exam.keep_until)?;
    Ok(Work::Did(json!({
        "archive": archived.manifest, "rows": archived.rows, "bytes": archived.bytes, "sha256": archived.sha256,
    })))
}

/// Puts a partition with the rows that stay in the place of one, and drops that: in one transaction,
/// throughout which holds stay as they are.
fn carry_over(
    rules: &Rules,
    name: &str,
    partition: &Partition,
    exam: &Exam,
) -> Result<Work, Error> {
    // Once the two are exchanged writers wait for the commit, so it does not wait for the disk.
    db::set_option(c"synchronous_commit", c"off", Scope::Transaction);
    let stays = format!("NOT {}", Leaving::goes());
    let Some(carried) = carry::carry_over(partition, &stays, &exam.leaving.parameters()?)? else {
        // What stayed was released in the meantime; the next look finds that all of it goes.
        return Ok(Work::Passed);
    };
    let mut detail = removal::drop_table(name)?;
    ledger::enter(&carried.name, partition.lower, partition.upper)?;
    ledger::set_swept(&carried.name, &rules.digest, exam.share.held > 0)?;
    detail["carried_over"] = json!(carried.rows);
    detail["into"] = json!(carried.name);
    Ok(Work::Did(detail))
}

fn go_on(mut sweep: Sweep) -> Result<Work, Error> {
    let (partition, digest, is_held) =
        (sweep.partition.clone(), sweep.digest.clone(), sweep.is_held);
    run::with(|run| run.partition = Some(partition.clone()))?;
    match sweep.step()? {
        None => {
            run::with(|run| run.sweep = Some(sweep))?;
            Ok(Work::Passed)
        }
        Some(removed) => {
            ledger::set_swept(&partition, &digest, is_held)?;
            tell(&partition, removed)?;
            Ok(Work::Did(json!({"removed": removed})))
        }
    }
}

/// Writes into the log that rows of a partition have gone.
fn tell(partition: &str, removed: u64) -> Result<(), Error> {
    if removed == 0 {
        return Ok(());
    }
    record::write_system_event(
        "activity.events.removed",
        &json!({"partition": partition, "removed": removed}),
    )
}
