//! The events of one tenant in the order of the stream: life, transaction, id.

use super::scan::IndexScan;
use super::unseen::Stretch;
use crate::db::{self, Relation};
use crate::error::Error;
use crate::retention::{self, Partition};
use crate::value;
use activity_log_core::stream::Point;
use pgrx::pg_sys;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::CStr;

const KEY: [&CStr; 4] = [c"tenant_id", c"gen", c"xact", c"event_id"];
/// Conditions of each look into the index: one for each key column, and the end of transactions.
const CONDITIONS: usize = 5;

/// Where an event stands: the stretch, the transaction, the id.
type Key = (usize, u64, [u8; 16]);

/// The stream of one tenant out of all partitions.
pub(super) struct TenantWalk<'w> {
    tenant_id: [u8; 16],
    stretches: &'w [Stretch],
    target: &'w Point,
    open: Vec<Walker>,
    /// The next event of each partition that has one.
    heads: BinaryHeap<Reverse<(Key, usize)>>,
    /// The partition whose event was given last: it has to be moved on.
    given: Option<usize>,
}

/// One partition, and the stretch that it has come to.
struct Walker {
    scan: IndexScan,
    stretch: usize,
    is_positioned: bool,
}

impl<'w> TenantWalk<'w> {
    /// Looks into every partition that takes events from `since` on. The caller holds a lock on
    /// the parent.
    pub(super) fn begin(
        tenant_id: [u8; 16],
        stretches: &'w [Stretch],
        target: &'w Point,
        since: Option<i64>,
    ) -> Result<Self, Error> {
        let mut walk = Self {
            tenant_id,
            stretches,
            target,
            open: Vec::new(),
            heads: BinaryHeap::new(),
            given: None,
        };
        for partition in partitions(since)? {
            if let Some(scan) = IndexScan::open(&partition, &KEY, CONDITIONS)? {
                let walker = Walker {
                    scan,
                    stretch: 0,
                    is_positioned: false,
                };
                // One that has nothing is closed at once.
                if let Some((walker, key)) = walk.advanced(walker)? {
                    walk.heads.push(Reverse((key, walk.open.len())));
                    walk.open.push(walker);
                }
            }
        }
        Ok(walk)
    }

    /// The next event, to be read before the one after it is asked for.
    pub(super) fn next(&mut self) -> Result<Option<&IndexScan>, Error> {
        if let Some(at) = self.given.take()
            && let Some(key) = advance(
                &mut self.open[at],
                &self.tenant_id,
                self.stretches,
                self.target,
            )?
        {
            self.heads.push(Reverse((key, at)));
        }
        let Some(Reverse((_, at))) = self.heads.pop() else {
            return Ok(None);
        };
        self.given = Some(at);
        Ok(Some(&self.open[at].scan))
    }

    fn advanced(&self, mut walker: Walker) -> Result<Option<(Walker, Key)>, Error> {
        let key = advance(&mut walker, &self.tenant_id, self.stretches, self.target)?;
        Ok(key.map(|key| (walker, key)))
    }
}

/// Goes to the partition's next event that is in a stretch and in the target.
fn advance(
    walker: &mut Walker,
    tenant_id: &[u8; 16],
    stretches: &[Stretch],
    target: &Point,
) -> Result<Option<Key>, Error> {
    while let Some(stretch) = stretches.get(walker.stretch) {
        if !walker.is_positioned {
            seek(
                &mut walker.scan,
                tenant_id,
                stretch,
                stretch.from,
                &stretch.after,
            );
            walker.is_positioned = true;
        }
        if !walker.scan.advance() {
            walker.stretch += 1;
            walker.is_positioned = false;
            continue;
        }
        let (_, xact, event_id) = walker.scan.key()?;
        if let Some(only) = &stretch.only {
            let at = only.partition_point(|wanted| *wanted < xact);
            match only.get(at) {
                Some(wanted) if *wanted == xact => {}
                Some(wanted) => {
                    seek(&mut walker.scan, tenant_id, stretch, *wanted, &[0; 16]);
                    continue;
                }
                None => {
                    walker.stretch += 1;
                    walker.is_positioned = false;
                    continue;
                }
            }
        }
        if target.sees(stretch.life.place, xact) {
            return Ok(Some((walker.stretch, xact, event_id)));
        }
    }
    Ok(None)
}

fn seek(
    scan: &mut IndexScan,
    tenant_id: &[u8; 16],
    stretch: &Stretch,
    from: u64,
    after: &[u8; 16],
) {
    scan.seek(&[
        (
            1,
            pg_sys::BTEqualStrategyNumber,
            pg_sys::F_UUID_EQ,
            value::uuid(tenant_id),
        ),
        (
            2,
            pg_sys::BTEqualStrategyNumber,
            pg_sys::F_INT4EQ,
            pg_sys::Datum::from(stretch.life.number),
        ),
        (
            3,
            pg_sys::BTGreaterEqualStrategyNumber,
            pg_sys::F_XID8GE,
            pg_sys::Datum::from(from),
        ),
        (
            3,
            pg_sys::BTLessStrategyNumber,
            pg_sys::F_XID8LT,
            pg_sys::Datum::from(stretch.until),
        ),
        (
            4,
            pg_sys::BTGreaterStrategyNumber,
            pg_sys::F_UUID_GT,
            value::uuid(after),
        ),
    ]);
}

/// The numbers of the lives that the tenant has events of.
pub(super) fn lives_present(tenant_id: &[u8; 16], since: Option<i64>) -> Result<Vec<i32>, Error> {
    let mut found = Vec::new();
    for partition in partitions(since)? {
        let Some(mut scan) = IndexScan::open(&partition, &KEY, 2)? else {
            continue;
        };
        let mut after = i32::MIN;
        loop {
            scan.seek(&[
                (
                    1,
                    pg_sys::BTEqualStrategyNumber,
                    pg_sys::F_UUID_EQ,
                    value::uuid(tenant_id),
                ),
                (
                    2,
                    pg_sys::BTGreaterStrategyNumber,
                    pg_sys::F_INT4GT,
                    pg_sys::Datum::from(after),
                ),
            ]);
            if !scan.advance() {
                break;
            }
            after = scan.key()?.0;
            found.push(after);
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The partitions that take events from `since` on, oldest first.
pub(super) fn partitions(since: Option<i64>) -> Result<Vec<Partition>, Error> {
    let root = db::oid(Relation::Events)?;
    db::lock_shared(root);
    let all = retention::partitions(root)?;
    let since = since.unwrap_or(i64::MIN);
    Ok(all
        .iter()
        .copied()
        .filter(|partition| partition.upper > since)
        .collect())
}
