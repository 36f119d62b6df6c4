//! The policies in force, as the core reads them.

use crate::db::{self, Mode};
use crate::error::Error;
use activity_log_core::registry::action::ActionPattern;
use activity_log_core::retention::{Keep, Kind, Policy, Scope, Subject, Verdict, verdict};
use chrono::{DateTime, Utc};
use pgrx::Uuid;
use pgrx::datum::Interval;
use std::collections::HashMap;

/// Everything that decides how long events are kept, at one moment.
pub struct Rules {
    /// Those of `set_retention()`, then those of the registry.
    pub policies: Vec<Policy>,
    /// Where those of the registry begin.
    registered: usize,
    /// Category by action, of those that the registry gives one.
    categories: HashMap<String, String>,
    /// Tells this moment's rules and holds from others.
    pub digest: String,
    /// Whether anything is under a legal hold.
    pub has_holds: bool,
}

impl Rules {
    /// Reads the policies, what the registry says, and the digest of these and the holds.
    pub fn read() -> Result<Self, Error> {
        let mut policies = read_policies()?;
        let registered = policies.len();
        policies.extend(registered_keeps()?);
        let digests = db::query(
            Mode::ReadLatest,
            include_str!("../../sql/query/retention_digest.sql"),
            &[],
            |row| Ok((row.must(1, "retention")?, row.must(2, "retention")?)),
        )?;
        let (digest, has_holds) = digests.into_iter().next().ok_or(Error::NotSetUp)?;
        Ok(Self {
            policies,
            registered,
            categories: read_categories()?,
            digest,
            has_holds,
        })
    }

    /// What the rules say of a tenant's events of an action.
    pub fn verdict(&self, tenant: [u8; 16], action: &str, now: DateTime<Utc>) -> Verdict<'_> {
        let kind = Kind {
            tenant,
            action,
            category: self.categories.get(action).map(String::as_str),
        };
        verdict(&self.policies, &kind, now)
    }

    /// Puts a policy in the place of the one with its scope. What the registry says stays.
    pub fn replace(&mut self, scope: &Scope, policy: Option<&Policy>) {
        let registered = self.policies.split_off(self.registered);
        self.policies.retain(|known| known.scope != *scope);
        self.policies.extend(policy.cloned());
        self.registered = self.policies.len();
        self.policies.extend(registered);
    }
}

fn read_policies() -> Result<Vec<Policy>, Error> {
    db::query(
        Mode::ReadLatest,
        "SELECT tenant_id, category, action, keep, online, archive_to FROM activity.retention_policies",
        &[],
        |row| {
            Ok(Policy {
                scope: Scope {
                    tenant: row.get::<Uuid>(1).map(|id| *id.as_bytes()),
                    subject: subject(row.get(2), row.get::<String>(3).as_deref())?,
                },
                keep: row.get(4).map(keep_of).transpose()?,
                online: row.get(5).map(keep_of).transpose()?,
                archive_to: row.get(6),
            })
        },
    )
}

/// The `keep` of registered actions, which is a policy for the action in every tenant.
fn registered_keeps() -> Result<Vec<Policy>, Error> {
    db::query(
        Mode::ReadLatest,
        "SELECT action, keep FROM activity.actions WHERE keep IS NOT NULL",
        &[],
        |row| {
            Ok(Policy {
                scope: Scope {
                    tenant: None,
                    subject: Subject::Action(ActionPattern::Exact(row.must(1, "actions")?)),
                },
                // Whatever the registry holds that is no time to keep events keeps them for ever.
                keep: keep_of(row.must(2, "actions")?).ok(),
                online: None,
                archive_to: None,
            })
        },
    )
}

fn read_categories() -> Result<HashMap<String, String>, Error> {
    let rows = db::query(
        Mode::ReadLatest,
        "SELECT action, category FROM activity.actions WHERE category IS NOT NULL",
        &[],
        |row| Ok((row.must(1, "actions")?, row.must(2, "actions")?)),
    )?;
    Ok(rows.into_iter().collect())
}

/// What a policy speaks of.
pub fn subject(category: Option<String>, action: Option<&str>) -> Result<Subject, Error> {
    match (category, action) {
        (Some(_), Some(_)) => Err(Error::invalid(
            "category",
            "a policy is for a category or for an action, not for both",
        )),
        (Some(category), None) => Ok(Subject::Category(category)),
        (None, Some(action)) => {
            ActionPattern::parse(action)
                .map(Subject::Action)
                .map_err(|problem| Error::Invalid {
                    argument: "action",
                    problem: problem.to_string().into(),
                    hint: Some("Give an action, or a prefix of actions as in 'auth.*'."),
                })
        }
        (None, None) => Ok(Subject::Everything),
    }
}

fn keep_of(interval: Interval) -> Result<Keep, Error> {
    checked_keep("keep", interval)
}

/// An argument that says how long events are kept.
pub fn checked_keep(argument: &'static str, interval: Interval) -> Result<Keep, Error> {
    Keep::from_interval(interval.months(), interval.days(), interval.micros()).map_err(|problem| {
        Error::Invalid {
            argument,
            problem: problem.to_string().into(),
            hint: Some("Give an interval as in '1 year' or '90 days'."),
        }
    })
}
