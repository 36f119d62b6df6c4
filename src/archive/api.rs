//! Archives as SQL calls them.

use super::{file, restore, write};
use crate::access::{self, Purpose};
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::record;
use crate::value::given;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

/// Writes the archive of one partition, which stays as it is; the path of the manifest.
#[pg_extern(volatile, parallel_unsafe)]
fn archive_partition(
    partition: default!(Option<&str>, "NULL"),
    archive_to: default!(Option<&str>, "NULL"),
) -> Result<String, ErrorReport> {
    record::ready()?;
    let name = required("partition", partition)?;
    let folder = required("archive_to", archive_to)?;
    let table = table_of_events(name.strip_prefix("activity.").unwrap_or(name))?;
    let archived = write::write_copy(table, folder)?;
    record::write_system_event(
        "activity.archive.written",
        &serde_json::json!({
            "partition": db::relation_name(table),
            "rows": archived.rows,
            "sha256": archived.sha256,
        }),
    )?;
    Ok(archived.manifest)
}

/// Brings an archive back as a table of its own, and returns the table's name.
#[pg_extern(volatile, parallel_unsafe)]
fn restore_archive(
    path: default!(Option<&str>, "NULL"),
    table_name: default!(Option<&str>, "NULL"),
    other_log: default!(Option<bool>, "NULL"),
) -> Result<String, ErrorReport> {
    record::ready()?;
    let path = required("path", path)?;
    let name = restore::restore(path, given(table_name), other_log == Some(true))?;
    Ok(format!("activity.{name}"))
}

/// Drops a table that `restore_archive()` made; the archive stays.
#[pg_extern(volatile, parallel_unsafe)]
fn drop_restored_archive(table_name: default!(Option<&str>, "NULL")) -> Result<bool, ErrorReport> {
    record::ready()?;
    let name = required("table_name", table_name)?;
    restore::drop_table(name.strip_prefix("activity.").unwrap_or(name))?;
    Ok(true)
}

/// Reads an archive to its end and returns the number of its rows; raises where it is damaged.
#[pg_extern(volatile, parallel_unsafe)]
fn verify_archive(path: default!(Option<&str>, "NULL")) -> Result<i64, ErrorReport> {
    db::oid(Relation::Events)?;
    Ok(file::verify(required("path", path)?)?.contents.rows as i64)
}

/// Whether the caller may read a tenant; for the policy on restored tables.
#[pg_extern(name = "_may_read", stable, parallel_unsafe)]
fn may_read(tenant_id: Option<Uuid>) -> Result<bool, ErrorReport> {
    Ok(match tenant_id {
        Some(tenant) => access::may_reach(tenant.as_bytes(), Purpose::Read)?,
        None => false,
    })
}

fn required<'a>(argument: &'static str, value: Option<&'a str>) -> Result<&'a str, Error> {
    given(value).ok_or(Error::Missing { argument })
}

/// A table of the schema that carries our guard: a partition, attached or not.
fn table_of_events(name: &str) -> Result<pg_sys::Oid, Error> {
    let found = db::value::<pg_sys::Oid>(
        Mode::ReadLatest,
        "SELECT c.oid FROM pg_catalog.pg_class c \
         WHERE c.relnamespace = 'activity'::regnamespace AND c.relkind = 'r' AND c.relname = $1 \
         AND EXISTS (SELECT FROM pg_catalog.pg_trigger t \
                     WHERE t.tgrelid = c.oid AND t.tgname = 'append_only')",
        &[db::text(Some(name))],
    )?;
    found.ok_or(Error::Unknown {
        what: "partition of this name",
        hint: "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'activity.events'::regclass; lists them.",
    })
}
