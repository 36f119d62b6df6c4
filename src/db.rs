//! The server's catalog and SQL, for every other module: relations by name, caches that follow
//! them, statements with parameters, and the change of user around them.
//!
//! SQL text is constant or built from quoted identifiers; values travel as parameters only.

#![allow(unsafe_code)]

use crate::error::Error;
use pgrx::{FromDatum, IntoDatum, PgSqlErrorCode, PgTryBuilder, pg_guard, pg_sys};
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
}

const RELATIONS: [&CStr; 6] = [
    c"events",
    c"actions",
    c"role_tenants",
    c"keys",
    c"incarnations",
    c"log",
];

static OIDS: [AtomicU32; RELATIONS.len()] = [const { AtomicU32::new(0) }; RELATIONS.len()];
static CHANGES: [AtomicU64; RELATIONS.len()] = [const { AtomicU64::new(1) }; RELATIONS.len()];
static ROLE_CHANGES: AtomicU64 = AtomicU64::new(1);

/// Moves whenever the relation changes: by DDL, or by a statement on its rows where it carries the
/// trigger `_changed` (registry, pins, keys, incarnations, log).
pub fn changes(relation: Relation) -> u64 {
    CHANGES[relation as usize].load(Ordering::Relaxed)
}

/// Moves whenever a role is made, renamed, dropped, or its memberships change.
pub fn role_changes() -> u64 {
    ROLE_CHANGES.load(Ordering::Relaxed)
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
    }
}

