//! From changed rows to events, in batches.

#![allow(unsafe_code)]

use super::derived::Rules;
use super::image::{Change, Image, row_name};
use super::row::Row;
use super::summary::{Subject, Summary};
use super::table::Table;
use super::tenant::{self, Tenant};
use crate::context::{self, Context};
use crate::db::OwnedMemory;
use crate::error::Error;
use crate::metrics::{self, Counter};
use crate::privacy::{self, TenantScrubber};
use crate::record::{self, Background, Event, Stamp};
use crate::value;
use activity_log_core::privacy::TextKind;
use activity_log_core::record::{self as limits, Source};
use pgrx::Uuid;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// Events that are written at once, and bytes of them: a statement of millions of rows needs no
/// more memory than this.
const BATCH_EVENTS: usize = 100;
const BATCH_BYTES: usize = 1024 * 1024;

/// What the events of one tenant share.
pub(super) struct Scope {
    pub(super) background: Background,
    pub(super) scrubber: TenantScrubber,
}

/// What an event says besides the change itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Note {
    None,
    /// Nobody can tell whose row it is.
    MissingTenant,
    /// The row went from one tenant to another: for one it is gone, for the other it is new.
    Moved,
}

/// An event that waits for its batch.
struct Pending {
    stamp: Stamp,
    scope: Rc<Scope>,
    action: usize,
    object_id: Option<Range<usize>>,
    actor_id: Option<String>,
    changes: Range<usize>,
    note: Note,
    /// Rules that could not be applied to the change.
    failed_rules: Vec<Uuid>,
}

/// Collects the changes of one table and writes them.
pub(super) struct Writer {
    pub(super) table: Rc<Table>,
    context: Rc<Context>,
    context_tenant: Option<[u8; 16]>,
    scopes: HashMap<[u8; 16], Rc<Scope>>,
    actions: [String; 3],
    image: Image,
    pending: Vec<Pending>,
    /// The documents of what is pending, one after the other, each at a multiple of four.
    changes: Vec<u8>,
    /// The names of their rows.
    names: String,
    /// Where a bulk statement is summed up instead.
    summary: Option<Summary>,
    pub(super) rules: Rules,
    pub(super) memory: OwnedMemory,
}

/// The last part of the actions of a table, in the order of [`Writer::actions`].
const VERBS: [&str; 3] = ["created", "updated", "deleted"];

impl Writer {
    pub(super) fn new(table: Rc<Table>) -> Result<Self, Error> {
        let context = context::current();
        Ok(Self {
            context_tenant: tenant::of_context(&context)?,
            context,
            scopes: HashMap::new(),
            actions: VERBS.map(|verb| format!("{}.{verb}", table.action_prefix)),
            image: Image::new(),
            pending: Vec::new(),
            changes: Vec::new(),
            names: String::new(),
            summary: None,
            rules: Rules::default(),
            memory: OwnedMemory::passing(c"activity_log capture"),
            table,
        })
    }

    /// A writer that sums the changes up.
    pub(super) fn summing_up(table: Rc<Table>) -> Result<Self, Error> {
        Ok(Self {
            summary: Some(Summary::default()),
            ..Self::new(table)?
        })
    }

    /// Takes a change of a row; it is written with its batch.
    ///
    /// # Safety
    /// The rows are of the table, as are those of any later call.
    pub(super) unsafe fn add(&mut self, change: &Change<'_>) -> Result<(), Error> {
        let outer = self.memory.enter();
        // SAFETY: promised by the caller.
        let result = unsafe { self.add_within_memory(change) };
        self.memory.leave(outer);
        result
    }

