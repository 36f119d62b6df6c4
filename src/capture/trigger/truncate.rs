//! TRUNCATE: one event for each tenant whose rows are gone, with their number where it is known.

#![allow(unsafe_code)]

use super::scan::for_each_row;
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
    for loss in losses(table)? {
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

fn losses(table: &Table) -> Result<Vec<Loss>, Error> {
    let heaps = heaps(table.relation)?;
    let is_small = heaps.iter().map(|heap| heap.bytes).sum::<i64>() <= COUNTED_SIZE;
    if is_small {
        return counted(table, &heaps);
    }
    let tenant = match table.tenant {
        // Whose rows they are is written in each of them, and nobody reads them any more.
        TenantSource::Column { .. } => Tenant::Known(access::SYSTEM_TENANT),
        _ => tenant::of_table(table)?,
    };
    let estimated_rows = heaps.iter().map(|heap| heap.estimated_rows).sum();
    Ok(vec![Loss {
        tenant,
        rows: Rows::Estimated(estimated_rows),
    }])
}

/// A table with storage of its own: the truncated one, or one of its partitions.
struct Heap {
    relation: pg_sys::Oid,
    bytes: i64,
    /// What the planner takes for the number of rows.
    estimated_rows: i64,
}

fn heaps(relation: pg_sys::Oid) -> Result<Vec<Heap>, Error> {
    const PLACE: &str = "truncate";
    db::query(
        Mode::Write,
        "SELECT c.oid, pg_relation_size(c.oid), greatest(c.reltuples, 0)::int8 FROM pg_class c \
         WHERE c.relkind = 'r' AND (c.oid = $1 OR c.oid IN (SELECT p.relid FROM pg_partition_tree($1) p))",
        &[(pg_sys::REGCLASSOID, Some(pg_sys::Datum::from(relation)))],
        |row| {
            Ok(Heap {
                relation: row.must(1, PLACE)?,
                bytes: row.must(2, PLACE)?,
                estimated_rows: row.must(3, PLACE)?,
            })
        },
    )
}

fn counted(table: &Table, heaps: &[Heap]) -> Result<Vec<Loss>, Error> {
    let mut counts = BTreeMap::new();
    if !matches!(table.tenant, TenantSource::Column { .. }) {
        counts.insert(tenant::of_table(table)?, 0);
    }
    for heap in heaps {
        // SAFETY: TRUNCATE has locked the table and all its partitions; the lock is taken once more
        // so that it is certain to be held.
        unsafe {
            let relation = pg_sys::table_open(heap.relation, pg_sys::AccessShareLock as i32);
            count(table.capture_id, relation, &mut counts)?;
            pg_sys::table_close(relation, pg_sys::NoLock as i32);
        }
    }
    let loss = |(tenant, rows)| Loss {
        tenant,
        rows: Rows::Counted(rows),
    };
    Ok(counts.into_iter().map(loss).collect())
}

/// # Safety
/// The relation is open and locked, and has storage.
unsafe fn count(
    capture_id: [u8; 16],
    relation: pg_sys::Relation,
    counts: &mut BTreeMap<Tenant, i64>,
) -> Result<(), Error> {
    // SAFETY: promised by the caller. A partition may have its columns in another order, so it is
    // read as itself.
    unsafe {
        let table = Table::of(relation, capture_id)?;
        let fallback = tenant::of_context(&context::current())?;
        for_each_row(relation, &mut |row| {
            let tenant = tenant::of_row(&table, row, fallback)?;
            *counts.entry(tenant).or_default() += 1;
            Ok(())
        })
    }
}
