//! `row_as_of()`: a row as it stood, told by the log alone.

use super::lives::{Bound, ChangeEvent, KeyColumn, Lives, key_columns};
use super::target::oid_parameter;
use super::timeline::{Timeline, stored_columns};
use super::trigger::printing;
use crate::access;
use crate::clock;
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::value::{JsonbArg, JsonbOut, Regclass};
use activity_log_core::capture::replay::{Change, Row, Step, apply, key_text};
use activity_log_core::jsonb::{BuildError, Jsonb, Object, Value};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// A row of a captured table as it stood at a time, as far as the log tells; NULL if there was
/// none. The member `$inexact` lists the columns whose values are not exact.
#[pg_extern(stable, parallel_unsafe)]
fn row_as_of(
    target: default!(Option<Regclass>, "NULL"),
    key: default!(Option<JsonbArg<'_>>, "NULL"),
    at: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> Result<Option<JsonbOut>, ErrorReport> {
    db::oid(Relation::Captures)?;
    let Regclass(relation) = target.ok_or(Error::Missing { argument: "target" })?;
    let columns = key_columns(relation)?;
    if columns.is_empty() {
        return Err(Error::NoKey.into());
    }
    let key = key.ok_or(Error::Missing { argument: "key" })?;
    let (lives, timeline) = lives(relation, &columns)?;
    let key = read_key(&columns, key)?;
    let at = at.map_or_else(clock::now, i64::from);
    Ok(row_at(&lives, &timeline, relation, key, at)?.map(JsonbOut))
}

/// The rows of the table in the log of the caller's tenant, and the table itself.
fn lives(relation: pg_sys::Oid, key: &[KeyColumn]) -> Result<(Lives, Timeline), Error> {
    let tenant_id = access::readable_tenants()?;
    let names = db::query(
        Mode::Read,
        "SELECT c.object_type, c.action_prefix FROM activity.captures c JOIN activity._captured_tables() t USING (capture_id) \
         WHERE t.relation = $1 OR t.relation IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors($1::regclass) a)",
        &[oid_parameter(relation)],
        |row| {
            Ok((
                row.must::<String>(1, "captures")?,
                row.must::<String>(2, "captures")?,
            ))
        },
    )?;
    let Some((object_type, action_prefix)) = names.into_iter().next() else {
        return Err(Error::Unknown {
            what: "the capture of this table",
            hint: "SELECT * FROM activity.coverage(); lists what is captured.",
        });
    };
    let timeline = Timeline::of(tenant_id.as_ref(), &object_type)?;
    let lives = Lives {
        truncations: timeline.truncations(),
        tenant_id,
        object_type,
        action_prefix,
        key: key.iter().map(|column| column.name.clone()).collect(),
    };
    Ok((lives, timeline))
}

/// The value of a key's column: its text, as the log has it in a row's name, and as a document.
struct Part {
    column: String,
    text: String,
    value: Vec<u8>,
}

/// Reads the key that the caller gives.
fn read_key(columns: &[KeyColumn], key: JsonbArg<'_>) -> Result<Vec<Part>, Error> {
    let document = key.document("key")?;
    let bad = || Error::Invalid {
        argument: "key",
        problem: "it must be a JSON object with the columns of the key and no others".into(),
        hint: Some("As in '{\"id\": 1}'."),
    };
    let Value::Object(values) = document.root() else {
        return Err(bad());
    };
    if values.len() != columns.len() {
        return Err(bad());
    }
    columns
        .iter()
        .map(|column| part(values, column)?.ok_or_else(bad))
        .collect()
}

/// One column of the key; `None` where the caller gives no value for it.
///
/// What the caller writes is read as the column's type, so that a time in another format or a
/// UUID in capitals is the same.
fn part(values: Object<'_>, column: &KeyColumn) -> Result<Option<Part>, Error> {
    let Some(given) = values.get(&column.name) else {
        return Ok(None);
    };
    let text = key_text(given).filter(|_| !matches!(given, Value::Null));
    let Some(text) = text else {
        return Ok(None);
    };
    // The type is one of the server's own, or text: nobody's code runs.
    let kind = column.kind.as_deref().unwrap_or("pg_catalog.text");
    let value = printing(true, || {
        db::value::<JsonbOut>(
            Mode::Read,
            &format!("SELECT pg_catalog.to_jsonb($1::{kind})"),
            &[db::text(Some(&text))],
        )
    })?;
    let Some(JsonbOut(value)) = value else {
        return Ok(None);
    };
    let read = Jsonb::new(&value).ok().and_then(|d| key_text(d.root()));
    Ok(Some(Part {
        column: column.name.clone(),
        text: read.unwrap_or(text),
        value,
    }))
}

/// What happened to the row that had the name at the time: back through its names, to its making
/// or to the beginning of capture.
fn life(lives: &Lives, name: &str, at: i64) -> Result<(Vec<ChangeEvent>, bool), Error> {
    let mut events = Vec::new();
    let (mut name, mut bound) = (name.to_owned(), Bound::at(at));
    loop {
        pgrx::check_for_interrupts!();
        let tail = lives.tail(&name, bound)?;
        let is_gone = tail.follows_an_end && tail.events.is_empty() && tail.arrival.is_none();
        events.splice(0..0, tail.events);
        let Some(arrival) = tail.arrival else {
            return Ok((events, is_gone));
        };
        name = Lives::name_before(&arrival).to_owned();
        bound.before = arrival.event_id;
        events.insert(0, arrival);
    }
}

fn row_at(
    lives: &Lives,
    timeline: &Timeline,
    relation: pg_sys::Oid,
    key: Vec<Part>,
    at: i64,
) -> Result<Option<Vec<u8>>, Error> {
    let texts: Vec<String> = key.iter().map(|part| part.text.clone()).collect();
    let name = lives.name(&texts);
    let (events, is_gone) = life(lives, &name, at)?;
    let row = match events.first() {
        Some(_) => replay(&events, timeline, at)?,
        None if is_gone => None,
        None => from_before_capture(lives, &name, at)?,
    };
    let Some(mut row) = row else {
        return Ok(None);
    };
    if !events.first().is_some_and(ChangeEvent::is_creation) {
        fill_from_later(&mut row, lives, &name, at, timeline)?;
        for part in key {
            row.fill_column(&part.column, part.value);
        }
    }
    let mut expected = stored_columns(relation)?;
    timeline.undo_after(at, &mut expected);
    expected.retain(|column| !row.has(column));
    row.document(&expected).map(Some).map_err(unreadable)
}

fn unreadable(_: BuildError) -> Error {
    Error::Internal { place: "replay" }
}

/// The row after its events and what happened to the table in between and since.
fn replay(events: &[ChangeEvent], timeline: &Timeline, at: i64) -> Result<Option<Row>, Error> {
    let Some(first) = events.first() else {
        return Ok(None);
    };
    let mut steps: Vec<([u8; 16], Step<'_>)> = events
        .iter()
        .filter_map(|event| Some((event.event_id, Step::Change(event.change()?))))
        .collect();
    steps.extend(timeline.steps(first.event_id, at));
    steps.sort_by_key(|(event_id, _)| *event_id);
    steps
        .into_iter()
        .try_fold(None, |row, (_, step)| apply(row, step))
        .map_err(unreadable)
}

/// A row without events until the time was there all the same if a later one changes or deletes
/// it, unless it got its name only in between.
fn from_before_capture(lives: &Lives, name: &str, at: i64) -> Result<Option<Row>, Error> {
    let later = lives.later(name, at)?;
    let Some(first) = later.first().filter(|event| !event.is_creation()) else {
        return Ok(None);
    };
    let until_then = Bound {
        until: i64::MAX,
        before: first.event_id,
    };
    let arrived_later = lives.arrival(name, [0; 16], until_then)?.is_some();
    Ok((!arrived_later).then(Row::default))
}

/// What later changes say of the columns that no earlier one told: their old values are those
/// that the row had.
fn fill_from_later(
    row: &mut Row,
    lives: &Lives,
    name: &str,
    at: i64,
    timeline: &Timeline,
) -> Result<(), Error> {
    let limit = timeline.first_break_after(at);
    for event in lives.later(name, at)? {
        if limit.is_some_and(|limit| limit < event.event_id) {
            break;
        }
        if let Some(old) = event.change().as_ref().and_then(Change::before) {
            row.fill(old).map_err(unreadable)?;
        }
    }
    Ok(())
}
