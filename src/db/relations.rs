//! Relations and roles by name, and what tells a session that they have changed.

#![allow(unsafe_code)]

use super::{Mode, query, run};
use crate::error::Error;
use pgrx::{IntoDatum, pg_sys};
use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The relations that backends keep something of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Relation {
    Events,
    Actions,
    RoleTenants,
    Keys,
    Incarnations,
    Log,
    Captures,
    Tenants,
    PartitionRanges,
}

const RELATIONS: [&CStr; 9] = [
    c"events",
    c"actions",
    c"role_tenants",
    c"keys",
    c"incarnations",
    c"log",
    c"captures",
    c"tenants",
    c"partition_ranges",
];

static OIDS: [AtomicU32; RELATIONS.len()] = [const { AtomicU32::new(0) }; RELATIONS.len()];
static CHANGES: [AtomicU64; RELATIONS.len()] = [const { AtomicU64::new(1) }; RELATIONS.len()];
static ROLE_CHANGES: AtomicU64 = AtomicU64::new(1);
static CODE_CHANGES: AtomicU64 = AtomicU64::new(1);

/// Moves whenever the relation changes: by DDL, or by a statement on its rows where it carries the
/// trigger `_changed` (registry, pins, keys, incarnations, log, captures, tenants).
pub fn changes(relation: Relation) -> u64 {
    CHANGES[relation as usize].load(Ordering::Relaxed)
}

/// Tables of users that this session keeps something of: one bit for each, found by a part of its
/// OID. Two tables may share a bit; then a change of one is taken for a change of the other.
static WATCHED: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
static TABLE_CHANGES: AtomicU64 = AtomicU64::new(1);

fn watched_bit(table: pg_sys::Oid) -> (&'static AtomicU64, u64) {
    let number = table.to_u32() as usize;
    (&WATCHED[(number >> 6) % WATCHED.len()], 1 << (number & 63))
}

/// Makes [`table_changes`] move with every change of this table's definition.
pub fn watch_table(table: pg_sys::Oid) {
    let (word, bit) = watched_bit(table);
    word.fetch_or(bit, Ordering::Relaxed);
}

/// Moves whenever the definition of a watched table changes.
pub fn table_changes() -> u64 {
    TABLE_CHANGES.load(Ordering::Relaxed)
}

/// Moves whenever a role is made, renamed, dropped, or its memberships change.
pub fn role_changes() -> u64 {
    ROLE_CHANGES.load(Ordering::Relaxed)
}

/// Moves whenever a function or a type is made, changed or dropped.
pub fn code_changes() -> u64 {
    CODE_CHANGES.load(Ordering::Relaxed)
}

/// Registers for the server's notices of change. Once per process; the server keeps no way back.
pub fn watch_relations() {
    // SAFETY: the callbacks touch only atomics, as the server demands of invalidation callbacks.
    unsafe {
        let none = pg_sys::Datum::from(0usize);
        pg_sys::CacheRegisterRelcacheCallback(Some(on_relation_change), none);
        for cache in [
            pg_sys::SysCacheIdentifier::AUTHOID,
            pg_sys::SysCacheIdentifier::AUTHMEMROLEMEM,
        ] {
            pg_sys::CacheRegisterSyscacheCallback(cache as _, Some(on_role_change), none);
        }
        for cache in [
            pg_sys::SysCacheIdentifier::PROCOID,
            pg_sys::SysCacheIdentifier::TYPEOID,
        ] {
            pg_sys::CacheRegisterSyscacheCallback(cache as _, Some(on_code_change), none);
        }
    }
}

