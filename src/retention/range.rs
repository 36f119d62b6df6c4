//! When the events of closed partitions occurred, so that a page need not open those that it can't
//! lie in.

use crate::db::{self, Mode, Relation};
use crate::error::Error;
use pgrx::pg_sys;
use pgrx::prelude::TimestampWithTimeZone;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Earliest and latest occurrence in a closed partition; `None` if it has no events.
pub type Occurrence = Option<(i64, i64)>;

/// The closed partitions by their table.
pub type Ranges = HashMap<pg_sys::Oid, Occurrence>;

thread_local! {
    static RANGES: RefCell<Option<(u64, Rc<Ranges>)>> = const { RefCell::new(None) };
}

const CLOSED: &str = "SELECT c.oid, r.oldest, r.newest \
    FROM activity.partition_ranges r \
    JOIN pg_class c ON c.relname = r.partition AND c.relnamespace = 'activity'::regnamespace \
    WHERE r.closed_at IS NOT NULL";

/// What is known of closed partitions. A partition that is not in it may hold anything.
pub fn closed() -> Result<Rc<Ranges>, Error> {
    if db::find(Relation::PartitionRanges).is_none() {
        return Ok(Rc::default());
    }
    let at = db::changes(Relation::PartitionRanges);
    let kept = RANGES.with_borrow(|kept| {
        kept.as_ref()
            .filter(|(seen, _)| *seen == at)
            .map(|(_, ranges)| Rc::clone(ranges))
    });
    if let Some(ranges) = kept {
        return Ok(ranges);
    }
    let ranges: Rc<Ranges> = Rc::new(read()?);
    RANGES.set(Some((at, Rc::clone(&ranges))));
    Ok(ranges)
}

fn read() -> Result<Ranges, Error> {
    let rows = db::query(Mode::ReadLatest, CLOSED, &[], |row| {
        let oldest = row.get::<TimestampWithTimeZone>(2).map(i64::from);
        let newest = row.get::<TimestampWithTimeZone>(3).map(i64::from);
        let table: pg_sys::Oid = row.must(1, "partition_ranges")?;
        Ok((table, oldest.zip(newest)))
    })?;
    Ok(rows.into_iter().collect())
}
