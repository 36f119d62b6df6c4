//! The events of one table, some at a time: read, rewritten by the core, and put back.

use super::Subject;
use super::tables::Table;
use crate::db::{self, Mode, Parameter, Row};
use crate::error::Error;
use crate::record::guard::{Change, through_door};
use crate::retention::hold::HOLDING;
use crate::value::JsonbOut;
use activity_log_core::erasure::{erase_document, names};
use activity_log_core::jsonb::Jsonb;
use pgrx::datum::{IntoDatum, TimestampWithTimeZone};
use pgrx::{Uuid, pg_sys};

/// Events that are in memory at once, each with its documents.
const BATCH: usize = 100;
/// Idempotency keys are looked for by the id of their event, which they have no index for: so for
/// many at once.
const KEYS_BATCH: usize = 10_000;

/// Which events are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The actor did it.
    Actor,
    /// It was done to the actor, by somebody else.
    Object,
}

impl Role {
    /// The condition; $2 is the actor, $3 the types of object. Each has an index.
    fn condition(self) -> &'static str {
        match self {
            Self::Actor => "e.actor_id = $2 AND $3::text[] IS NOT NULL",
            Self::Object => {
                "e.object_id = $2 AND e.object_type = ANY ($3) AND e.actor_id IS DISTINCT FROM $2"
            }
        }
    }
}

/// What is read of an event.
struct Event {
    event_id: Uuid,
    recorded_at: TimestampWithTimeZone,
    occurred_at: TimestampWithTimeZone,
    hold_id: Option<Uuid>,
    actor_id: Option<String>,
    object_id: Option<String>,
    request_id: Option<String>,
    user_agent: Option<String>,
    db_role: Option<String>,
    metadata: Vec<u8>,
    changes: Option<Vec<u8>>,
}

impl Event {
    fn read(row: &Row) -> Result<Self, Error> {
        let place = "events";
        Ok(Self {
            event_id: row.must(1, place)?,
            recorded_at: row.must(2, place)?,
            occurred_at: row.must(3, place)?,
            hold_id: row.get(4),
            actor_id: row.get(5),
            object_id: row.get(6),
            request_id: row.get(7),
            user_agent: row.get(8),
            db_role: row.get(9),
            metadata: row.must::<JsonbOut>(10, place)?.0,
            changes: row.get::<JsonbOut>(11).map(|changes| changes.0),
        })
    }

    fn erase(&mut self, subject: &Subject<'_>, role: Role) -> Result<(), Error> {
        let pseudonym = &subject.pseudonym;
        let replace = |text: &mut Option<String>| {
            if text
                .as_deref()
                .is_some_and(|text| names(text, subject.actor_id))
            {
                *text = Some(pseudonym.text().to_owned());
            }
        };
        replace(&mut self.object_id);
        if role == Role::Actor {
            self.actor_id = Some(pseudonym.text().to_owned());
            self.user_agent = None;
            self.request_id = self.request_id.as_deref().map(|id| pseudonym.of(id));
            replace(&mut self.db_role);
        } else {
            replace(&mut self.request_id);
        }
        self.metadata = erased(&self.metadata, subject)?;
        self.changes = self
            .changes
            .as_deref()
            .map(|changes| erased(changes, subject))
            .transpose()?;
        Ok(())
    }
}

fn erased(container: &[u8], subject: &Subject<'_>) -> Result<Vec<u8>, Error> {
    let unreadable = Error::Internal { place: "document" };
    let document = Jsonb::new(container).map_err(|_| unreadable.clone())?;
    erase_document(document, subject.actor_id).map_err(|_| unreadable)
}

/// Erases the actor in one table; how many events were changed.
pub(super) fn erase_table(
    table: &Table,
    subject: &Subject<'_>,
    object_types: &[String],
) -> Result<u64, Error> {
    let mut keys = Keys(Vec::new());
    let mut count = 0;
    for role in [Role::Actor, Role::Object] {
        let mut after = None;
        loop {
            pgrx::check_for_interrupts!();
            let batch = db::in_passing_memory(|| {
                let batch = next(table, subject, object_types, role, after)?;
                write(table, role, &batch)?;
                Ok::<_, Error>(batch)
            })?;
            let Some(last) = batch.last() else { break };
            after = Some((last.occurred_at, last.event_id));
            count += batch.len() as u64;
            keys.add(subject, &batch)?;
        }
    }
    keys.erase(subject)?;
    Ok(count)
}