unsafe extern "C-unwind" fn on_relation_change(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    let (word, bit) = watched_bit(relation);
    if relation == pg_sys::InvalidOid || word.load(Ordering::Relaxed) & bit != 0 {
        TABLE_CHANGES.fetch_add(1, Ordering::Relaxed);
    }
    for (oid, changes) in OIDS.iter().zip(&CHANGES) {
        let known = oid.load(Ordering::Relaxed);
        // Zero stands for "everything changed".
        if relation == pg_sys::InvalidOid || known == relation.to_u32() {
            oid.store(0, Ordering::Relaxed);
            changes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

unsafe extern "C-unwind" fn on_role_change(
    _argument: pg_sys::Datum,
    _cache: std::ffi::c_int,
    _hash: u32,
) {
    ROLE_CHANGES.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C-unwind" fn on_code_change(
    _argument: pg_sys::Datum,
    _cache: std::ffi::c_int,
    _hash: u32,
) {
    CODE_CHANGES.fetch_add(1, Ordering::Relaxed);
}

/// Takes in what other sessions have committed, so that the counters above are up to date.
pub fn accept_changes() {
    // SAFETY: allowed wherever a transaction is open.
    unsafe { pg_sys::AcceptInvalidationMessages() };
}

/// Tells every session, at commit, that a relation's rows changed.
pub(super) fn announce_change(relation: pg_sys::Oid) {
    // SAFETY: called for a relation that is open in the trigger that announces.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relation) };
}

/// The OID of a relation of ours, or `None` before `setup()`.
pub fn find(relation: Relation) -> Option<pg_sys::Oid> {
    let slot = &OIDS[relation as usize];
    let known = slot.load(Ordering::Relaxed);
    if known != 0 {
        return Some(pg_sys::Oid::from(known));
    }
    let oid = find_by_name(RELATIONS[relation as usize])?;
    slot.store(oid.to_u32(), Ordering::Relaxed);
    Some(oid)
}

pub(super) fn find_by_name(name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: both look-ups are ordinary catalog reads.
    let oid = unsafe {
        let schema = pg_sys::get_namespace_oid(c"activity".as_ptr(), true);
        if schema == pg_sys::InvalidOid {
            return None;
        }
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The OID of a relation of ours.
///
/// # Errors
/// [`Error::NotSetUp`] before `setup()`.
pub fn oid(relation: Relation) -> Result<pg_sys::Oid, Error> {
    find(relation).ok_or(Error::NotSetUp)
}

/// Takes the lock of a SELECT on a relation until the end of the transaction, so that its
/// partitions stay attached while they are read.
pub fn lock_shared(relation: pg_sys::Oid) {
    // SAFETY: any relation may be locked; the server releases the lock.
    unsafe { pg_sys::LockRelationOid(relation, pg_sys::AccessShareLock as i32) };
}

/// The name of a role; its number if it is gone.
pub fn role_name(role: pg_sys::Oid) -> String {
    // SAFETY: the look-up returns NULL for an unknown role, or a NUL-terminated name.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        if name.is_null() {
            role.to_u32().to_string()
        } else {
            CStr::from_ptr(name).to_string_lossy().into_owned()
        }
    }
}

/// The name of a relation, unquoted.
pub fn relation_name(relation: pg_sys::Oid) -> Option<String> {
    // SAFETY: the look-up returns NULL for an unknown relation, or a NUL-terminated name.
    unsafe {
        let name = pg_sys::get_rel_name(relation);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// The name of a relation with its schema, quoted where it must be.
pub fn qualified_name(relation: pg_sys::Oid) -> Option<String> {
    // SAFETY: the look-ups return NULL for what is unknown, or NUL-terminated names.
    let schema = unsafe {
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(relation));
        if schema.is_null() {
            return None;
        }
        CStr::from_ptr(schema).to_string_lossy().into_owned()
    };
    Some(pgrx::spi::quote_qualified_identifier(
        schema,
        relation_name(relation)?,
    ))
}

/// Every relation in the schema of the log.
pub fn relations_of_schema() -> Result<Vec<pg_sys::Oid>, Error> {
    query(
        // A new snapshot: relations of this very statement count as well.
        Mode::Write,
        "SELECT oid FROM pg_catalog.pg_class WHERE relnamespace = 'activity'::regnamespace",
        &[],
        |row| row.must(1, "pg_class"),
    )
}

/// Whether the schema of the log holds a relation of this name.
pub fn exists(name: &str) -> Result<bool, Error> {
    let name = CString::new(name).map_err(|_| Error::Internal {
        place: "relation name",
    })?;
    Ok(find_by_name(&name).is_some())
}

/// Takes back what default privileges gave away on relations that were made since `known` was
/// read. What an administrator granted on older ones stays.
pub fn revoke_default_grants(known: &[pg_sys::Oid]) -> Result<(), Error> {
    let known = (pg_sys::OIDARRAYOID, known.to_vec().into_datum());
    let statements = query(
        Mode::Write,
        include_str!("../../sql/query/default_grants.sql"),
        &[known],
        |row| row.must::<String>(1, "pg_class"),
    )?;
    statements
        .iter()
        .try_for_each(|statement| run(statement, &[]).map(|_| ()))
}