unsafe extern "C-unwind" fn on_relation_change(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
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

/// Takes in what other sessions have committed, so that the counters above are up to date.
pub fn accept_changes() {
    // SAFETY: allowed wherever a transaction is open.
    unsafe { pg_sys::AcceptInvalidationMessages() };
}

/// Tells every session, at commit, that a relation's rows changed.
pub fn announce_change(relation: pg_sys::Oid) {
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

fn find_by_name(name: &CStr) -> Option<pg_sys::Oid> {
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

/// What a statement may see and do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reads with the snapshot of the calling query; forces no transaction id.
    Read,
    /// Reads what is committed at this moment, also in a transaction with an older snapshot: for
    /// caches that outlive the transaction.
    ReadLatest,
    /// Writes.
    Write,
}

/// A parameter: its type and its value, NULL if none.
pub type Parameter = (pg_sys::Oid, Option<pg_sys::Datum>);

/// A text parameter.
pub fn text(value: Option<&str>) -> Parameter {
    (
        pg_sys::TEXTOID,
        value.map(|text| crate::value::varlena(text.as_bytes())),
    )
}

/// A uuid parameter.
pub fn uuid(value: &[u8; 16]) -> Parameter {
    (pg_sys::UUIDOID, Some(crate::value::uuid(value)))
}

/// An integer parameter.
pub fn int(value: i32) -> Parameter {
    (pg_sys::INT4OID, Some(pg_sys::Datum::from(value)))
}

/// A big integer parameter.
pub fn bigint(value: i64) -> Parameter {
    (pg_sys::INT8OID, Some(pg_sys::Datum::from(value)))
}

/// A time, in microseconds since 2000-01-01 UTC as the server counts.
pub fn time(value: i64) -> Parameter {
    (pg_sys::TIMESTAMPTZOID, Some(pg_sys::Datum::from(value)))
}

/// A bytea parameter.
pub fn bytes(value: &[u8]) -> Parameter {
    (pg_sys::BYTEAOID, Some(crate::value::varlena(value)))
}

/// A jsonb parameter, from its container.
pub fn jsonb(value: &[u8]) -> Parameter {
    (pg_sys::JSONBOID, Some(crate::value::varlena(value)))
}

/// A row of a result. Its values live as long as the statement's memory, so they are copied out.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    columns: pg_sys::TupleDesc,
}

impl Row {
    /// The column at `position`, counted from 1; `None` for NULL.
    pub fn get<T: FromDatum>(&self, position: i32) -> Option<T> {
        let mut is_null = true;
        // SAFETY: tuple and descriptor belong to the SPI result that is still open while the row
        // is lent to the closure of `query`.
        unsafe {
            let datum = pg_sys::SPI_getbinval(self.tuple, self.columns, position, &raw mut is_null);
            let typoid = pg_sys::SPI_gettypeid(self.columns, position);
            T::from_polymorphic_datum(datum, is_null, typoid)
        }
    }

    /// The column at `position`, or an internal error naming `place`.
    pub fn must<T: FromDatum>(&self, position: i32, place: &'static str) -> Result<T, Error> {
        self.get(position).ok_or(Error::Internal { place })
    }
}

/// Runs a statement as the owner of the log with a pinned search path and hands each row to `each`.
///
/// The caller's rights were checked before; `sql` is never built from a caller's text.
///
/// # Errors
/// What `each` returns, which ends the loop, or an internal error where SPI fails without raising.
pub fn query<R>(
    mode: Mode,
    sql: &str,
    parameters: &[Parameter],
    mut each: impl FnMut(&Row) -> Result<R, Error>,
) -> Result<Vec<R>, Error> {
    as_owner(|| {
        let _latest = (mode == Mode::ReadLatest).then(LatestSnapshot::push);
        let _session = SpiSession::open();
        execute(mode, sql, parameters)?;
        collect(&mut each)
    })
}

/// Runs a statement for its effect; how many rows it touched.
pub fn run(sql: &str, parameters: &[Parameter]) -> Result<u64, Error> {
    as_owner(|| {
        let _session = SpiSession::open();
        execute(Mode::Write, sql, parameters)
    })
}

/// The single value of a statement that returns at most one row.
pub fn value<T: FromDatum>(
    mode: Mode,
    sql: &str,
    parameters: &[Parameter],
) -> Result<Option<T>, Error> {
    Ok(query(mode, sql, parameters, |row| Ok(row.get(1)))?
        .pop()
        .flatten())
}

fn execute(mode: Mode, sql: &str, parameters: &[Parameter]) -> Result<u64, Error> {
    let sql = CString::new(sql).map_err(|_| Error::Internal {
        place: "statement text",
    })?;
    let mut types: Vec<pg_sys::Oid> = parameters.iter().map(|(oid, _)| *oid).collect();
    let mut values: Vec<pg_sys::Datum> = parameters
        .iter()
        .map(|(_, value)| value.unwrap_or(pg_sys::Datum::from(0usize)))
        .collect();
    let nulls: Vec<std::ffi::c_char> = parameters
        .iter()
        .map(|(_, value)| (if value.is_some() { b' ' } else { b'n' }) as std::ffi::c_char)
        .collect();
    // SAFETY: an SPI session is open, and the three arrays have one entry per parameter.
    let (code, processed) = unsafe {
        let code = pg_sys::SPI_execute_with_args(
            sql.as_ptr(),
            parameters.len() as i32,
            types.as_mut_ptr(),
            values.as_mut_ptr(),
            nulls.as_ptr(),
            mode != Mode::Write,
            0,
        );
        (code, pg_sys::SPI_processed)
    };
    if code < 0 {
        Err(Error::Internal { place: "statement" })
    } else {
        Ok(processed)
    }
}

fn collect<R>(each: &mut impl FnMut(&Row) -> Result<R, Error>) -> Result<Vec<R>, Error> {
    // SAFETY: SPI_tuptable is NULL for statements without a result; otherwise it holds
    // SPI_processed tuples until the session is closed.
    let (table, processed) = unsafe { (pg_sys::SPI_tuptable, pg_sys::SPI_processed as usize) };
    if table.is_null() {
        return Ok(Vec::new());
    }
    let mut rows = Vec::with_capacity(processed);
    for index in 0..processed {
        // SAFETY: index < SPI_processed.
        let row = unsafe {
            Row {
                tuple: *(*table).vals.add(index),
                columns: (*table).tupdesc,
            }
        };
        rows.push(each(&row)?);
    }
    Ok(rows)
}

/// An open SPI connection, closed when dropped.
struct SpiSession;

impl SpiSession {
    fn open() -> Self {
        // SAFETY: allowed wherever a transaction is open; failure raises.
        unsafe { pg_sys::SPI_connect() };
        Self
    }
}

impl Drop for SpiSession {
    fn drop(&mut self) {
        // After an error the server's own abort closes the session, and finishing it here while
        // the stack unwinds would raise a second error.
        if !std::thread::panicking() {
            // SAFETY: the session of this guard is the innermost one.
            unsafe { pg_sys::SPI_finish() };
        }
    }
}

/// A snapshot of this moment, active while it is held.
struct LatestSnapshot;

impl LatestSnapshot {
    fn push() -> Self {
        // SAFETY: a transaction is open.
        unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot()) };
        Self
    }
}

