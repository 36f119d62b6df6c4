//! How events get into the heap: straight into the partition, without planner and executor.
//!
//! A plain INSERT into the partitioned table spends most of its time on what never changes here:
//! partition routing, permissions, constraint expressions. This writer opens the partition, forms
//! the tuple and its index entries, and nothing else. Where a partition has something that only
//! the executor knows how to handle (a trigger, a further constraint, another layout), the same
//! rows go through an ordinary INSERT.

#![allow(unsafe_code)]

use super::direct::{self, Leaf};
use super::layout::{COLUMNS, Tuple, root_is_plain};
use super::origin::{incarnation, role_name, transaction_id};
use super::{Event, Stamp};
use crate::db::{self, Parameter, Relation};
use crate::error::Error;
use crate::notify;
use crate::retention::{self, Partition};
use crate::value;
use pgrx::pg_sys;

/// Rows handed to the heap at once, so that a large batch needs little memory.
const BATCH: usize = 100;

/// Refuses standbys, read-only transactions and parallel workers, as the executor would.
pub fn check_writable() {
    // SAFETY: both raise with the server's own message and code.
    unsafe {
        pg_sys::PreventCommandIfReadOnly(c"activity.record()".as_ptr());
        pg_sys::PreventCommandIfParallelMode(c"activity.record()".as_ptr());
    }
}

