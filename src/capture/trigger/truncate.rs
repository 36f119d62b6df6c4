//! TRUNCATE: one event for each tenant whose rows are gone, with their number where it is known.

#![allow(unsafe_code)]

use super::form::Form;
use super::table::{Table, TenantSource};
use super::tenant::{self, Tenant};
use crate::access;
use crate::context;
use crate::db::{self, Mode};
use crate::error::Error;
use crate::record::{self, Background, Event, Stamp};
use crate::value;
use activity_log_core::record::Source;
use pgrx::pg_sys;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Tables up to this size, in bytes, are counted. TRUNCATE is what is used on large ones because
/// it reads nothing, so there the planner's estimate has to do.
const COUNTED_SIZE: i64 = 8 * 1024 * 1024;

/// How many rows of whom are going.
struct Loss {
    tenant: Tenant,
    rows: Rows,
}

enum Rows {
    Counted(i64),
    Estimated(i64),
}

/// Writes the events of a TRUNCATE that is about to happen.
///
/// # Safety
/// The relation is open, and is that of the table.
pub(super) unsafe fn write(table: &Table, relation: pg_sys::Relation) -> Result<(), Error> {
    let context = context::current();
    let action = format!("{}.truncated", table.action_prefix);
    // SAFETY: promised by the caller.
    let is_partition = unsafe { (*(*relation).rd_rel).relispartition };
    let name = db::qualified_name(table.relation).ok_or(Error::Internal { place: "truncate" })?;
    for loss in losses(table, &name)? {
        let background = Background::of(&context, loss.tenant.id())?;
        let partition = is_partition.then_some(name.as_str());
        let metadata = value::container(&metadata(&loss, partition))?;
        let mut event = Event::of(&action, Source::Capture, &background);
        event.object_type = Some(Cow::Borrowed(&table.object_type));
        event.metadata = metadata.into();
        record::write(&[(Stamp::next()?, event)])?;
    }
    Ok(())
}

fn metadata(loss: &Loss, partition: Option<&str>) -> serde_json::Value {
    let mut members = serde_json::Map::new();
    match loss.rows {
        Rows::Counted(rows) => members.insert("rows".into(), rows.into()),
        Rows::Estimated(rows) => members.insert("estimated_rows".into(), rows.into()),
    };
    if loss.tenant == Tenant::Missing {
        members.insert("missing_tenant".into(), true.into());
    }
    if let Some(partition) = partition {
        members.insert("partition".into(), partition.into());
    }
    members.into()
}

fn losses(table: &Table, name: &str) -> Result<Vec<Loss>, Error> {
    let (bytes, estimated_rows) = size(table.relation)?;
    let is_small = bytes <= COUNTED_SIZE;
    match (&table.tenant, is_small) {
        (
            TenantSource::Column {
                name: column, form, ..
            },
            true,
        ) => counted_by_tenant(name, column, form),
        // Whose rows they are is written in each of them, and nobody reads them any more.
        (TenantSource::Column { .. }, false) => Ok(vec![Loss {
            tenant: Tenant::Known(access::SYSTEM_TENANT),
            rows: Rows::Estimated(estimated_rows),
        }]),
        (_, is_small) => Ok(vec![Loss {
            tenant: tenant::of_table(table)?,
            rows: if is_small {
                Rows::Counted(count(name)?)
            } else {
                Rows::Estimated(estimated_rows)
            },
        }]),
    }
}

/// The size of a table with all its partitions, in bytes, and the planner's estimate of its rows.
fn size(relation: pg_sys::Oid) -> Result<(i64, i64), Error> {
    let measured = db::query(
        Mode::Write,
        "SELECT sum(pg_relation_size(c.oid))::int8, sum(greatest(c.reltuples, 0))::int8 FROM pg_class c \
         WHERE c.oid = $1 OR c.oid IN (SELECT p.relid FROM pg_partition_tree($1) p)",
        &[(pg_sys::REGCLASSOID, Some(pg_sys::Datum::from(relation)))],
        |row| Ok((row.must(1, "truncate")?, row.must(2, "truncate")?)),
    )?;
    measured
        .into_iter()
        .next()
        .ok_or(Error::Internal { place: "truncate" })
}

fn count(name: &str) -> Result<i64, Error> {
    let sql = format!("SELECT count(*) FROM {name}");
    db::value(Mode::Write, &sql, &[])?.ok_or(Error::Internal { place: "truncate" })
}

/// The values of the column are printed here, as those of changed rows are: a cast in SQL could
/// be one that the table's owner made, and would run with the rights of the log.
fn counted_by_tenant(name: &str, column: &str, form: &Form) -> Result<Vec<Loss>, Error> {
    let sql = format!("SELECT {} FROM {name}", pgrx::spi::quote_identifier(column));
    let mut counts: BTreeMap<Option<[u8; 16]>, i64> = BTreeMap::new();
    db::query(Mode::Write, &sql, &[], |row| {
        let tenant = match row.datum(1) {
            // SAFETY: the form is that of the column.
            Some(datum) => unsafe { tenant::of_value(form, datum) }?,
            None => None,
        };
        *counts.entry(tenant).or_default() += 1;
        Ok(())
    })?;
    let loss = |(tenant, rows): (Option<[u8; 16]>, i64)| Loss {
        tenant: tenant.map_or(Tenant::Missing, Tenant::Known),
        rows: Rows::Counted(rows),
    };
    Ok(counts.into_iter().map(loss).collect())
}
