//! Events that rules make of changed rows, beside those of the changes themselves.

#![allow(unsafe_code)]

use super::image::{Change, row_name};
use super::row::Row;
use super::table::Table;
use super::writer::{Scope, Writer};
use crate::capture::prepared::report;
use crate::capture::rules::{Operation, Rule};
use crate::capture::transition::{Outcome, Transitions};
use crate::db;
use crate::error::Error;
use crate::record::{self, Event, Stamp};
use activity_log_core::record::Source;
use pgrx::Uuid;
use std::borrow::Cow;
use std::rc::Rc;

/// An event of a rule that waits for its batch.
struct Derived {
    stamp: Stamp,
    scope: Rc<Scope>,
    rule: Rc<Rule>,
    version: Option<i32>,
    object_id: Option<String>,
    actor_id: Option<String>,
    metadata: Vec<u8>,
}

/// The rules of a table at work on the rows of a statement.
#[derive(Default)]
pub(super) struct Rules {
    /// One for each operation that has occurred; `None` where it has no rule.
    transitions: Vec<(Operation, Option<Transitions>)>,
    pending: Vec<Derived>,
}

impl Rules {
    pub(super) fn count(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    /// The events that wait.
    pub(super) fn events<'a>(
        &'a self,
        table: &'a Table,
    ) -> impl Iterator<Item = (Stamp, Event<'a>)> {
        self.pending.iter().map(|derived| {
            let background = &derived.scope.background;
            let mut event = Event::of(&derived.rule.action, Source::Capture, background);
            event.action_version = derived.version;
            event.object_type = Some(Cow::Borrowed(&table.object_type));
            event.object_id = derived.object_id.as_deref().map(Cow::Borrowed);
            event.metadata = Cow::Borrowed(&derived.metadata);
            if let Some(actor_id) = &derived.actor_id {
                event.actor_type = None;
                event.actor_id = Some(Cow::Borrowed(actor_id));
            }
            (derived.stamp, event)
        })
    }

    fn at_work(&mut self, operation: Operation) -> Option<&mut Option<Transitions>> {
        let mut known = self.transitions.iter_mut();
        known
            .find(|(of, _)| *of == operation)
            .map(|(_, transitions)| transitions)
    }
}

impl Writer {
    /// Lets the rules of the table look at a change; those that failed for it.
    ///
    /// # Safety
    /// The rows are of the table.
    pub(super) unsafe fn apply_rules(&mut self, change: &Change<'_>) -> Result<Vec<Uuid>, Error> {
        let (operation, old, new) = match change {
            Change::Created(new) => (Operation::Insert, None, Some(new)),
            Change::Updated { old, new } => (Operation::Update, Some(old), Some(new)),
            Change::Deleted(old) => (Operation::Delete, Some(old), None),
        };
        if self.rules.at_work(operation).is_none() {
            let memory = self.memory.beside(c"activity_log rules");
            let table = &self.table;
            // SAFETY: the trigger that runs keeps its relation open.
            let transitions =
                unsafe { Transitions::of(table.relation, &table.capture_id, operation, memory) }?;
            self.rules.transitions.push((operation, transitions));
        }
        let Some(Some(transitions)) = self.rules.at_work(operation) else {
            return Ok(Vec::new());
        };
        // SAFETY: promised by the caller.
        let outcomes = unsafe { transitions.apply(old.map(Row::parts), new.map(Row::parts)) };
        let mut failed = Vec::new();
        for outcome in outcomes {
            match outcome {
                Outcome::Failed { rule } => failed.push(rule),
                Outcome::Event { rule, metadata } => {
                    // SAFETY: promised by the caller.
                    let derived = unsafe { self.derive(&rule, &metadata, change) }?;
                    match derived {
                        Some(derived) => self.rules.pending.push(derived),
                        None => failed.push(rule.id),
                    }
                }
            }
        }
        Ok(failed)
    }

    /// The event of a rule; `None` where the registry refuses it, or its metadata.
    ///
    /// # Safety
    /// The rows are of the table.
    unsafe fn derive(
        &mut self,
        rule: &Rc<Rule>,
        metadata: &[u8],
        change: &Change<'_>,
    ) -> Result<Option<Derived>, Error> {
        let (row, author) = match *change {
            Change::Created(row) | Change::Updated { new: row, .. } => (row, Some(row)),
            Change::Deleted(row) => (row, None),
        };
        // SAFETY: promised by the caller.
        let tenant = unsafe { self.tenant_of(&row) }?;
        let scope = self.scope(tenant.id())?;
        let tenant_id = &scope.background.tenant_id;
        let checked = db::in_subtransaction(|| {
            record::checked_metadata(&rule.action, tenant_id, metadata)
                .map(|(version, metadata)| (version, metadata.into_owned()))
        });
        let (version, metadata) = match checked {
            Ok(checked) => checked,
            Err(failure) => {
                report(rule, &failure);
                return Ok(None);
            }
        };
        // SAFETY: as above.
        let (actor_id, name) = unsafe {
            let actor_id = author.map(|row| self.actor_of(&row, &scope)).transpose()?;
            (actor_id.flatten(), row_name(&self.table, &row))
        };
        Ok(Some(Derived {
            stamp: Stamp::next()?,
            object_id: name.map(Cow::into_owned),
            scope,
            rule: Rc::clone(rule),
            version,
            actor_id,
            metadata,
        }))
    }
}
