//! Partitions: which there are, and those that have to be made ahead.

#![allow(unsafe_code)]

use crate::clock::SERVER_EPOCH;
use crate::db::{self, Relation};
use crate::error::Error;
use activity_log_core::retention::{Bounds, Period, partition_name, plan_ahead};
use chrono::{DateTime, Utc};
use pgrx::pg_sys;
use std::cell::RefCell;
use std::rc::Rc;

/// A partition of `activity.events`: what it is, and the times of recording it takes, in the
/// microseconds of the server's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    pub relation: pg_sys::Oid,
    /// First time inside.
    pub lower: i64,
    /// First time after it.
    pub upper: i64,
}

impl Partition {
    /// Whether an event recorded at this time belongs here.
    pub fn holds(&self, recorded_at: i64) -> bool {
        (self.lower..self.upper).contains(&recorded_at)
    }
}

thread_local! {
    static PARTITIONS: RefCell<Option<(u64, Rc<[Partition]>)>> = const { RefCell::new(None) };
}

/// The partition that takes an event recorded at this time. The caller holds a lock on `root`.
pub fn partition_at(root: pg_sys::Oid, recorded_at: i64) -> Result<Option<Partition>, Error> {
    let all = partitions(root)?;
    let after = all.partition_point(|partition| partition.upper <= recorded_at);
    Ok(all
        .get(after)
        .copied()
        .filter(|partition| partition.holds(recorded_at)))
}

/// Every attached partition, oldest first. The caller holds a lock on `root`. One that is on its
/// way out (DETACH CONCURRENTLY) does not count.
pub fn partitions(root: pg_sys::Oid) -> Result<Rc<[Partition]>, Error> {
    let at = db::changes(Relation::Events);
    let kept = PARTITIONS.with_borrow(|kept| {
        kept.as_ref()
            .filter(|(seen, _)| *seen == at)
            .map(|(_, all)| Rc::clone(all))
    });
    if let Some(all) = kept {
        return Ok(all);
    }
    db::oid(Relation::Events)?;
    // SAFETY: the root is locked by the caller.
    let all: Rc<[Partition]> = unsafe { read_partitions(root) }.into();
    PARTITIONS.set(Some((at, Rc::clone(&all))));
    Ok(all)
}

/// # Safety
/// `root` is a range-partitioned table that the caller has locked.
unsafe fn read_partitions(root: pg_sys::Oid) -> Vec<Partition> {
    // SAFETY: descriptor and bounds live as long as the relation is open; a range bound of one
    // column has one datum, and `indexes[i]` is the partition that ends at bound i.
    unsafe {
        let relation = pg_sys::table_open(root, pg_sys::NoLock as i32);
        let descriptor = pg_sys::RelationGetPartitionDesc(relation, true);
        let mut all = Vec::new();
        if (*descriptor).nparts > 0 {
            let bounds = &*(*descriptor).boundinfo;
            for upper in 0..bounds.ndatums as usize {
                let index = *bounds.indexes.add(upper);
                if index >= 0 {
                    all.push(Partition {
                        relation: *(*descriptor).oids.add(index as usize),
                        lower: if upper == 0 {
                            i64::MIN
                        } else {
                            bound(bounds, upper - 1)
                        },
                        upper: bound(bounds, upper),
                    });
                }
            }
        }
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        all
    }
}

/// # Safety
/// `index` is below the number of bounds.
unsafe fn bound(bounds: &pg_sys::PartitionBoundInfoData, index: usize) -> i64 {
    // SAFETY: promised by the caller; the partition key has one column of eight bytes.
    unsafe {
        match *(*bounds.kind.add(index)) {
            pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MINVALUE => i64::MIN,
            pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MAXVALUE => i64::MAX,
            _ => (*(*bounds.datums.add(index))).value() as i64,
        }
    }
}

/// Makes the partitions that are missing from the period before now to `premake` periods, and at
/// least 90 days, ahead. Returns how many were made.
///
/// Each is made as a table of its own and then attached, which writers and readers of the log do
/// not notice; `CREATE TABLE ... PARTITION OF` would lock them out.
pub fn make_ahead(now: i64, period: Period, premake: u32) -> Result<usize, Error> {
    let root = db::oid(Relation::Events)?;
    // SAFETY: the lock that ATTACH takes as well; it keeps a second session from making the same.
    unsafe { pg_sys::LockRelationOid(root, pg_sys::ShareUpdateExclusiveLock as i32) };
    let existing: Vec<Bounds> = partitions(root)?.iter().filter_map(bounds_of).collect();
    let now = to_utc(now).ok_or(Error::Internal { place: "clock" })?;
    let missing = plan_ahead(now, period, premake, &existing);
    for bounds in &missing {
        make(&partition_name(*bounds, period), bounds)?;
    }
    Ok(missing.len())
}

fn make(name: &str, bounds: &Bounds) -> Result<(), Error> {
    if db::exists(name)? {
        return Err(Error::NameTaken {
            name: name.to_owned(),
        });
    }
    let name = pgrx::spi::quote_identifier(name);
    let (from, to) = (literal(bounds.lower), literal(bounds.upper));
    let steps = [
        format!(
            "CREATE TABLE activity.{name} (LIKE activity.events INCLUDING DEFAULTS \
             INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION, \
             CONSTRAINT bounds CHECK (recorded_at >= {from} AND recorded_at < {to}))"
        ),
        format!("ALTER TABLE activity.{name} ENABLE ROW LEVEL SECURITY"),
        format!(
            "ALTER TABLE activity.events ATTACH PARTITION activity.{name} FOR VALUES FROM ({from}) TO ({to})"
        ),
        // The constraint has spared ATTACH a scan; from now on the bounds say the same.
        format!("ALTER TABLE activity.{name} DROP CONSTRAINT bounds"),
    ];
    for step in steps {
        db::run(&step, &[])?;
    }
    Ok(())
}

/// A time as it stands in a statement.
pub fn literal(at: DateTime<Utc>) -> String {
    at.format("'%Y-%m-%d %H:%M:%S%.6f+00'::timestamptz")
        .to_string()
}

/// Its bounds as the core reads them; `None` if one of them is open.
pub fn bounds_of(partition: &Partition) -> Option<Bounds> {
    Some(Bounds {
        lower: to_utc(partition.lower)?,
        upper: to_utc(partition.upper)?,
    })
}

/// A time of the server's count as the core reads it.
pub fn to_utc(server_micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(server_micros.checked_add(SERVER_EPOCH)?)
}

/// A time of the core in the server's count.
pub fn from_utc(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros().saturating_sub(SERVER_EPOCH)
}

/// The bounds of a partition as literals of a statement.
pub(super) fn bound_literals(partition: &Partition) -> Result<(String, String), Error> {
    let bounds = bounds_of(partition).ok_or(Error::Internal { place: "bounds" })?;
    Ok((literal(bounds.lower), literal(bounds.upper)))
}

/// The name of a partition with its schema, as it stands in a statement.
pub fn name(partition: &Partition) -> Result<String, Error> {
    db::qualified_name(partition.relation).ok_or(Error::Internal { place: "partition" })
}
