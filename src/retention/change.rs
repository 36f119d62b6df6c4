//! Changing how long events are kept.

use super::policy::{Rules, checked_keep, subject};
use super::preview::preview;
use super::stages::Clock;
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::value::{JsonbOut, given};
use crate::{access, archive, error, record};
use activity_log_core::registry::action::is_reserved;
use activity_log_core::retention::{Change, Keep, Policy, Scope, change};
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{IntoDatum, Uuid, pg_sys};
use serde_json::{Value, json};

/// What is asked to be kept, and how.
struct Wish {
    scope: Scope,
    /// `None` takes the policy away.
    policy: Option<Policy>,
    keep: Option<Interval>,
    online: Option<Interval>,
    preset: Option<String>,
}

/// Sets how long events are kept: all, a tenant's, those of a category or an action.
#[expect(clippy::too_many_arguments, reason = "named notation is the contract")]
#[pg_extern(volatile, parallel_unsafe)]
fn set_retention(
    keep: default!(Option<Interval>, "NULL"),
    tenant_id: default!(Option<Uuid>, "NULL"),
    category: default!(Option<&str>, "NULL"),
    action: default!(Option<&str>, "NULL"),
    preset: default!(Option<&str>, "NULL"),
    archive_to: default!(Option<&str>, "NULL"),
    online: default!(Option<Interval>, "NULL"),
    confirm: default!(Option<bool>, "false"),
) -> Result<JsonbOut, ErrorReport> {
    db::oid(Relation::Events)?;
    let scope = Scope {
        tenant: tenant_id.map(|id| *id.as_bytes()),
        subject: subject(given(category).map(str::to_owned), given(action))?,
    };
    if let Some(tenant) = &scope.tenant {
        access::check_tenant(tenant, access::Purpose::Write)?;
    }
    // One change at a time, so that each is compared with what is then in force.
    db::run(
        "LOCK TABLE activity.retention_policies IN SHARE ROW EXCLUSIVE MODE",
        &[],
    )?;
    let place = place(&scope, given(category), given(action));
    let asked = Asked {
        keep,
        online,
        preset: given(preset),
        archive_to: given(archive_to).map(str::to_owned),
    };
    let wish = Wish::new(scope, asked.completed(&place)?)?;
    let outcome = outcome(&wish)?;
    let must_confirm = match outcome.change {
        Change::Longer => false,
        Change::Limited => outcome.removes > 0,
        Change::Shorter => true,
    };
    if must_confirm && confirm != Some(true) {
        return Err(Error::NotConfirmed {
            detail: outcome.to_json(),
        }
        .into());
    }
    warn_of_unknown(given(category), given(action))?;
    write(&wish, place)?;
    let mut event = outcome.to_json();
    for (name, value) in [
        ("tenant_id", tenant_id.map(|id| id.to_string())),
        ("category", given(category).map(str::to_owned)),
        ("action", given(action).map(str::to_owned)),
        ("preset", wish.preset.clone()),
        (
            "archive_to",
            wish.policy.and_then(|policy| policy.archive_to),
        ),
        ("keep", text_of(wish.keep)?),
        ("online", text_of(wish.online)?),
    ] {
        if let Some(value) = value {
            event[name] = value.into();
        }
    }
    record::write_system_event("activity.retention.changed", &event)?;
    Ok(JsonbOut::from_json(&event)?)
}

/// The arguments that say how long events are kept, and where.
struct Asked<'a> {
    keep: Option<Interval>,
    online: Option<Interval>,
    preset: Option<&'a str>,
    archive_to: Option<String>,
}

impl Asked<'_> {
    /// What is not given stays as it was: who changes how long events are kept does not mean that
    /// they shall no longer be archived.
    fn completed(mut self, place: &Place) -> Result<Self, Error> {
        if self.preset == Some("none") {
            return Ok(self);
        }
        let so_far = db::query(
            Mode::ReadLatest,
            "SELECT archive_to, online FROM activity.retention_policies \
             WHERE tenant_id IS NOT DISTINCT FROM $1 AND category IS NOT DISTINCT FROM $2 AND action IS NOT DISTINCT FROM $3 \
               AND archive_to IS NOT NULL",
            place,
            |row| Ok((row.must::<String>(1, "retention")?, row.get::<Interval>(2))),
        )?;
        if let Some((archive_to, online)) = so_far.into_iter().next() {
            self.archive_to = self.archive_to.or(Some(archive_to));
            if self.preset.is_none() {
                self.online = self.online.or(online);
            }
        }
        Ok(self)
    }
}

impl Wish {
    fn new(scope: Scope, asked: Asked<'_>) -> Result<Self, Error> {
        let Asked {
            keep,
            online,
            preset,
            archive_to,
        } = asked;
        let archive_to = archive_to.as_deref();
        let (keep, online) = match (preset, keep) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("preset", "give keep or a preset, not both"));
            }
            (None, None) => {
                return Err(Error::Missing {
                    argument: "keep or preset",
                });
            }
            (None, keep) => (keep, online),
            (Some(preset), None) => {
                let (keep, of_preset) = preset_intervals(preset)?;
                (keep, online.or(of_preset))
            }
        };
        let times = (
            keep.map(|keep| checked_keep("keep", keep)).transpose()?,
            online
                .map(|online| checked_keep("online", online))
                .transpose()?,
        );
        check_online(times, online.is_some() && preset.is_none(), archive_to)?;
        if let Some(folder) = archive_to {
            archive::check_folder(folder)?;
        }
        let policy = (preset != Some("none")).then(|| Policy {
            scope: scope.clone(),
            keep: times.0,
            online: times.1,
            archive_to: archive_to.map(str::to_owned),
        });
        Ok(Self {
            scope,
            policy,
            keep,
            online,
            preset: preset.map(str::to_owned),
        })
    }
}