impl Drop for LatestSnapshot {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: the snapshot of this guard is the innermost active one.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
    }
}

/// Runs `work` as the bootstrap superuser, who owns the log, with `search_path` pinned.
///
/// Who the caller is stays visible in the session and outer user. An error restores both through
/// the server's abort.
pub fn as_owner<R>(work: impl FnOnce() -> R) -> R {
    let mut caller = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: user and settings are restored below, or by the abort of the (sub)transaction when
    // `work` raises, exactly as for a SECURITY DEFINER function with a SET clause.
    let nesting = unsafe {
        pg_sys::GetUserIdAndSecContext(&raw mut caller, &raw mut context);
        pg_sys::SetUserIdAndSecContext(
            pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID),
            context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32,
        );
        pg_sys::NewGUCNestLevel()
    };
    set_option(c"search_path", c"pg_catalog, pg_temp", Scope::Block);
    let result = work();
    // SAFETY: as above.
    unsafe {
        pg_sys::AtEOXact_GUC(true, nesting);
        pg_sys::SetUserIdAndSecContext(caller, context);
    }
    result
}

/// How long a setting lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Session,
    Transaction,
    /// Until the settings' nesting level that is open ends.
    Block,
}

/// Sets an option as any user may.
pub fn set_option(name: &CStr, value: &CStr, scope: Scope) {
    let action = match scope {
        Scope::Session => pg_sys::GucAction::GUC_ACTION_SET,
        Scope::Transaction => pg_sys::GucAction::GUC_ACTION_LOCAL,
        Scope::Block => pg_sys::GucAction::GUC_ACTION_SAVE,
    };
    // SAFETY: name and value are NUL-terminated; a refused value raises.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            0,
            false,
        );
    }
}

