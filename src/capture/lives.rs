//! The events of one row: found by its name, and by the names it had before.

use super::target::oid_parameter;
use crate::access::{self, Purpose};
use crate::db::{self, Mode, Parameter};
use crate::error::Error;
use crate::value::JsonbOut;
use activity_log_core::capture::replay::{Change, key_text};
use activity_log_core::capture::{composite_key, naming, object_id};
use activity_log_core::jsonb::Jsonb;
use pgrx::{IntoDatum, Uuid, pg_sys};

/// An event that tells of a change of a row.
pub(super) struct ChangeEvent {
    pub(super) event_id: [u8; 16],
    /// What the row was called before the change.
    name: String,
    changes: Vec<u8>,
}

impl ChangeEvent {
    /// What it tells; `None` if that is no change of a row.
    pub(super) fn change(&self) -> Option<Change<'_>> {
        Jsonb::new(&self.changes)
            .ok()
            .and_then(|document| Change::read(document.root()))
    }

    pub(super) fn is_creation(&self) -> bool {
        matches!(self.change(), Some(Change::Created(_)))
    }
}

/// How far back, or forward, events are looked for.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    /// Events recorded until this time count.
    pub(super) until: i64,
    /// Events before this one count.
    pub(super) before: [u8; 16],
}

impl Bound {
    /// Everything that was recorded until a time.
    pub(super) fn at(until: i64) -> Self {
        Self {
            until,
            before: [0xFF; 16],
        }
    }
}

/// The rows of a captured table, as one tenant's log knows them.
pub(super) struct Lives {
    /// `None` for the logs of all tenants that the caller may read.
    pub(super) tenant_id: Option<[u8; 16]>,
    pub(super) object_type: String,
    pub(super) action_prefix: String,
    /// The columns of the key, in its order.
    pub(super) key: Vec<String>,
    /// When all rows came to their end: event and time of recording, oldest first.
    pub(super) truncations: Vec<([u8; 16], i64)>,
}

/// The end of a life so far: what happened to a row since it has its name.
pub(super) struct Tail {
    pub(super) events: Vec<ChangeEvent>,
    /// The change of the key that gave it the name.
    pub(super) arrival: Option<ChangeEvent>,
    /// Whether an earlier row of this name has come to its end.
    pub(super) follows_an_end: bool,
}

const COLUMNS: &str = "event_id, object_id, changes, tenant_id FROM activity.events \
    WHERE ($1::uuid IS NULL OR tenant_id = $1) AND object_type = $2 AND source = 'capture' AND changes IS NOT NULL";

impl Lives {
    /// The name of the row after a change; the same as before, if its key did not change.
    fn name_after(&self, event: &ChangeEvent) -> String {
        let unchanged = || event.name.clone();
        let Some(Change::Updated(_, new)) = event.change() else {
            return unchanged();
        };
        let mut parts = match &self.key[..] {
            [_] => vec![event.name.clone()],
            // A name that is a digest tells no parts; then all of them have to be new.
            several => serde_json::from_str::<Vec<String>>(&event.name)
                .ok()
                .filter(|parts| parts.len() == several.len())
                .unwrap_or_default(),
        };
        if parts.is_empty() && self.key.iter().all(|column| new.get(column).is_some()) {
            parts = vec![String::new(); self.key.len()];
        }
        let mut is_changed = false;
        for (part, column) in parts.iter_mut().zip(&self.key) {
            if let Some(text) = new.get(column).and_then(key_text) {
                *part = text;
                is_changed = true;
            }
        }
        if is_changed {
            self.name(&parts)
        } else {
            unchanged()
        }
    }

    /// The name of a row, from the texts of its key's columns.
    pub(super) fn name(&self, parts: &[String]) -> String {
        let name = match parts {
            [only] => only.clone(),
            several => composite_key(several.iter().map(String::as_str)),
        };
        object_id(name.into()).into_owned()
    }

    /// Whether the row has its name no more after the event.
    pub(super) fn ends(&self, event: &ChangeEvent) -> bool {
        match event.change() {
            Some(Change::Deleted(_)) => true,
            Some(Change::Updated(..)) => self.name_after(event) != event.name,
            _ => false,
        }
    }

    /// The last time before the bound that all rows came to their end.
    fn truncation(&self, bound: Bound) -> Option<[u8; 16]> {
        let mut truncations = self.truncations.iter().rev();
        truncations
            .find(|(event_id, at)| *event_id < bound.before && *at <= bound.until)
            .map(|(event_id, _)| *event_id)
    }

    /// What happened to the row that has this name at the bound, since it has it.
    pub(super) fn tail(&self, name: &str, bound: Bound) -> Result<Tail, Error> {
        let mut events = self.of_name(name, bound)?;
        let ended = events.iter().rev().find(|event| self.ends(event));
        let end = ended
            .map(|event| event.event_id)
            .max(self.truncation(bound));
        let after = end.unwrap_or([0; 16]);
        events.retain(|event| event.event_id > after);
        let creation = events.iter().rposition(ChangeEvent::is_creation);
        let events = events.split_off(creation.unwrap_or(0));
        let arrival = match events.first() {
            Some(first) if first.is_creation() => None,
            first => {
                let before = first.map_or(bound.before, |first| first.event_id);
                self.arrival(name, after, Bound { before, ..bound })?
            }
        };
        Ok(Tail {
            events,
            arrival,
            follows_an_end: end.is_some(),
        })
    }

