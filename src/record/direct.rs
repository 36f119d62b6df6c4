//! Heap tuples and index entries without the executor.
//!
//! For one row the executor spends more time on preparing to insert (a state, descriptions of
//! every index, expressions of their predicates) than on inserting. The indexes of the log are of
//! one simple kind, which is looked at once and kept.

#![allow(unsafe_code)]

use super::layout::{Tuple, is_plain};
use crate::db::{self, OwnedMemory};
use pgrx::{PgList, pg_sys};
use std::cell::RefCell;
use std::rc::Rc;

/// What a session knows of the partition it writes into.
pub(super) struct Leaf {
    /// Whether it is an ordinary heap with our columns and nothing that acts on INSERT.
    pub(super) is_plain: bool,
    /// Its indexes; `None` if only the executor can serve one of them.
    pub(super) indexes: Option<Vec<Index>>,
}

/// A btree index on columns, on all rows or on those with and without values in certain columns.
pub(super) struct Index {
    oid: pg_sys::Oid,
    /// Places of its columns in a tuple.
    columns: Vec<usize>,
    conditions: Vec<Condition>,
    is_unique: bool,
}

/// A row is in the index only if the column at this place is NULL, or only if it is not.
struct Condition {
    column: usize,
    is_null: bool,
}

/// Most columns of an index that is served here.
const MAX_COLUMNS: usize = 8;

struct Kept {
    relation: pg_sys::Oid,
    at: u64,
    leaf: Rc<Leaf>,
}