/// Runs `work` in a subtransaction; what it raises is rolled back and returned.
///
/// Cancellation, shutdown and serialization failures are passed on: nobody may swallow them.
///
/// # Errors
/// The SQLSTATE and message of what was raised, or the error that `work` returned.
pub fn in_subtransaction<R>(work: impl FnOnce() -> Result<R, Error>) -> Result<R, Failure> {
    // SAFETY: the memory context and resource owner are restored on both paths, as PL/pgSQL does
    // for an EXCEPTION block.
    let (context, owner) = unsafe {
        let saved = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(saved.0);
        saved
    };
    let work = std::panic::AssertUnwindSafe(work);
    let outcome = PgTryBuilder::new(|| {
        let work = work;
        (work.0)().map_err(|error| Caught::Tolerated(Failure::Refused(error)))
    })
    .catch_others(|caught| Err(sort(caught)))
    .execute();
    // SAFETY: as above.
    unsafe {
        if outcome.is_ok() {
            pg_sys::ReleaseCurrentSubTransaction();
        } else {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
    }
    // Passed on only now, or the session would be left inside the subtransaction.
    outcome.map_err(|caught| match caught {
        Caught::Tolerated(failure) => failure,
        Caught::Passed(error) => error.rethrow(),
    })
}

/// What was caught in a subtransaction.
enum Caught {
    Tolerated(Failure),
    Passed(pg_sys::panic::CaughtError),
}

fn sort(caught: pg_sys::panic::CaughtError) -> Caught {
    match caught {
        pg_sys::panic::CaughtError::PostgresError(raised)
        | pg_sys::panic::CaughtError::ErrorReport(raised)
            if !must_pass(raised.sql_error_code()) =>
        {
            Caught::Tolerated(Failure::Raised {
                code: raised.sql_error_code(),
            })
        }
        other => Caught::Passed(other),
    }
}

/// Why a subtransaction was rolled back.
#[derive(Debug)]
pub enum Failure {
    /// The work returned an error of ours.
    Refused(Error),
    /// The server raised an error. Its message may quote data, so only the code is kept.
    Raised { code: PgSqlErrorCode },
}

/// Errors that end the statement whatever `activity.on_error` says: the transaction can't go on,
/// somebody wants it to stop, or data is damaged. XX000 is not among them, because pgrx turns every
/// code it does not know into it.
fn must_pass(code: PgSqlErrorCode) -> bool {
    let state = crate::error::sqlstate(code);
    matches!(&state[..2], "40" | "57" | "58") || matches!(&state[..], "XX001" | "XX002")
}

/// The trigger behind [`changes`]: after any statement on the table it tells every session to
/// forget what it keeps of it, or of the relation that its argument names: the one under whose
/// count this table's rows are kept.
unsafe fn changed(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: `trigger_relation` checks that the server calls it as a trigger; then the context is
    // trigger data, whose arguments are NUL-terminated strings.
    let (own, named) = unsafe {
        let own = trigger_relation(fcinfo);
        let trigger = (*(*fcinfo).context.cast::<pg_sys::TriggerData>()).tg_trigger;
        let has_argument = (*trigger).tgnargs > 0;
        (
            own,
            has_argument.then(|| CStr::from_ptr(*(*trigger).tgargs)),
        )
    };
    announce_change(named.and_then(find_by_name).unwrap_or(own));
    pg_sys::Datum::from(0usize)
}

/// The relation a trigger function was fired for; raises when it is called otherwise.
///
/// # Safety
/// `fcinfo` is the call information the server handed to the function.
pub unsafe fn trigger_relation(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Oid {
    // SAFETY: `called_as_trigger` checks the node tag before the context is read as trigger data.
    unsafe {
        if !pgrx::trigger_support::called_as_trigger(fcinfo) {
            crate::error::raise(Error::Internal {
                place: "trigger function called as a function",
            });
        }
        let trigger = (*fcinfo).context.cast::<pg_sys::TriggerData>();
        (*(*trigger).tg_relation).rd_id
    }
}

/// Makes a Rust function callable as a version-1 C function: pgrx can't declare functions that
/// return a bare datum, as triggers do.
macro_rules! c_function {
    ($name:ident, $info:ident, $body:path) => {
        #[unsafe(no_mangle)]
        pub extern "C" fn $info() -> &'static pg_sys::Pg_finfo_record {
            static V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
            &V1
        }

        /// # Safety
        /// Called by the server only.
        #[unsafe(no_mangle)]
        #[pg_guard]
        pub unsafe extern "C-unwind" fn $name(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            // SAFETY: the server hands over valid call information.
            unsafe { $body(fcinfo) }
        }
    };
}
pub(crate) use c_function;

c_function!(activity_changed, pg_finfo_activity_changed, changed);

/// Unpredictable bytes.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0u8; N];
    // SAFETY: the buffer has N bytes.
    let filled = unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), N) };
    if filled {
        Ok(bytes)
    } else {
        Err(Error::Internal {
            place: "random numbers",
        })
    }
}

/// The server's data directory.
pub fn data_directory() -> String {
    // SAFETY: the server sets the variable at start and never changes it.
    unsafe { CStr::from_ptr(pg_sys::DataDir) }
        .to_string_lossy()
        .into_owned()
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

/// Takes back what default privileges gave away on relations that were made since `known` was
/// read. What an administrator granted on older ones stays.
pub fn revoke_default_grants(known: &[pg_sys::Oid]) -> Result<(), Error> {
    let known = (pg_sys::OIDARRAYOID, known.to_vec().into_datum());
    let statements = query(
        Mode::Write,
        include_str!("../sql/query/default_grants.sql"),
        &[known],
        |row| row.must::<String>(1, "pg_class"),
    )?;
    statements
        .iter()
        .try_for_each(|statement| run(statement, &[]).map(|_| ()))
}