    /// # Safety
    /// As for [`Writer::add`].
    unsafe fn add_within_memory(&mut self, change: &Change<'_>) -> Result<(), Error> {
        // SAFETY: promised by the caller.
        unsafe {
            if !self.image.is_worth_an_event(&self.table, change) {
                return Ok(());
            }
            match *change {
                Change::Updated { old, new } => {
                    let (before, after) = (self.tenant_of(&old)?, self.tenant_of(&new)?);
                    if before == after {
                        self.push(change, after, Note::None)?;
                    } else {
                        self.push(&Change::Deleted(old), before, Note::Moved)?;
                        self.push(&Change::Created(new), after, Note::Moved)?;
                    }
                }
                Change::Created(row) | Change::Deleted(row) => {
                    let tenant = self.tenant_of(&row)?;
                    self.push(change, tenant, Note::None)?;
                }
            }
            let failed_rules = self.apply_rules(change)?;
            if let Some(last) = self.pending.last_mut() {
                last.failed_rules = failed_rules;
            }
        }
        if self.pending.len() + self.rules.count() >= BATCH_EVENTS
            || self.changes.len() >= BATCH_BYTES
        {
            self.flush()?;
        }
        Ok(())
    }

    /// # Safety
    /// The row is of the table.
    pub(super) unsafe fn tenant_of(&self, row: &Row<'_>) -> Result<Tenant, Error> {
        // SAFETY: promised by the caller.
        unsafe { tenant::of_row(&self.table, row, self.context_tenant) }
    }

    /// # Safety
    /// The rows are of the table.
    unsafe fn push(
        &mut self,
        change: &Change<'_>,
        tenant: Tenant,
        note: Note,
    ) -> Result<(), Error> {
        let (action, author) = match *change {
            Change::Created(row) => (0, Some(row)),
            Change::Updated { new, .. } => (1, Some(new)),
            // The column says who changed the row last, not who deletes it.
            Change::Deleted(_) => (2, None),
        };
        let subject = Subject::new(tenant, action);
        if self
            .summary
            .as_mut()
            .is_some_and(|summary| !summary.count(subject))
        {
            return Ok(());
        }
        let scope = self.scope(tenant.id())?;
        self.changes
            .resize(self.changes.len().next_multiple_of(4), 0);
        let start = self.changes.len();
        let table = Rc::clone(&self.table);
        // SAFETY: promised by the caller.
        let (actor_id, name) = unsafe {
            self.image
                .write(&table, change, &scope.scrubber, &mut self.changes)?;
            let actor_id = author.map(|row| self.actor_of(&row, &scope)).transpose()?;
            (actor_id.flatten(), row_name(&table, &change.subject()))
        };
        if let Some(summary) = &mut self.summary {
            let document = self.changes.get(start..).unwrap_or_default();
            summary.show(subject, name.as_deref(), document);
            self.changes.truncate(start);
            return Ok(());
        }
        let object_id = name.map(|name| {
            let start = self.names.len();
            self.names.push_str(&name);
            start..self.names.len()
        });
        self.pending.push(Pending {
            stamp: Stamp::next()?,
            scope,
            action,
            object_id,
            actor_id,
            changes: start..self.changes.len(),
            note: if tenant == Tenant::Missing {
                Note::MissingTenant
            } else {
                note
            },
            failed_rules: Vec::new(),
        });
        Ok(())
    }

    /// # Safety
    /// The row is of the table.
    pub(super) unsafe fn actor_of(
        &self,
        row: &Row<'_>,
        scope: &Scope,
    ) -> Result<Option<String>, Error> {
        let Some((index, form)) = &self.table.actor else {
            return Ok(None);
        };
        let Some(datum) = row.get(*index) else {
            return Ok(None);
        };
        // SAFETY: promised by the caller.
        let text = unsafe { form.name(datum) };
        let text = limits::cut(&text, limits::MAX_IDENTIFIER);
        let tenant = &scope.background.tenant_id;
        let text = privacy::scrub_text(tenant, text, TextKind::Identifier)?;
        Ok(value::given(Some(&text)).map(str::to_owned))
    }

