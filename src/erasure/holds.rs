//! What the log says of legal holds names an actor as well. Holds that are in force refuse an
//! erasure before it gets here, as far as they cover any event; released ones are erased with it.

use super::Subject;
use super::tables::Table;
use crate::access::SYSTEM_TENANT;
use crate::db::{self, Mode, Parameter};
use crate::error::Error;
use crate::record::guard::{Change, through_door};
use pgrx::datum::IntoDatum;
use pgrx::{Uuid, pg_sys};

/// The released holds on the actor, or on the object that the actor is.
pub(super) fn released(subject: &Subject<'_>, object_types: &[String]) -> Result<Vec<Uuid>, Error> {
    db::query(
        Mode::Write,
        "SELECT hold_id FROM activity.legal_holds WHERE released_at IS NOT NULL \
         AND (tenant_id = $1 OR tenant_id IS NULL) \
         AND (actor_id = $2 OR (object_id = $2 AND object_type = ANY ($3)))",
        &[
            db::uuid(&subject.tenant_id),
            db::text(Some(subject.actor_id)),
            (pg_sys::TEXTARRAYOID, object_types.to_vec().into_datum()),
        ],
        |row| row.must(1, "legal_holds"),
    )
}

fn ids(holds: &[Uuid]) -> Parameter {
    (pg_sys::UUIDARRAYOID, holds.to_vec().into_datum())
}

/// The events about these holds keep everything but who it was about, and why.
pub(super) fn erase_events(table: &Table, holds: &[Uuid]) -> Result<u64, Error> {
    if holds.is_empty() {
        return Ok(0);
    }
    let statement = format!(
        "UPDATE ONLY {} SET metadata = metadata || \
             (SELECT jsonb_object_agg(k, '{{\"$erased\": true}}'::jsonb) \
              FROM unnest('{{actor_id,object_id,reason}}'::text[]) k WHERE metadata ->> k IS NOT NULL) \
         WHERE tenant_id = $1 AND action = ANY ('{{activity.hold.placed,activity.hold.released}}') \
         AND (metadata ->> 'hold_id')::uuid = ANY ($2) \
         AND jsonb_typeof(metadata -> 'reason') = 'string'",
        table.name
    );
    through_door(table.relation, Change::Update, || {
        db::run(&statement, &[db::uuid(&SYSTEM_TENANT), ids(holds)])
    })
}

/// The rows of the holds themselves. Their reasons are free text.
pub(super) fn erase_rows(subject: &Subject<'_>, holds: &[Uuid]) -> Result<(), Error> {
    if holds.is_empty() {
        return Ok(());
    }
    db::run(
        "UPDATE activity.legal_holds SET reason = '[erased]', \
             release_reason = CASE WHEN release_reason IS NOT NULL THEN '[erased]' END, \
             actor_id = CASE WHEN actor_id = $2 THEN $3 ELSE actor_id END, \
             object_id = CASE WHEN object_id = $2 THEN $3 ELSE object_id END \
         WHERE hold_id = ANY ($1)",
        &[
            ids(holds),
            db::text(Some(subject.actor_id)),
            db::text(Some(subject.pseudonym.text())),
        ],
    )
    .map(|_| ())
}