thread_local! {
    static LEAF: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

impl Leaf {
    /// # Safety
    /// The relation is open and locked.
    pub(super) unsafe fn of(relation: pg_sys::Relation) -> Rc<Self> {
        // SAFETY: the relation is open.
        let oid = unsafe { (*relation).rd_id };
        let kept = LEAF.with_borrow(|kept| {
            let kept = kept.as_ref()?;
            (kept.relation == oid && kept.at == db::table_changes()).then(|| Rc::clone(&kept.leaf))
        });
        if let Some(leaf) = kept {
            return leaf;
        }
        db::watch_table(oid);
        let at = db::table_changes();
        // SAFETY: promised by the caller.
        let leaf = Rc::new(unsafe {
            Self {
                is_plain: is_plain(relation),
                indexes: indexes(relation),
            }
        });
        LEAF.set(Some(Kept {
            relation: oid,
            at,
            leaf: Rc::clone(&leaf),
        }));
        leaf
    }
}

/// # Safety
/// The relation is open and locked.
unsafe fn indexes(relation: pg_sys::Relation) -> Option<Vec<Index>> {
    // SAFETY: the list is a copy of the cache's, of OIDs of indexes that the lock on the table
    // keeps in place.
    unsafe {
        let list = PgList::<pg_sys::Oid>::from_pg(pg_sys::RelationGetIndexList(relation));
        list.iter_oid().map(|oid| Index::of(oid)).collect()
    }
}

impl Index {
    /// # Safety
    /// The index exists, and its table is locked.
    unsafe fn of(oid: pg_sys::Oid) -> Option<Self> {
        // SAFETY: an open index has its row of pg_index; the description is the server's own.
        unsafe {
            let index = pg_sys::index_open(oid, pg_sys::RowExclusiveLock as i32);
            let info = pg_sys::BuildIndexInfo(index);
            let described = (*(*index).rd_rel).relam == pg_sys::BTREE_AM_OID
                && (*info).ii_ReadyForInserts
                && (*info).ii_Expressions.is_null()
                && (*info).ii_ExclusionOps.is_null()
                && (*(*index).rd_index).indimmediate
                && (*info).ii_NumIndexAttrs as usize <= MAX_COLUMNS;
            let found = described.then(|| {
                let count = (*info).ii_NumIndexAttrs as usize;
                let numbers = (*info).ii_IndexAttrNumbers;
                let columns = numbers[..count]
                    .iter()
                    .map(|number| usize::try_from(number - 1).ok())
                    .collect::<Option<Vec<usize>>>()?;
                Some(Self {
                    oid,
                    columns,
                    conditions: conditions((*info).ii_Predicate)?,
                    is_unique: (*info).ii_Unique,
                })
            });
            pg_sys::index_close(index, pg_sys::RowExclusiveLock as i32);
            found.flatten()
        }
    }
}

/// The conditions of a predicate; `None` if it is more than tests for NULL.
///
/// # Safety
/// The predicate is that of an index, or NULL.
unsafe fn conditions(predicate: *mut pg_sys::List) -> Option<Vec<Condition>> {
    // SAFETY: a predicate is a list of expressions that all have to hold.
    unsafe {
        let tests = PgList::<pg_sys::Node>::from_pg(predicate);
        tests.iter_ptr().map(|node| condition(node)).collect()
    }
}

/// # Safety
/// The node is an expression.
unsafe fn condition(node: *mut pg_sys::Node) -> Option<Condition> {
    // SAFETY: every expression begins with its tag, which tells what it is.
    unsafe {
        if (*node).type_ != pg_sys::NodeTag::T_NullTest {
            return None;
        }
        let test = node.cast::<pg_sys::NullTest>();
        let argument = (*test).arg.cast::<pg_sys::Node>();
        if (*argument).type_ != pg_sys::NodeTag::T_Var {
            return None;
        }
        let column = usize::try_from((*argument.cast::<pg_sys::Var>()).varattno - 1).ok()?;
        let is_null = (*test).nulltesttype == pg_sys::NullTestType::IS_NULL;
        Some(Condition { column, is_null })
    }
}

/// Writes tuples into a partition and its indexes.
///
/// # Safety
/// The relation is open and locked for writing, plain, and has these indexes.
pub(super) unsafe fn write(relation: pg_sys::Relation, indexes: &[Index], tuples: &[Tuple]) {
    let memory = OwnedMemory::passing(c"activity_log insert");
    // SAFETY: promised by the caller.
    memory.within(|| unsafe {
        let mut places = if let [tuple] = tuples {
            vec![write_one(relation, tuple)]
        } else {
            write_many(relation, tuples)
        };
        // Index by index: the pages of one stay at hand for all rows.
        for index in indexes {
            enter(relation, index, tuples, &mut places);
        }
    });
}

/// # Safety
/// As for [`write`].
unsafe fn write_one(relation: pg_sys::Relation, tuple: &Tuple) -> pg_sys::ItemPointerData {
    let (mut values, mut nulls) = taken_apart(tuple);
    // SAFETY: the tuple has the columns of the relation, which is a heap.
    unsafe {
        let formed =
            pg_sys::heap_form_tuple((*relation).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
        let command = pg_sys::GetCurrentCommandId(true);
        pg_sys::heap_insert(relation, formed, command, 0, std::ptr::null_mut());
        (*formed).t_self
    }
}

/// # Safety
/// As for [`write`].
unsafe fn write_many(relation: pg_sys::Relation, tuples: &[Tuple]) -> Vec<pg_sys::ItemPointerData> {
    // SAFETY: each slot gets one value per column of the relation, and is dropped at the end.
    unsafe {
        let mut slots: Vec<*mut pg_sys::TupleTableSlot> = tuples
            .iter()
            .map(|tuple| {
                let slot = pg_sys::MakeSingleTupleTableSlot(
                    (*relation).rd_att,
                    &raw const pg_sys::TTSOpsVirtual,
                );
                fill(slot, tuple);
                slot
            })
            .collect();
        let command = pg_sys::GetCurrentCommandId(true);
        let count = slots.len() as i32;
        let none = std::ptr::null_mut();
        pg_sys::table_multi_insert(relation, slots.as_mut_ptr(), count, command, 0, none);
        slots
            .into_iter()
            .map(|slot| {
                let place = (*slot).tts_tid;
                pg_sys::ExecDropSingleTupleTableSlot(slot);
                place
            })
            .collect()
    }
}

/// Stores a tuple in a virtual slot.
///
/// # Safety
/// The slot is empty and has as many columns as the tuple.
pub(super) unsafe fn fill(slot: *mut pg_sys::TupleTableSlot, tuple: &Tuple) {
    // SAFETY: promised by the caller.
    unsafe {
        for (column, value) in tuple.iter().enumerate() {
            *(*slot).tts_isnull.add(column) = value.is_none();
            *(*slot).tts_values.add(column) = value.unwrap_or(pg_sys::Datum::from(0usize));
        }
        pg_sys::ExecStoreVirtualTuple(slot);
    }
}

fn taken_apart(tuple: &Tuple) -> ([pg_sys::Datum; COLUMN_COUNT], [bool; COLUMN_COUNT]) {
    (
        tuple.map(|value| value.unwrap_or(pg_sys::Datum::from(0usize))),
        tuple.map(|value| value.is_none()),
    )
}

const COLUMN_COUNT: usize = super::layout::COLUMNS.len();

/// Enters tuples into an index.
///
/// # Safety
/// The tuples stand at these places of the relation, whose index it is.
unsafe fn enter(
    relation: pg_sys::Relation,
    index: &Index,
    tuples: &[Tuple],
    places: &mut [pg_sys::ItemPointerData],
) {
    let unique = if index.is_unique {
        pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES
    } else {
        pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO
    };
    // SAFETY: promised by the caller; a btree reads nothing of the description.
    unsafe {
        let opened = pg_sys::index_open(index.oid, pg_sys::RowExclusiveLock as i32);
        let mut info = pg_sys::IndexInfo {
            type_: pg_sys::NodeTag::T_IndexInfo,
            ii_Unique: index.is_unique,
            ..Default::default()
        };
        for (tuple, place) in tuples.iter().zip(places) {
            let holds =
                |condition: &Condition| tuple[condition.column].is_none() == condition.is_null;
            if !index.conditions.iter().all(holds) {
                continue;
            }
            let mut values = [pg_sys::Datum::from(0usize); MAX_COLUMNS];
            let mut nulls = [true; MAX_COLUMNS];
            for (entry, column) in index.columns.iter().enumerate() {
                nulls[entry] = tuple[*column].is_none();
                values[entry] = tuple[*column].unwrap_or(pg_sys::Datum::from(0usize));
            }
            pg_sys::index_insert(
                opened,
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
                &raw mut *place,
                relation,
                unique,
                false,
                &raw mut info,
            );
        }
        pg_sys::index_close(opened, pg_sys::RowExclusiveLock as i32);
    }
}