/// Keep and online of a preset. `forever` is a policy as any other; `none` takes the policy away.
fn preset_intervals(preset: &str) -> Result<(Option<Interval>, Option<Interval>), Error> {
    let years = |count: i32| Interval::new(12 * count, 0, 0).ok();
    let months = |count: i32| Interval::new(count, 0, 0).ok();
    match preset {
        "hipaa" => Ok((years(6), None)),
        "pci" => Ok((years(1), months(3))),
        "soc2" => Ok((years(1), None)),
        "forever" | "none" => Ok((None, None)),
        _ => Err(Error::invalid(
            "preset",
            "it must be one of hipaa, pci, soc2, forever and none",
        )),
    }
}

fn check_online(
    (keep, online): (Option<Keep>, Option<Keep>),
    is_asked_for: bool,
    archive_to: Option<&str>,
) -> Result<(), Error> {
    if is_asked_for && archive_to.is_none() {
        return Err(Error::Invalid {
            argument: "online",
            problem: "it needs archive_to: what is no longer online is in the archive".into(),
            hint: Some("Give archive_to, the folder that partitions are archived to."),
        });
    }
    let now = Clock::read()?.now;
    if let (Some(keep), Some(online)) = (keep, online)
        && online.cutoff(now) < keep.cutoff(now)
    {
        return Err(Error::invalid("online", "it must not be longer than keep"));
    }
    Ok(())
}

/// What a change of policies means.
struct Effect {
    change: Change,
    removes: u64,
    partitions: Vec<Value>,
}

impl Effect {
    fn to_json(&self) -> Value {
        json!({"removes": self.removes, "partitions": self.partitions})
    }
}

fn outcome(wish: &Wish) -> Result<Effect, Error> {
    let mut rules = Rules::read()?;
    let before = rules.policies.clone();
    rules.replace(&wish.scope, wish.policy.as_ref());
    let now = Clock::read()?.now;
    let change = change(&before, &rules.policies, &wish.scope, now);
    let mut effect = Effect {
        change,
        removes: 0,
        partitions: Vec::new(),
    };
    if change == Change::Longer {
        return Ok(effect);
    }
    for (name, _, exam) in preview(&rules)? {
        effect.removes += exam.share.leaving;
        if exam.share.leaving > 0 {
            effect.partitions.push(
                json!({"partition": name, "removes": exam.share.leaving, "held": exam.share.held}),
            );
        }
    }
    Ok(effect)
}

/// A scope as the columns of the table: tenant, category, action.
type Place = [db::Parameter; 3];

fn place(scope: &Scope, category: Option<&str>, action: Option<&str>) -> Place {
    [
        scope
            .tenant
            .map_or((pg_sys::UUIDOID, None), |id| db::uuid(&id)),
        db::text(category),
        db::text(action),
    ]
}

/// A category or action that nobody has registered may come later, and may be a mistake in typing
/// that lets events go too early.
fn warn_of_unknown(category: Option<&str>, action: Option<&str>) -> Result<(), Error> {
    if action.or(category).is_none_or(is_reserved) {
        return Ok(());
    }
    let is_known = db::value::<bool>(
        Mode::ReadLatest,
        "SELECT EXISTS (SELECT FROM activity.actions \
                        WHERE category = $1 OR action = $2 OR $2 LIKE '%.*' AND starts_with(action, rtrim($2, '*')))",
        &[db::text(category), db::text(action)],
    )?;
    if is_known != Some(true) {
        error::warning(
            PgSqlErrorCode::ERRCODE_WARNING,
            "no registered action is in this scope".to_owned(),
            "The policy is there and waits for one. SELECT DISTINCT category FROM activity.actions; lists the categories.",
        );
    }
    Ok(())
}

fn write(wish: &Wish, scope: Place) -> Result<(), Error> {
    db::run(
        "DELETE FROM activity.retention_policies \
         WHERE tenant_id IS NOT DISTINCT FROM $1 AND category IS NOT DISTINCT FROM $2 AND action IS NOT DISTINCT FROM $3",
        &scope,
    )?;
    let Some(policy) = &wish.policy else {
        return Ok(());
    };
    let interval = |interval: Option<Interval>| {
        (
            pg_sys::INTERVALOID,
            interval.and_then(IntoDatum::into_datum),
        )
    };
    let [tenant, category, action] = scope;
    db::run(
        "INSERT INTO activity.retention_policies (tenant_id, category, action, preset, keep, online, archive_to, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, session_user)",
        &[
            tenant,
            category,
            action,
            db::text(wish.preset.as_deref()),
            interval(wish.keep),
            interval(wish.online),
            db::text(policy.archive_to.as_deref()),
        ],
    )
    .map(|_| ())
}

fn text_of(interval: Option<Interval>) -> Result<Option<String>, Error> {
    let datum = interval.and_then(IntoDatum::into_datum);
    db::value(
        Mode::Read,
        "SELECT $1::text",
        &[(pg_sys::INTERVALOID, datum)],
    )
}