    pub(super) fn scope(&mut self, tenant: [u8; 16]) -> Result<Rc<Scope>, Error> {
        if let Some(scope) = self.scopes.get(&tenant) {
            return Ok(Rc::clone(scope));
        }
        let scope = Rc::new(Scope {
            background: Background::of(&self.context, tenant)?,
            scrubber: TenantScrubber::new(&tenant)?,
        });
        self.scopes.insert(tenant, Rc::clone(&scope));
        Ok(scope)
    }

    /// Writes what is pending, and the summary.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        let Some(summary) = self.summary.take() else {
            return Ok(());
        };
        for (subject, metadata) in summary.metadata()? {
            metrics::add(Counter::CaptureSummaries, 1);
            let scope = self.scope(subject.tenant_id)?;
            let action = self.actions.get(subject.action).map_or("", String::as_str);
            let mut event = Event::of(action, Source::Capture, &scope.background);
            event.object_type = Some(Cow::Borrowed(&self.table.object_type));
            event.metadata = metadata.into();
            record::write(&[(Stamp::next()?, event)])?;
        }
        Ok(())
    }

    /// Writes what is pending.
    fn flush(&mut self) -> Result<(), Error> {
        if !self.pending.is_empty() || self.rules.count() > 0 {
            let outer = self.memory.enter();
            let result = self.write_pending();
            self.memory.leave(outer);
            self.pending.clear();
            self.changes.clear();
            self.names.clear();
            self.rules.clear();
            result?;
        }
        self.memory.reset();
        pgrx::check_for_interrupts!();
        Ok(())
    }

    fn write_pending(&self) -> Result<(), Error> {
        let notes = [
            value::container(&serde_json::json!({"missing_tenant": true}))?,
            value::container(&serde_json::json!({"moved": true}))?,
        ];
        let mut events: Vec<(Stamp, Event<'_>)> = Vec::with_capacity(self.pending.len());
        for pending in &self.pending {
            events.push((pending.stamp, self.event(pending, &notes)?));
        }
        if self.rules.count() > 0 {
            events.extend(self.rules.events(&self.table));
            events.sort_by_key(|(stamp, _)| stamp.event_id);
        }
        record::write(&events)
    }

    fn event<'a>(
        &'a self,
        pending: &'a Pending,
        notes: &'a [Vec<u8>; 2],
    ) -> Result<Event<'a>, Error> {
        let action = self.actions.get(pending.action).map_or("", String::as_str);
        let object_id = pending
            .object_id
            .clone()
            .and_then(|range| self.names.get(range));
        let mut event = Event::of(action, Source::Capture, &pending.scope.background);
        event.object_type = Some(Cow::Borrowed(&self.table.object_type));
        event.object_id = object_id.map(Cow::Borrowed);
        event.changes = self.changes.get(pending.changes.clone()).map(Cow::Borrowed);
        if let Some(actor_id) = &pending.actor_id {
            event.actor_type = None;
            event.actor_id = Some(Cow::Borrowed(actor_id));
        }
        match pending.note {
            Note::None => {}
            Note::MissingTenant => {
                metrics::add(Counter::CaptureMissingTenant, 1);
                event.metadata = Cow::Borrowed(&notes[0]);
            }
            Note::Moved => event.metadata = Cow::Borrowed(&notes[1]),
        }
        if !pending.failed_rules.is_empty() {
            metrics::add(
                Counter::CaptureFailedRules,
                pending.failed_rules.len() as u64,
            );
            event.metadata = Cow::Owned(self.failure_note(pending)?);
        }
        Ok(event)
    }

    /// The metadata of a change to which rules could not be applied: their events are lost, and
    /// this is where that can be counted.
    fn failure_note(&self, pending: &Pending) -> Result<Vec<u8>, Error> {
        let rules: Vec<String> = pending.failed_rules.iter().map(Uuid::to_string).collect();
        let mut metadata = serde_json::json!({"failed_rules": rules});
        match pending.note {
            Note::None => {}
            Note::MissingTenant => metadata["missing_tenant"] = true.into(),
            Note::Moved => metadata["moved"] = true.into(),
        }
        value::container(&metadata)
    }
}
