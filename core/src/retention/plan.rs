//! What is to be done with a partition, and when it has to be looked at again.

use super::period::Bounds;
use super::policy::{Keep, Policy, Scope, Verdict};
use chrono::{DateTime, TimeDelta, Utc};

/// The rows of a partition, by what policies and holds say of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// May go.
    pub leaving: u64,
    /// Might go, but for a legal hold.
    pub held: u64,
    /// Are kept.
    pub kept: u64,
}

/// What is to be done with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Keep,
    /// Nothing, and only because of a legal hold.
    Held,
    /// Remove the rows that may go, in batches.
    Sweep,
    /// Put a partition with the rows that stay in its place.
    CarryOver,
    /// Take it away as a whole.
    Drop,
}

/// What is known of a partition besides its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// The times of recording that it takes.
    pub bounds: Bounds,
    /// Where the range begins that has to be covered whatever the policies say.
    pub required_from: DateTime<Utc>,
    /// Whether it takes no more events.
    pub is_closed: bool,
    /// Whether what goes has to be archived first, which is done with partitions only.
    pub is_archived: bool,
    /// Whether any policy speaks of any event.
    pub has_policies: bool,
}

/// What is to be done with a partition.
///
/// A partition is only taken away or replaced once it is closed and outside the range that has to
/// be covered. Copying the rows that stay is chosen where they are fewer than those that go.
#[must_use]
pub fn decide(situation: &Situation, share: Share) -> Decision {
    let is_removable = situation.is_closed && situation.bounds.upper <= situation.required_from;
    let staying = share.held.saturating_add(share.kept);
    match share.leaving {
        0 if staying == 0 && is_removable && situation.has_policies => Decision::Drop,
        0 if share.held > 0 && share.kept == 0 => Decision::Held,
        0 => Decision::Keep,
        _ if is_removable && staying == 0 => Decision::Drop,
        leaving if is_removable && (situation.is_archived || staying <= leaving) => {
            Decision::CarryOver
        }
        _ if situation.is_archived => Decision::Keep,
        _ => Decision::Sweep,
    }
}

/// The time before which events of a kind leave the partition; `None` if none do.
///
/// What only the default speaks of, or what is archived, goes with the partition as a whole, so that
/// nothing is deleted row by row that a little later would be dropped. Everything else goes at its
/// own time.
#[must_use]
pub fn leaves_before(verdict: &Verdict<'_>, bounds: Bounds) -> Option<DateTime<Utc>> {
    let cutoff = match (verdict.cutoff, verdict.online_cutoff) {
        (Some(keep), Some(online)) => Some(keep.max(online)),
        (keep, online) => keep.or(online),
    }?;
    let is_whole = verdict.is_default || verdict.archive_to.is_some();
    if cutoff <= bounds.lower || (is_whole && cutoff < bounds.upper) {
        return None;
    }
    Some(cutoff.min(bounds.upper))
}

/// Whether a partition that was looked at under the same policies at `last` is to be looked at
/// again: something in it may have become old enough since, or it may now be taken away as a whole.
/// `required_from` tells where the range that has to be covered begins at a time.
#[must_use]
pub fn is_due(
    policies: &[Policy],
    bounds: Bounds,
    last: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    required_from: impl Fn(DateTime<Utc>) -> DateTime<Utc>,
) -> bool {
    let became_removable = last.is_some_and(|last| required_from(last) < bounds.upper)
        && bounds.upper <= required_from(now);
    became_removable && !policies.is_empty()
        || policies.iter().any(|policy| {
            let keeps = [policy.keep, policy.online];
            let is_whole = policy.scope == Scope::DEFAULT || policy.archive_to.is_some();
            keeps
                .into_iter()
                .flatten()
                .any(|keep| is_due_for(keep, is_whole, bounds, last, now))
        })
}

fn is_due_for(
    keep: Keep,
    is_whole: bool,
    bounds: Bounds,
    last: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> bool {
    let reached = |at| keep.cutoff(at).clamp(bounds.lower, bounds.upper);
    let since = last.map_or(bounds.lower, reached);
    let until = reached(now);
    if is_whole || until == bounds.upper {
        return until == bounds.upper && since < until;
    }
    until - since >= slack(keep, now) || (last.is_none() && until > bounds.lower)
}

/// How much later than at its time a single event may go: an hour, or a twenty-fourth of the time
/// that it is kept.
fn slack(keep: Keep, now: DateTime<Utc>) -> TimeDelta {
    let kept = now - keep.cutoff(now);
    (kept / 24).min(TimeDelta::hours(1))
}