    /// Every change of a key, before the bound, that gave a row this name.
    pub(super) fn arrivals(&self, name: &str, bound: Bound) -> Result<Vec<ChangeEvent>, Error> {
        let mut arrivals = Vec::new();
        let (mut after, mut is_free) = ([0; 16], true);
        for event in self.of_name(name, bound)? {
            let until_then = Bound {
                before: event.event_id,
                ..bound
            };
            let truncation = self.truncation(until_then).filter(|id| *id > after);
            if !event.is_creation() && (is_free || truncation.is_some()) {
                let after = truncation.unwrap_or(after);
                arrivals.extend(self.arrival(name, after, until_then)?);
            }
            is_free = self.ends(&event);
            after = event.event_id;
        }
        let truncation = self.truncation(bound).filter(|id| *id > after);
        if is_free || truncation.is_some() {
            arrivals.extend(self.arrival(name, truncation.unwrap_or(after), bound)?);
        }
        Ok(arrivals)
    }

    /// The changes of rows while they had this name, oldest first.
    fn of_name(&self, name: &str, bound: Bound) -> Result<Vec<ChangeEvent>, Error> {
        self.events(
            "AND object_id = $5 ORDER BY event_id",
            bound,
            vec![db::text(Some(name))],
        )
    }

    /// The same after a time, as far as the next row of that name.
    pub(super) fn later(&self, name: &str, since: i64) -> Result<Vec<ChangeEvent>, Error> {
        let mut events = self.events(
            "AND object_id = $5 AND recorded_at > $6 ORDER BY event_id",
            Bound::at(i64::MAX),
            vec![db::text(Some(name)), db::time(since)],
        )?;
        if let Some(end) = events
            .iter()
            .position(|event| self.ends(event) || event.is_creation())
        {
            events.truncate(end + 1);
        }
        Ok(events)
    }

    /// The last change of a key, after one event and before the bound, that gave a row this name.
    pub(super) fn arrival(
        &self,
        name: &str,
        after: [u8; 16],
        bound: Bound,
    ) -> Result<Option<ChangeEvent>, Error> {
        if self.key.is_empty() {
            return Ok(None);
        }
        let [_, updated, ..] = naming::actions(&self.action_prefix);
        let candidates = self.events(
            "AND action = $5 AND object_id <> $6 AND event_id > $7 AND changes -> 'new' ?| $8 \
             ORDER BY event_id DESC",
            bound,
            vec![
                db::text(Some(&updated)),
                db::text(Some(name)),
                db::uuid(&after),
                (pg_sys::TEXTARRAYOID, self.key.clone().into_datum()),
            ],
        )?;
        Ok(candidates
            .into_iter()
            .find(|event| self.name_after(event) == name))
    }

    /// The name that a row had before it arrived at its name.
    pub(super) fn name_before(arrival: &ChangeEvent) -> &str {
        &arrival.name
    }

    fn events(
        &self,
        condition: &str,
        bound: Bound,
        more: Vec<Parameter>,
    ) -> Result<Vec<ChangeEvent>, Error> {
        const PLACE: &str = "events";
        let mut parameters = vec![
            tenant_parameter(self.tenant_id.as_ref()),
            db::text(Some(&self.object_type)),
            db::time(bound.until),
            db::uuid(&bound.before),
        ];
        parameters.extend(more);
        let sql = format!("SELECT {COLUMNS} AND recorded_at <= $3 AND event_id < $4 {condition}");
        let events = db::query(Mode::Read, &sql, &parameters, |row| {
            let event = ChangeEvent {
                event_id: *row.must::<Uuid>(1, PLACE)?.as_bytes(),
                name: row.get(2).unwrap_or_default(),
                changes: row.must::<JsonbOut>(3, PLACE)?.0,
            };
            Ok((event, *row.must::<Uuid>(4, PLACE)?.as_bytes()))
        })?;
        let mut visible = Vec::with_capacity(events.len());
        for (event, tenant_id) in events {
            if self.tenant_id.is_some() || access::may_reach(&tenant_id, Purpose::Read)? {
                visible.push(event);
            }
        }
        Ok(visible)
    }
}

/// A tenant as a parameter; NULL for all.
pub(super) fn tenant_parameter(tenant_id: Option<&[u8; 16]>) -> Parameter {
    tenant_id.map_or((pg_sys::UUIDOID, None), db::uuid)
}

/// A column of a key: its name, and its type where that is one of the server's own.
pub(super) struct KeyColumn {
    pub(super) name: String,
    pub(super) kind: Option<String>,
}

/// The key that tells the rows of a table apart in the log; empty if it has none.
pub(super) fn key_columns(relation: pg_sys::Oid) -> Result<Vec<KeyColumn>, Error> {
    db::query(
        Mode::Read,
        include_str!("../../sql/query/key_columns.sql"),
        &[oid_parameter(relation)],
        |row| {
            Ok(KeyColumn {
                name: row.must(1, "pg_index")?,
                kind: row.get(2),
            })
        },
    )
}