/// Writes the events, in their order, for the roles of the session.
pub fn insert(events: &[(Stamp, Event<'_>)]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    insert_for(&role_name(), events)
}

/// Writes the events, in their order, for a role.
pub fn insert_for(role: &str, events: &[(Stamp, Event<'_>)]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let root = db::oid(Relation::Events)?;
    // SAFETY: the lock is the one an INSERT takes; it keeps partitions attached until the end of
    // the transaction, and taking it reads the latest notices of change.
    unsafe { pg_sys::LockRelationOid(root, pg_sys::RowExclusiveLock as i32) };
    let common = Common {
        xact: transaction_id(),
        incarnation: incarnation()?,
        role,
    };
    let mut rest = events;
    while let Some(((first, _), _)) = rest.split_first() {
        let partition =
            retention::partition_at(root, first.recorded_at)?.ok_or(Error::NoPartition)?;
        let count = rest
            .iter()
            .take(BATCH)
            .take_while(|(stamp, _)| partition.holds(stamp.recorded_at))
            .count();
        let (batch, later) = rest.split_at(count.max(1));
        insert_batch(root, &partition, batch, &common)?;
        rest = later;
    }
    notify::wrote(events);
    Ok(())
}

/// What the events of one statement share.
struct Common<'r> {
    xact: u64,
    incarnation: i32,
    role: &'r str,
}

fn insert_batch(
    root: pg_sys::Oid,
    partition: &Partition,
    batch: &[(Stamp, Event<'_>)],
    common: &Common<'_>,
) -> Result<(), Error> {
    let tuples: Vec<Tuple> = batch
        .iter()
        .map(|(stamp, event)| tuple(stamp, event, common))
        .collect();
    // SAFETY: the root is locked, so the partition can't go away; the tuples have the layout that
    // `insert_directly` checks.
    let done = unsafe { insert_directly(root, partition.relation, &tuples) };
    if done {
        Ok(())
    } else {
        tuples.iter().try_for_each(insert_by_statement)
    }
}

fn tuple(stamp: &Stamp, event: &Event<'_>, common: &Common<'_>) -> Tuple {
    let text = |text: &str| Some(value::varlena(text.as_bytes()));
    let given = |text: &Option<std::borrow::Cow<'_, str>>| {
        text.as_deref().map(|text| value::varlena(text.as_bytes()))
    };
    let address = event.address;
    [
        Some(pg_sys::Datum::from(stamp.recorded_at)),
        Some(pg_sys::Datum::from(
            event.occurred_at.unwrap_or(stamp.recorded_at),
        )),
        Some(pg_sys::Datum::from(common.xact)),
        Some(pg_sys::Datum::from(common.incarnation)),
        event.action_version.map(pg_sys::Datum::from),
        Some(value::uuid(&stamp.event_id)),
        Some(value::uuid(&event.tenant_id)),
        text(event.action),
        text(event.status.name()),
        text(event.source.name()),
        given(&event.actor_type),
        given(&event.actor_id),
        given(&event.object_type),
        given(&event.object_id),
        given(&event.request_id),
        address
            .and_then(|token| token.hash)
            .map(|hash| value::varlena(&hash)),
        address.map(|token| value::network(token.prefix.0, token.prefix.1)),
        given(&event.user_agent),
        text(common.role),
        Some(value::varlena(&event.metadata)),
        event.changes.as_deref().map(value::varlena),
    ]
}

/// Writes the tuples into a partition and its indexes; `false` if that partition needs the
/// executor, and then nothing was written.
///
/// # Safety
/// The caller holds a lock on `root` that keeps the partition attached.
unsafe fn insert_directly(root: pg_sys::Oid, partition: pg_sys::Oid, tuples: &[Tuple]) -> bool {
    // SAFETY: see the functions called; what is opened here is closed here, and an error in
    // between is cleaned up by the abort of the transaction, as for any statement.
    unsafe {
        let relation = pg_sys::table_open(partition, pg_sys::RowExclusiveLock as i32);
        let leaf = Leaf::of(relation);
        let is_plain = root_is_plain(root) && leaf.is_plain;
        if is_plain {
            match &leaf.indexes {
                Some(indexes) => direct::write(relation, indexes, tuples),
                None => write_with_executor(relation, tuples),
            }
        }
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        is_plain
    }
}

/// Writes into a partition whose indexes only the executor can serve.
///
/// # Safety
/// The relation is open and plain.
unsafe fn write_with_executor(relation: pg_sys::Relation, tuples: &[Tuple]) {
    // SAFETY: promised by the caller.
    unsafe {
        let state = pg_sys::CreateExecutorState();
        let context = pg_sys::MemoryContextSwitchTo((*state).es_query_cxt);
        write_tuples(relation, state, tuples);
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::FreeExecutorState(state);
    }
}

/// # Safety
/// The relation is open and plain; `state` is a fresh executor state whose context is current.
unsafe fn write_tuples(relation: pg_sys::Relation, state: *mut pg_sys::EState, tuples: &[Tuple]) {
    // SAFETY: promised by the caller; every slot has one value per column of the relation.
    unsafe {
        let target = result_relation(relation, state);
        pg_sys::ExecOpenIndices(target, false);
        let mut slots: Vec<*mut pg_sys::TupleTableSlot> = tuples
            .iter()
            .map(|tuple| filled_slot(relation, state, tuple))
            .collect();
        let command = pg_sys::GetCurrentCommandId(true);
        if let [slot] = slots[..] {
            pg_sys::table_tuple_insert(relation, slot, command, 0, std::ptr::null_mut());
        } else {
            pg_sys::table_multi_insert(
                relation,
                slots.as_mut_ptr(),
                slots.len() as i32,
                command,
                0,
                std::ptr::null_mut(),
            );
        }
        if (*target).ri_NumIndices > 0 {
            for slot in slots {
                insert_index_entries(target, slot, state);
            }
        }
        pg_sys::ExecCloseIndices(target);
        pg_sys::ExecResetTupleTable((*state).es_tupleTable, false);
    }
}

/// # Safety
/// As for [`write_tuples`].
unsafe fn result_relation(
    relation: pg_sys::Relation,
    state: *mut pg_sys::EState,
) -> *mut pg_sys::ResultRelInfo {
    // SAFETY: both nodes are zeroed and tagged as the server's makeNode() does.
    unsafe {
        let entry =
            pg_sys::palloc0(size_of::<pg_sys::RangeTblEntry>()).cast::<pg_sys::RangeTblEntry>();
        (*entry).type_ = pg_sys::NodeTag::T_RangeTblEntry;
        (*entry).rtekind = pg_sys::RTEKind::RTE_RELATION;
        (*entry).relid = (*relation).rd_id;
        (*entry).relkind = (*(*relation).rd_rel).relkind;
        (*entry).rellockmode = pg_sys::RowExclusiveLock as i32;
        let entries = pg_sys::lappend(std::ptr::null_mut(), entry.cast());
        init_range_table(state, entries);
        let target =
            pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast::<pg_sys::ResultRelInfo>();
        (*target).type_ = pg_sys::NodeTag::T_ResultRelInfo;
        pg_sys::InitResultRelInfo(target, relation, 1, std::ptr::null_mut(), 0);
        target
    }
}

/// # Safety
/// `state` is an executor state and `entries` a list of range table entries.
unsafe fn init_range_table(state: *mut pg_sys::EState, entries: *mut pg_sys::List) {
    // SAFETY: promised by the caller; the permission lists of newer servers may be empty, because
    // this writer checks no permissions: the function that was called is the gate.
    unsafe {
        #[cfg(any(feature = "pg14", feature = "pg15"))]
        pg_sys::ExecInitRangeTable(state, entries);
        #[cfg(any(feature = "pg16", feature = "pg17"))]
        pg_sys::ExecInitRangeTable(state, entries, std::ptr::null_mut());
        #[cfg(feature = "pg18")]
        pg_sys::ExecInitRangeTable(
            state,
            entries,
            std::ptr::null_mut(),
            pg_sys::bms_make_singleton(1),
        );
    }
}

/// # Safety
/// As for [`write_tuples`].
unsafe fn filled_slot(
    relation: pg_sys::Relation,
    state: *mut pg_sys::EState,
    tuple: &Tuple,
) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: the slot has as many columns as the tuple: `is_plain` has compared the layout.
    unsafe {
        let slot = pg_sys::ExecInitExtraTupleSlot(
            state,
            (*relation).rd_att,
            &raw const pg_sys::TTSOpsVirtual,
        );
        direct::fill(slot, tuple);
        (*slot).tts_tableOid = (*relation).rd_id;
        slot
    }
}

/// # Safety
/// The slot was just stored in the heap of `target`, whose indexes are open.
unsafe fn insert_index_entries(
    target: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
    state: *mut pg_sys::EState,
) {
    let none = std::ptr::null_mut();
    // SAFETY: promised by the caller.
    unsafe {
        #[cfg(any(feature = "pg14", feature = "pg15"))]
        pg_sys::ExecInsertIndexTuples(target, slot, state, false, false, none, none.cast());
        #[cfg(any(feature = "pg16", feature = "pg17", feature = "pg18"))]
        pg_sys::ExecInsertIndexTuples(target, slot, state, false, false, none, none.cast(), false);
    }
}

/// The ordinary way, for partitions that need the executor.
fn insert_by_statement(tuple: &Tuple) -> Result<(), Error> {
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    let places: Vec<String> = (1..=COLUMNS.len()).map(|n| format!("${n}")).collect();
    let sql = format!(
        "INSERT INTO activity.events ({}) VALUES ({})",
        names.join(", "),
        places.join(", ")
    );
    let parameters: Vec<Parameter> = COLUMNS
        .iter()
        .zip(tuple)
        .map(|(column, value)| (column.type_oid, *value))
        .collect();
    db::run(&sql, &parameters).map(|_| ())
}