/// The next events, erased in memory. A statement sees what the ones before have written, and goes
/// on behind the last event, so that no index entry of an old row is walked twice.
fn next(
    table: &Table,
    subject: &Subject<'_>,
    object_types: &[String],
    role: Role,
    after: Option<(TimestampWithTimeZone, Uuid)>,
) -> Result<Vec<Event>, Error> {
    let statement = format!(
        "SELECT e.event_id, e.recorded_at, e.occurred_at, {HOLDING}, e.actor_id, e.object_id, e.request_id, \
                e.user_agent, e.db_role, e.metadata, e.changes FROM ONLY {} e \
         WHERE e.tenant_id = $1 AND {} AND ($4 IS NULL OR (e.occurred_at, e.event_id) > ($4, $5)) \
         ORDER BY e.occurred_at, e.event_id LIMIT {BATCH} FOR UPDATE OF e",
        table.name,
        role.condition()
    );
    let (time, id) = after.unzip();
    let parameters = [
        db::uuid(&subject.tenant_id),
        db::text(Some(subject.actor_id)),
        (pg_sys::TEXTARRAYOID, object_types.to_vec().into_datum()),
        (pg_sys::TIMESTAMPTZOID, time.into_datum()),
        (pg_sys::UUIDOID, id.into_datum()),
    ];
    let mut events = db::query(Mode::Write, &statement, &parameters, Event::read)?;
    for event in &mut events {
        if let Some(hold_id) = event.hold_id {
            return Err(Error::Held {
                hold_id: hold_id.to_string(),
            });
        }
        event.erase(subject, role)?;
    }
    Ok(events)
}

/// Puts the events back. Of addresses nothing is left where the actor acted.
fn write(table: &Table, role: Role, events: &[Event]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let addresses = match role {
        Role::Actor => ", ip_hash = NULL, ip_prefix = NULL",
        Role::Object => "",
    };
    let statement = format!(
        "UPDATE ONLY {} e SET actor_id = r.actor_id, object_id = r.object_id, request_id = r.request_id, \
                user_agent = r.user_agent, db_role = r.db_role, metadata = r.metadata, changes = r.changes{addresses} \
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) AS r(event_id, recorded_at, actor_id, object_id, \
                request_id, user_agent, db_role, metadata, changes) \
         WHERE e.event_id = r.event_id AND e.recorded_at = r.recorded_at",
        table.name
    );
    let parameters = parameters(events);
    let written = through_door(table.relation, Change::Update, || {
        db::run(&statement, &parameters)
    })?;
    if written == events.len() as u64 {
        Ok(())
    } else {
        Err(Error::Internal { place: "erasure" })
    }
}

/// The columns of the events, each as an array.
fn parameters(events: &[Event]) -> [Parameter; 9] {
    let texts = |of: fn(&Event) -> &Option<String>| -> Parameter {
        let texts: Vec<Option<String>> = events.iter().map(|event| of(event).clone()).collect();
        (pg_sys::TEXTARRAYOID, texts.into_datum())
    };
    let documents = |of: fn(&Event) -> Option<&Vec<u8>>| -> Parameter {
        let documents: Vec<Option<JsonbOut>> = events
            .iter()
            .map(|event| of(event).map(|document| JsonbOut(document.clone())))
            .collect();
        (pg_sys::JSONBARRAYOID, documents.into_datum())
    };
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let times: Vec<TimestampWithTimeZone> = events.iter().map(|event| event.recorded_at).collect();
    [
        (pg_sys::UUIDARRAYOID, ids.into_datum()),
        (pg_sys::TIMESTAMPTZARRAYOID, times.into_datum()),
        texts(|event| &event.actor_id),
        texts(|event| &event.object_id),
        texts(|event| &event.request_id),
        texts(|event| &event.user_agent),
        texts(|event| &event.db_role),
        documents(|event| Some(&event.metadata)),
        documents(|event| event.changes.as_ref()),
    ]
}

/// The ids of erased events whose idempotency keys are still to be erased: a key is the caller's
/// text and may well name somebody.
struct Keys(Vec<Uuid>);

impl Keys {
    fn add(&mut self, subject: &Subject<'_>, events: &[Event]) -> Result<(), Error> {
        self.0.extend(events.iter().map(|event| event.event_id));
        if self.0.len() >= KEYS_BATCH {
            self.erase(subject)?;
        }
        Ok(())
    }

    fn erase(&mut self, subject: &Subject<'_>) -> Result<(), Error> {
        let ids = std::mem::take(&mut self.0);
        if ids.is_empty() {
            return Ok(());
        }
        db::run(
            "UPDATE activity.idempotency_keys SET idempotency_key = '[erased:' || event_id || ']' \
             WHERE tenant_id = $1 AND event_id = ANY ($2)",
            &[
                db::uuid(&subject.tenant_id),
                (pg_sys::UUIDARRAYOID, ids.into_datum()),
            ],
        )
        .map(|_| ())
    }
}
