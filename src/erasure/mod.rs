//! `erase_actor()`: one person's identity and free text become unreadable, wherever the log has
//! them; the events stay. What replaces them is in `activity_log_core::erasure`.
//!
//! `event_id`, tenant, times, action, status, source, types, `xact` and `gen` are never touched, so
//! order, streams and whatever is derived from these fields stay as they are.

mod batch;
mod holds;
mod tables;

use crate::access::{self, Purpose};
use crate::context::{self, Context};
use crate::db;
use crate::error::{self, Error};
use crate::retention::hold;
use crate::value::given;
use crate::{privacy, record};
use activity_log_core::erasure::{Pseudonym, is_erased, names};
use activity_log_core::privacy::TextKind;
use pgrx::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Longest reason, in bytes.
const MAX_REASON: usize = 1_000;

/// Whom an erasure is about, and what stands in their place.
struct Subject<'a> {
    tenant_id: [u8; 16],
    actor_id: &'a str,
    pseudonym: Pseudonym,
}

/// Erases an actor of a tenant; how many events were changed.
#[pg_extern(volatile, parallel_unsafe)]
fn erase_actor(
    actor_id: default!(Option<&str>, "NULL"),
    tenant_id: default!(Option<Uuid>, "NULL"),
    reason: default!(Option<&str>, "NULL"),
) -> Result<i64, ErrorReport> {
    record::ready()?;
    let actor_id = required("actor_id", given(actor_id))?;
    let tenant_id = *required("tenant_id", tenant_id)?.as_bytes();
    let reason = required("reason", given(reason))?;
    access::check_tenant(&tenant_id, Purpose::Write)?;
    check(actor_id, reason)?;
    let subject = Subject {
        tenant_id,
        actor_id,
        pseudonym: Pseudonym::new(db::random()?),
    };
    let erased = erase(&subject)?;
    write_event(&subject, reason, &erased)?;
    tell(&subject, &erased)?;
    Ok(erased.events as i64)
}

fn required<T>(argument: &'static str, value: Option<T>) -> Result<T, Error> {
    value.ok_or(Error::Missing { argument })
}

fn check(actor_id: &str, reason: &str) -> Result<(), Error> {
    if is_erased(actor_id) {
        return Err(Error::invalid(
            "actor_id",
            "it is what an erasure has put there",
        ));
    }
    if reason.len() > MAX_REASON {
        return Err(Error::TooLarge {
            what: "reason",
            bytes: reason.len(),
            limit: MAX_REASON,
            setting: None,
        });
    }
    if names(reason, actor_id) {
        return Err(Error::invalid(
            "reason",
            "it must not name the actor: it stays in the log",
        ));
    }
    Ok(())
}

/// What an erasure has done.
struct Erased {
    events: u64,
    /// The tables whose rows were changed.
    tables: Vec<String>,
}

fn erase(subject: &Subject<'_>) -> Result<Erased, Error> {
    db::require_read_committed()?;
    hold::lock()?;
    let mut erased = Erased {
        events: 0,
        tables: Vec::new(),
    };
    let tables = tables::of_events()?;
    let object_types = tables::object_types(&tables, subject)?;
    let released = holds::released(subject, &object_types)?;
    for table in &tables {
        let events = batch::erase_table(table, subject, &object_types)?;
        let told = holds::erase_events(table, &released)?;
        if events + told > 0 {
            erased.tables.push(table.name.clone());
        }
        erased.events += events;
    }
    holds::erase_rows(subject, &released)?;
    tables::archive_anew(&erased.tables)?;
    tables::forget_statistics(&erased.tables)?;
    Ok(erased)
}

/// The event names nobody: also not where administrators erase themselves.
fn write_event(subject: &Subject<'_>, reason: &str, erased: &Erased) -> Result<(), Error> {
    let reason = privacy::scrub_text(&subject.tenant_id, reason, TextKind::Free)?;
    let metadata = serde_json::json!({
        "tenant_id": Uuid::from_bytes(subject.tenant_id).to_string(),
        "pseudonym": subject.pseudonym.text(),
        "reason": reason,
        "events": erased.events,
        "tables": erased.tables,
    });
    let current = context::current();
    let of_context = [&current.actor_id, &current.request_id, &current.user_agent];
    let is_named = of_context
        .into_iter()
        .flatten()
        .any(|text| names(text, subject.actor_id));
    if !is_named {
        return record::write_system_event("activity.actor.erased", &metadata);
    }
    let nobody = Context {
        actor_id: Some(subject.pseudonym.text().to_owned()),
        actor_type: current.actor_type.clone(),
        ..Context::default()
    };
    record::write_system_event_of(&nobody, "activity.actor.erased", &metadata)
}

/// What is left to do, for whoever is at the keyboard.
fn tell(subject: &Subject<'_>, erased: &Erased) -> Result<(), Error> {
    if !erased.tables.is_empty() {
        error::notice(
            "the old rows stay in the files of the server until they are rewritten".into(),
            &format!(
                "After the commit: VACUUM FULL {}, activity.idempotency_keys, pg_catalog.pg_statistic;",
                erased.tables.join(", ")
            ),
        );
    }
    let archives = tables::archives(&subject.tenant_id)?;
    if archives > 0 {
        error::notice(
            format!("{archives} archives may hold events of the actor and were not changed"),
            "activity.archived_events(actor_id, tenant_id) counts them.",
        );
    }
    Ok(())
}
