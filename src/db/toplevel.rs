//! Commands that the server refuses inside a transaction block, a function or a procedure.

#![allow(unsafe_code)]

use crate::error::Error;
use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::CString;

thread_local! {
    /// What the last command was made of: it has to outlive the transactions of the command, and is
    /// given back when the next one begins.
    static MEMORY: Cell<pg_sys::MemoryContext> = const { Cell::new(std::ptr::null_mut()) };
}

/// Runs one utility command as if a client had sent it by itself. The caller is a background process
/// outside any transaction; an error is his to clean up after.
///
/// # Errors
/// An internal error where `sql` is not one command, or a transaction is open.
pub fn execute_alone(sql: &str) -> Result<(), Error> {
    let place = "command";
    let text = CString::new(sql).map_err(|_| Error::Internal { place })?;
    // SAFETY: the command may commit in between, so everything it is made of lives in a context of
    // its own.
    unsafe {
        if pg_sys::IsTransactionState() {
            return Err(Error::Internal { place });
        }
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, text.as_ptr());
        pg_sys::StartTransactionCommand();
        let _memory = CommandMemory::use_fresh();
        let statement = parse(&text)?;
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        pg_sys::ProcessUtility(
            statement,
            text.as_ptr(),
            false,
            pg_sys::ProcessUtilityContext::PROCESS_UTILITY_TOPLEVEL,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            pg_sys::None_Receiver,
            std::ptr::null_mut(),
        );
        // The command has ended the transaction, and with it the snapshot, if it had to.
        if pg_sys::ActiveSnapshotSet() {
            pg_sys::PopActiveSnapshot();
        }
        pg_sys::CommitTransactionCommand();
    }
    Ok(())
}

/// The one command in a text, as the server hands it on: a utility command has no plan, the node only
/// carries the statement.
///
/// # Safety
/// A transaction is open, and the current memory context outlives the command.
unsafe fn parse(text: &CString) -> Result<*mut pg_sys::PlannedStmt, Error> {
    // SAFETY: the parser returns a list of raw statements; the node is zeroed and tagged as the
    // server's makeNode() does.
    unsafe {
        let parsed =
            pgrx::PgList::<pg_sys::RawStmt>::from_pg(pg_sys::pg_parse_query(text.as_ptr()));
        let raw = parsed
            .get_ptr(0)
            .filter(|_| parsed.len() == 1)
            .ok_or(Error::Internal { place: "command" })?;
        let size = size_of::<pg_sys::PlannedStmt>();
        let statement = pg_sys::palloc0(size).cast::<pg_sys::PlannedStmt>();
        (*statement).type_ = pg_sys::NodeTag::T_PlannedStmt;
        (*statement).commandType = pg_sys::CmdType::CMD_UTILITY;
        (*statement).canSetTag = true;
        (*statement).utilityStmt = (*raw).stmt;
        Ok(statement)
    }
}

/// The memory of a command, current, and in the place where the server expects that of a client's
/// command. It goes back to where it was however the command ends; what is current then is for the
/// end of the transaction to say.
struct CommandMemory {
    before: pg_sys::MemoryContext,
}

impl CommandMemory {
    fn use_fresh() -> Self {
        let known = MEMORY.get();
        // SAFETY: the context is a child of one that is never deleted; nothing of the last command
        // is in use any more.
        unsafe {
            if known.is_null() {
                MEMORY.set(pg_sys::AllocSetContextCreateExtended(
                    pg_sys::TopMemoryContext,
                    c"activity_log command".as_ptr(),
                    pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
                ));
            } else {
                pg_sys::MemoryContextReset(known);
            }
            let before = pg_sys::PortalContext;
            pg_sys::PortalContext = MEMORY.get();
            pg_sys::MemoryContextSwitchTo(MEMORY.get());
            Self { before }
        }
    }
}

impl Drop for CommandMemory {
    fn drop(&mut self) {
        // SAFETY: a variable of the process.
        unsafe { pg_sys::PortalContext = self.before };
    }
}
