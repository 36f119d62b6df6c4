//! Which policy decides how long an event is kept.
//!
//! A policy speaks of a scope: a tenant or all, and a category, an action, a prefix of actions, or
//! everything. For an event the policies count whose scope holds it, without those that a narrower
//! one of them replaces: a tenant's replaces the default, an action's replaces that of its prefix.
//! Of several that remain the longest wins. Without any, an event is kept for ever.

use crate::registry::action::ActionPattern;
use chrono::{DateTime, Days, Months, TimeDelta, Utc};
use std::fmt;

/// How long, in the three parts in which PostgreSQL keeps an `interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    months: u32,
    days: u32,
    microseconds: i64,
}

/// Why an interval is no time to keep events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPositive;

impl fmt::Display for NotPositive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("it must be positive in all its parts")
    }
}

impl std::error::Error for NotPositive {}

impl Keep {
    /// Reads the three parts of an `interval`.
    ///
    /// # Errors
    /// If it is not longer than nothing, or has a negative part.
    pub fn from_interval(months: i32, days: i32, microseconds: i64) -> Result<Self, NotPositive> {
        if months < 0 || days < 0 || microseconds < 0 || (months, days, microseconds) == (0, 0, 0) {
            return Err(NotPositive);
        }
        Ok(Self {
            months: months.unsigned_abs(),
            days: days.unsigned_abs(),
            microseconds,
        })
    }

    /// The time before which events are older than this.
    #[must_use]
    pub fn cutoff(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let back = || {
            now.checked_sub_months(Months::new(self.months))?
                .checked_sub_days(Days::new(u64::from(self.days)))?
                .checked_sub_signed(TimeDelta::microseconds(self.microseconds))
        };
        back().unwrap_or(DateTime::<Utc>::MIN_UTC)
    }
}

/// What of a tenant's events a policy speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Every event.
    Everything,
    /// Events whose action has this category in the registry.
    Category(String),
    /// Events of one action, or of those with a prefix.
    Action(ActionPattern),
}

/// The events that a policy speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// One tenant, or `None` for all.
    pub tenant: Option<[u8; 16]>,
    /// What of them.
    pub subject: Subject,
}

/// A retention policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The events that it speaks of.
    pub scope: Scope,
    /// How long they are kept; `None` for ever.
    pub keep: Option<Keep>,
    /// How long they stay in the database where they are archived; `None` as long as they are kept.
    pub online: Option<Keep>,
    /// The folder that they are archived to before they go.
    pub archive_to: Option<String>,
}

/// What policies look at in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind<'a> {
    /// Its tenant.
    pub tenant: [u8; 16],
    /// Its action.
    pub action: &'a str,
    /// The category of the action, if the registry knows one.
    pub category: Option<&'a str>,
}

/// What the policies say of a kind of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<'p> {
    /// Whether any policy speaks of them.
    pub is_decided: bool,
    /// What was recorded before is older than it is kept; `None` if it is kept for ever.
    pub cutoff: Option<DateTime<Utc>>,
    /// What was recorded before may leave the database, once it is archived.
    pub online_cutoff: Option<DateTime<Utc>>,
    /// Whether only the default speaks of them: then they go with their partition.
    pub is_default: bool,
    /// The folder that they are archived to.
    pub archive_to: Option<&'p str>,
}

impl Subject {
    fn holds(&self, kind: &Kind<'_>) -> bool {
        match self {
            Self::Everything => true,
            Self::Category(category) => kind.category == Some(category),
            Self::Action(pattern) => pattern.matches(kind.action),
        }
    }

    /// Whether every event of `self` is one of `other` as well.
    fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Everything) => true,
            (Self::Action(inner), Self::Action(outer)) => match (inner, outer) {
                (_, ActionPattern::Exact(_)) => inner == outer,
                (
                    ActionPattern::Exact(text) | ActionPattern::Prefix(text),
                    ActionPattern::Prefix(prefix),
                ) => text.starts_with(prefix.as_str()),
            },
            _ => self == other,
        }
    }
}

impl Scope {
    /// The scope of the default policy.
    pub const DEFAULT: Self = Self {
        tenant: None,
        subject: Subject::Everything,
    };

    /// Whether an event of this kind is in the scope.
    #[must_use]
    pub fn holds(&self, kind: &Kind<'_>) -> bool {
        self.tenant.is_none_or(|tenant| tenant == kind.tenant) && self.subject.holds(kind)
    }

    /// Whether it is narrower than `other`: part of it, and not the same.
    fn refines(&self, other: &Self) -> bool {
        self != other
            && (other.tenant.is_none() || self.tenant == other.tenant)
            && self.subject.is_within(&other.subject)
    }
}

/// What `policies` say of events of this kind.
#[must_use]
pub fn verdict<'p>(policies: &'p [Policy], kind: &Kind<'_>, now: DateTime<Utc>) -> Verdict<'p> {
    let holding: Vec<&Policy> = policies.iter().filter(|p| p.scope.holds(kind)).collect();
    let is_replaced = |policy: &Policy| {
        holding
            .iter()
            .any(|other| other.scope.refines(&policy.scope))
    };
    let deciding = holding.iter().filter(|policy| !is_replaced(policy));
    let mut verdict = Verdict {
        is_decided: false,
        cutoff: None,
        online_cutoff: None,
        is_default: true,
        archive_to: None,
    };
    for policy in deciding {
        let cutoff = policy.keep.map(|keep| keep.cutoff(now));
        let wins = !verdict.is_decided || is_longer(cutoff, verdict.cutoff);
        verdict.archive_to = policy.archive_to.as_deref().or(verdict.archive_to);
        verdict.is_default &= policy.scope == Scope::DEFAULT;
        if wins {
            verdict.cutoff = cutoff;
            verdict.online_cutoff = policy.online.map(|online| online.cutoff(now));
        }
        verdict.is_decided = true;
    }
    if verdict.archive_to.is_none() {
        verdict.online_cutoff = None;
    }
    verdict
}

/// Whether what is kept since `one` is kept longer than what is kept since `other`.
fn is_longer(one: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> bool {
    match (one, other) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(one), Some(other)) => one < other,
    }
}

/// How a change of policies touches what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing is kept for a shorter time.
    Longer,
    /// A scope that nothing was said of is no longer kept for ever.
    Limited,
    /// Events are kept for a shorter time than a policy said.
    Shorter,
}

/// What the change from `before` to `after` does to the events of a scope that it is about.
#[must_use]
pub fn change(before: &[Policy], after: &[Policy], scope: &Scope, now: DateTime<Utc>) -> Change {
    let action = match &scope.subject {
        Subject::Action(pattern) => pattern.lower_bound(),
        _ => "",
    };
    let kind = Kind {
        // Another tenant than any that has a policy: one that nobody names.
        tenant: scope.tenant.unwrap_or([0xff; 16]),
        action,
        category: match &scope.subject {
            Subject::Category(category) => Some(category),
            _ => None,
        },
    };
    let (old, new) = (verdict(before, &kind, now), verdict(after, &kind, now));
    if !is_longer(old.cutoff, new.cutoff) {
        Change::Longer
    } else if old.is_decided {
        Change::Shorter
    } else {
        Change::Limited
    }
}
