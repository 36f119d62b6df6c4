//! The tables that hold events: partitions, attached or not, and restored archives.

#![allow(unsafe_code)]

use super::Subject;
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use pgrx::datum::IntoDatum;
use pgrx::pg_sys;
use std::collections::BTreeSet;

/// The kind of object that a person is.
const PERSON: &str = "user";

/// A table of events, locked as for an UPDATE.
pub(super) struct Table {
    pub(super) relation: pg_sys::Oid,
    /// Its name as it stands in a statement.
    pub(super) name: String,
}

/// Every table that carries our guard, locked. No partition is detached or archived meanwhile.
pub(super) fn of_events() -> Result<Vec<Table>, Error> {
    db::lock_shared(db::oid(Relation::Events)?);
    let relations = db::query(
        Mode::Write,
        "SELECT c.oid FROM pg_catalog.pg_class c \
         WHERE c.relnamespace = 'activity'::regnamespace AND c.relkind = 'r' \
         AND EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'append_only') \
         ORDER BY c.oid",
        &[],
        |row| row.must::<pg_sys::Oid>(1, "pg_class"),
    )?;
    Ok(relations.into_iter().filter_map(locked).collect())
}

/// `None` if somebody else has dropped the table while this waited for it.
fn locked(relation: pg_sys::Oid) -> Option<Table> {
    // SAFETY: any number may be locked; the server releases the lock.
    unsafe { pg_sys::LockRelationOid(relation, pg_sys::RowExclusiveLock as i32) };
    db::qualified_name(relation).map(|name| Table { relation, name })
}

/// Of which types an object is the actor where the ids are equal: persons, and whatever the actor
/// has acted as.
pub(super) fn object_types(tables: &[Table], subject: &Subject<'_>) -> Result<Vec<String>, Error> {
    let mut types = BTreeSet::from([PERSON.to_owned()]);
    for table in tables {
        let found = db::query(
            Mode::Write,
            &format!(
                "SELECT DISTINCT actor_type FROM ONLY {} WHERE tenant_id = $1 AND actor_id = $2 \
                 AND actor_type IS NOT NULL",
                table.name
            ),
            &[
                db::uuid(&subject.tenant_id),
                db::text(Some(subject.actor_id)),
            ],
            |row| row.must::<String>(1, "events"),
        )?;
        types.extend(found);
    }
    Ok(types.into_iter().collect())
}

/// What the planner knows of these tables quotes the values that were frequent in them, so it is
/// gathered anew; also that of the log as a whole, where somebody has gathered it.
pub(super) fn forget_statistics(changed: &[String]) -> Result<(), Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let mut tables = changed.to_vec();
    let has_own = db::value::<bool>(
        Mode::Write,
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_statistic WHERE starelid = 'activity.events'::regclass)",
        &[],
    )?;
    if has_own == Some(true) {
        tables.push("activity.events".to_owned());
    }
    tables.push("activity.idempotency_keys".to_owned());
    tables
        .iter()
        .try_for_each(|table| db::run(&format!("ANALYZE {table}"), &[]).map(|_| ()))
}

/// An archive that was written of a table which is still there is no longer the same: it has to be
/// written again before the table goes, so retention has to look at the table again.
pub(super) fn archive_anew(changed: &[String]) -> Result<(), Error> {
    db::run(
        "UPDATE activity.partition_ranges SET archived_at = NULL, swept_policies = NULL, swept_at = NULL \
         WHERE archived_at IS NOT NULL AND state <> 'dropped' \
         AND 'activity.' || quote_ident(partition) = ANY ($1)",
        &[(pg_sys::TEXTARRAYOID, changed.to_vec().into_datum())],
    )
    .map(|_| ())
}

/// How many archives may hold events of the tenant.
pub(super) fn archives(tenant: &[u8; 16]) -> Result<i64, Error> {
    let found = db::value(
        Mode::Write,
        "SELECT count(*) FROM activity.partition_ranges \
         WHERE archive_manifest IS NOT NULL AND (archive_tenants IS NULL OR $1 = ANY (archive_tenants))",
        &[db::uuid(tenant)],
    )?;
    Ok(found.unwrap_or(0))
}
