//! Every error a client can get, with its SQLSTATE, detail and hint: docs/errors.md is this table.
//!
//! No variant carries metadata, a secret or an address. Names of actions, arguments, settings and
//! relations are the only caller's words that a message repeats, and only where their grammar has
//! been checked.

// The environment and the server's variables can only be set in unsafe code.
#![allow(unsafe_code)]

use crate::clock;
use activity_log_core::registry::schema::Problem;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys};
use std::borrow::Cow;

/// What went wrong, as the caller has to know it.
#[derive(Debug, Clone)]
pub enum Error {
    /// `setup()` has not been run (55000).
    NotSetUp,
    /// No partition takes an event of this time (55000).
    NoPartition,
    /// A table that is no partition has the name of one that has to be made (55000).
    NameTaken { name: String },
    /// A required argument was not given (22004).
    Missing { argument: &'static str },
    /// No tenant in the arguments and none in the context (22004).
    NoTenant,
    /// An argument has a value that can't be used (22023).
    Invalid {
        argument: &'static str,
        problem: Cow<'static, str>,
        hint: Option<&'static str>,
    },
    /// A text or document is larger than its limit (22001).
    TooLarge {
        what: &'static str,
        bytes: usize,
        limit: usize,
        setting: Option<&'static str>,
    },
    /// The action is not in the registry (42704).
    UnknownAction { action: String },
    /// The action was retired (22023).
    RetiredAction { action: String },
    /// The metadata does not fit the schema (23514).
    SchemaMismatch {
        action: String,
        version: i32,
        problems: Vec<Problem>,
    },
    /// Something is asked for by a name that does not exist (42704).
    Unknown {
        what: &'static str,
        hint: &'static str,
    },
    /// The caller may not do this (42501).
    Denied {
        what: Cow<'static, str>,
        hint: &'static str,
    },
    /// A captured row has no tenant, and its capture demands one (22004).
    NoRowTenant,
    /// A trigger names a capture that does not exist (55000).
    OrphanTrigger,
    /// A trigger function was called by something else than the trigger it is made for (39P01).
    NotItsTrigger,
    /// The same for a function of an event trigger (39P03).
    NotItsEventTrigger,
    /// The log can't be changed (42501).
    AppendOnly { relation: String },
    /// Events of a batch are bad; nothing was written (the SQLSTATE of the first).
    Batch {
        total: usize,
        problems: Vec<(usize, Error)>,
    },
    /// This kind of relation can't be captured (42809).
    WrongKind { what: &'static str },
    /// A column that the table does not have is named (42703).
    UndefinedColumn {
        argument: &'static str,
        position: usize,
    },
    /// Something exists already (42710).
    Exists {
        what: Cow<'static, str>,
        hint: &'static str,
    },
    /// An expression of a rule is none that a rule may have (42P17).
    BadExpression {
        argument: &'static str,
        problem: &'static str,
    },
    /// The metadata of a rule has another type (42804).
    NotJsonb,
    /// A table without a primary key has no rows to tell apart (0A000).
    NoKey,
    /// The key file can't be used (F0000).
    KeyFile { problem: &'static str },
    /// A cursor of the stream stands where this server will never come to (55000).
    LostPlace { problem: &'static str },
    /// What a cursor of the stream has still to read is gone in part (55000).
    BehindRetention {
        /// How far the reader has come, in the microseconds of the server.
        reached: i64,
        /// Where the events go on.
        goes_on: i64,
    },
    /// A partition lacks an index that streaming reads (55000).
    NoStreamIndex { partition: String },
    /// A consumer of this name is another one (42710).
    ConsumerExists { name: String },
    /// Another session holds the consumer (55P03).
    ConsumerHeld { name: String, process: Option<i32> },
    /// `maintain()` was called where it can't commit (2D000).
    InTransactionBlock,
    /// Events would be kept for a shorter time (22023); the detail says which would go.
    NotConfirmed { detail: serde_json::Value },
    /// Nothing here can do what was asked for (0A000).
    NotAvailable {
        what: &'static str,
        hint: &'static str,
    },
    /// An archive is not what its manifest says (XX001).
    ArchiveDamaged { problem: String },
    /// A file of an archive can't be read or written (58030, 58P01, 53100).
    ArchiveFile { kind: std::io::ErrorKind },
    /// An archive was written by another log (55000).
    ArchiveOfAnotherLog,
    /// A legal hold covers what was to be erased (55000).
    Held { hold_id: String },
    /// The transaction does not see what others have committed since it began (25000).
    IsolationLevel,
    /// A table of this name is there already (42P07).
    TableExists { name: String },
    /// There is no worker that could do it (0A000).
    NoWorker {
        why: &'static str,
        hint: &'static str,
    },
    /// The worker did not take the event (53000).
    NotTaken { why: &'static str },
    /// The worker took the event and did not say what became of it (40003).
    Unanswered,
    /// The worker could not write the event (the SQLSTATE that it met).
    NotWritten { code: PgSqlErrorCode },
    /// The event does not fit into the worker's queue (54000).
    TooLargeForQueue { bytes: usize, limit: usize },
    /// Something that can't happen did (XX000); the message names the place, never data.
    Internal { place: &'static str },
}

/// The four parts of an error that a client sees.
pub struct Report {
    pub code: PgSqlErrorCode,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl Error {
    /// A value that can't be used, without advice.
    pub fn invalid(argument: &'static str, problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid {
            argument,
            problem: problem.into(),
            hint: None,
        }
    }

    /// The SQLSTATE, message, detail and hint.
    pub fn report(&self) -> Report {
        let (code, message) = self.headline();
        Report {
            code,
            message,
            detail: self.detail(),
            hint: self.hint(),
        }
    }

    fn headline(&self) -> (PgSqlErrorCode, String) {
        use PgSqlErrorCode as Code;
        match self {
            Self::NotSetUp => (
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "activity_log is not set up in this database".into(),
            ),
            Self::NoPartition => (
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "activity_log has no partition for the present time".into(),
            ),
            Self::NameTaken { name } => (
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("table \"{name}\" exists and is no partition of the log"),
            ),
            Self::Missing { argument } => (
                Code::ERRCODE_NULL_VALUE_NOT_ALLOWED,
                format!("{argument} must be given"),
            ),
            Self::NoTenant => (
                Code::ERRCODE_NULL_VALUE_NOT_ALLOWED,
                "no tenant: tenant_id is neither given nor in the context".into(),
            ),
            Self::NoRowTenant => (
                Code::ERRCODE_NULL_VALUE_NOT_ALLOWED,
                "no tenant: the captured row does not say whose it is".into(),
            ),
            Self::NotItsEventTrigger => (
                Code::ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED,
                "a function of activity_log's event triggers was not called by one".into(),
            ),
            Self::NotItsTrigger => (
                Code::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                "a trigger function of activity_log was not called by its trigger".into(),
            ),
            Self::OrphanTrigger => (
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "a trigger of activity_log names a capture that does not exist".into(),
            ),
            Self::Invalid {
                argument, problem, ..
            } => (
                Code::ERRCODE_INVALID_PARAMETER_VALUE,
                format!("invalid {argument}: {problem}"),
            ),
            Self::TooLarge {
                what, bytes, limit, ..
            } => (
                Code::ERRCODE_STRING_DATA_RIGHT_TRUNCATION,
                format!("{what} has {bytes} bytes, the limit is {limit}"),
            ),
            Self::UnknownAction { action } => (
                Code::ERRCODE_UNDEFINED_OBJECT,
                format!("action \"{action}\" is not registered"),
            ),
            Self::RetiredAction { action } => (
                Code::ERRCODE_INVALID_PARAMETER_VALUE,
                format!("action \"{action}\" is retired"),
            ),
            Self::SchemaMismatch {
                action, version, ..
            } => (
                Code::ERRCODE_CHECK_VIOLATION,
                format!("metadata does not match version {version} of the schema of \"{action}\""),
            ),
            Self::Unknown { what, .. } => (
                Code::ERRCODE_UNDEFINED_OBJECT,
                format!("{what} does not exist"),
            ),
            Self::Denied { what, .. } => (
                Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("permission denied: {what}"),
            ),
            Self::AppendOnly { relation } => (
                Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("\"{relation}\" is append only"),
            ),
            Self::Batch { total, problems } => {
                let code = problems
                    .first()
                    .map_or(Code::ERRCODE_INTERNAL_ERROR, |(_, error)| {
                        error.report().code
                    });
                (
                    code,
                    format!("{} of {total} events can't be recorded", problems.len()),
                )
            }
            Self::WrongKind { what } => (
                Code::ERRCODE_WRONG_OBJECT_TYPE,
                format!("{what} can't be captured"),
            ),
            Self::UndefinedColumn { argument, .. } => (
                Code::ERRCODE_UNDEFINED_COLUMN,
                format!("{argument} names a column that the table does not have"),
            ),
            Self::Exists { what, .. } => (
                Code::ERRCODE_DUPLICATE_OBJECT,
                format!("{what} is captured already"),
            ),
            Self::BadExpression { argument, problem } => (
                Code::ERRCODE_INVALID_OBJECT_DEFINITION,
                format!("{argument} of a rule is refused: {problem}"),
            ),
            Self::NotJsonb => (
                Code::ERRCODE_DATATYPE_MISMATCH,
                "metadata of a rule must be of type jsonb".into(),
            ),
            Self::NoKey => (
                Code::ERRCODE_FEATURE_NOT_SUPPORTED,
                "a table without a primary key has no rows that can be told apart".into(),
            ),
            Self::InTransactionBlock => (
                Code::ERRCODE_INVALID_TRANSACTION_TERMINATION,
                "activity.maintain() can't run inside a transaction block".into(),
            ),
            Self::NotConfirmed { .. } => (
                Code::ERRCODE_INVALID_PARAMETER_VALUE,
                "events would be kept for a shorter time than before".into(),
            ),
            Self::NotAvailable { what, .. } => (
                Code::ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("{what} is not available here"),
            ),
            Self::KeyFile { problem } => (
                Code::ERRCODE_CONFIG_FILE_ERROR,
                format!("activity.key_file {problem}"),
            ),
            Self::LostPlace { problem } => (
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("the stream can't go on from this cursor: {problem}"),
            ),
            Self::BehindRetention { .. } => (
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "events behind this cursor have left the log before they were read".into(),
            ),
            Self::NoStreamIndex { partition } => (
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("partition \"{partition}\" lacks an index that streaming reads"),
            ),
            Self::ConsumerExists { name } => (
                Code::ERRCODE_DUPLICATE_OBJECT,
                format!(
                    "consumer \"{name}\" exists with another tenant, other actions or another owner"
                ),
            ),
            Self::ConsumerHeld { name, process } => (
                Code::ERRCODE_LOCK_NOT_AVAILABLE,
                match process {
                    Some(process) => format!("consumer \"{name}\" is held by process {process}"),
                    None => format!("consumer \"{name}\" is held by another process"),
                },
            ),
            Self::ArchiveDamaged { problem } => (
                Code::ERRCODE_DATA_CORRUPTED,
                format!("the archive is damaged: {problem}"),
            ),
            Self::ArchiveFile { kind } => {
                let code = match kind {
                    std::io::ErrorKind::NotFound => Code::ERRCODE_UNDEFINED_FILE,
                    std::io::ErrorKind::StorageFull => Code::ERRCODE_DISK_FULL,
                    _ => Code::ERRCODE_IO_ERROR,
                };
                (code, format!("a file of the archive can't be used: {kind}"))
            }
            Self::ArchiveOfAnotherLog => (
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "the archive was written by another log".into(),
            ),
            Self::Held { hold_id } => (
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("legal hold {hold_id} covers events of this actor"),
            ),
            Self::IsolationLevel => (
                Code::ERRCODE_INVALID_TRANSACTION_STATE,
                "this needs a transaction of isolation level read committed".into(),
            ),
            Self::TableExists { name } => (
                Code::ERRCODE_DUPLICATE_TABLE,
                format!("table \"{name}\" exists"),
            ),
            Self::NoWorker { why, .. } => (
                Code::ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("record_durable() needs the worker: {why}"),
            ),
            Self::NotTaken { why } => (
                Code::ERRCODE_INSUFFICIENT_RESOURCES,
                format!("the worker {why}; nothing was recorded"),
            ),
            Self::Unanswered => (
                Code::ERRCODE_T_R_STATEMENT_COMPLETION_UNKNOWN,
                "the worker did not say in time whether the event is recorded".into(),
            ),
            Self::NotWritten { code } => (
                *code,
                format!(
                    "the worker could not record the event: SQLSTATE {}",
                    sqlstate(*code)
                ),
            ),
            Self::TooLargeForQueue { bytes, limit } => (
                Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                format!("the event has {bytes} bytes, the queue of the worker takes {limit}"),
            ),
            Self::Internal { place } => (
                Code::ERRCODE_INTERNAL_ERROR,
                format!("unexpected state in {place}"),
            ),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::SchemaMismatch {
                action,
                version,
                problems,
            } => Some(
                serde_json::json!({"action": action, "version": version, "problems": problems})
                    .to_string(),
            ),
            Self::Batch { problems, .. } => Some(batch_detail(problems)),
            Self::UndefinedColumn { argument, position } => {
                Some(serde_json::json!({"argument": argument, "position": position}).to_string())
            }
            Self::BehindRetention { reached, goes_on } => Some(
                serde_json::json!({"read_until": clock::text(*reached), "goes_on_at": clock::text(*goes_on)})
                    .to_string(),
            ),
            Self::NotConfirmed { detail } => Some(detail.to_string()),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotSetUp => "Run SELECT activity.setup();",
            Self::NoPartition => "Run SELECT activity.setup(); it makes partitions ahead.",
            Self::NameTaken { .. } => {
                "It was detached or made by hand: attach it again, or rename it."
            }
            Self::NoTenant => {
                "Give tenant_id, or set the context in the same transaction: a local context \
                 lasts one transaction."
            }
            Self::NoRowTenant => {
                "The table was attached with on_missing_tenant => 'error'. Give the row a tenant \
                 that activity.tenants knows, or set the context."
            }
            Self::NotItsEventTrigger => "activity.setup() makes the event triggers.",
            Self::NotItsTrigger => "activity.setup() and activity.attach() make the triggers.",
            Self::OrphanTrigger => {
                "activity.coverage() lists it; activity.attach() captures the table anew, DROP \
                 TRIGGER ends it."
            }
            Self::Invalid { hint, .. } => (*hint)?,
            Self::TooLarge { setting, .. } => {
                return setting.map(|s| format!("The setting {s} holds the limit."));
            }
            Self::UnknownAction { .. } => {
                "Register it with activity.register_action(), or install a taxonomy: \
                 SELECT activity.install_taxonomy('saas');"
            }
            Self::RetiredAction { .. } => "Registering the action again brings it back.",
            Self::SchemaMismatch { .. } => {
                "activity.check_event(action, metadata) lists the problems without recording."
            }
            Self::InTransactionBlock => {
                "It commits between its steps: call it by itself, as in psql -c 'CALL activity.maintain()'."
            }
            Self::NotConfirmed { .. } => {
                "The detail says what would be removed at once. confirm => true makes the change."
            }
            Self::Unknown { hint, .. }
            | Self::Denied { hint, .. }
            | Self::NotAvailable { hint, .. } => hint,
            Self::AppendOnly { .. } => "Events leave the log only through retention and erasure.",
            Self::Batch { .. } => {
                "Nothing was written. on_error => 'skip' records the good events and lists the bad ones."
            }
            Self::WrongKind { .. } => {
                "Ordinary and partitioned tables outside the catalog and the log can be captured."
            }
            Self::UndefinedColumn { .. } => {
                "Column names are written as they are stored, without quotes."
            }
            Self::Exists { hint, .. } => hint,
            Self::BadExpression { .. } => {
                "An expression reads the rows OLD and NEW, calls only functions of superusers and \
                 of the table's owner, and gives the same for the same rows."
            }
            Self::NotJsonb => "jsonb_build_object() and to_jsonb() make it.",
            Self::NoKey => "activity.list(object_type => ...) gives the changes of all its rows.",
            Self::KeyFile { .. } => {
                "The file must be readable by the server, lie outside the data directory and hold \
                 32 bytes as 64 hexadecimal digits."
            }
            Self::LostPlace { .. } => {
                "activity.stream_start(at => ...) gives a cursor that goes on at a time: \
                 what was read since then comes again."
            }
            Self::BehindRetention { goes_on, .. } => {
                return Some(format!(
                    "activity.stream_start(at => '{}') gives a cursor that goes on with what is left.",
                    clock::text(*goes_on)
                ));
            }
            Self::NoStreamIndex { .. } => {
                "Make the indexes of activity.events again on this partition: detach and attach it."
            }
            Self::ConsumerExists { .. } => {
                "Take another name, or drop that one with activity.drop_consumer()."
            }
            Self::ConsumerHeld { .. } => {
                "It is free when that session ends, or runs DISCARD ALL or pg_advisory_unlock_all()."
            }
            Self::ArchiveDamaged { .. } => {
                "Nothing of it was taken over. Fetch the two files from a backup of the folder."
            }
            Self::ArchiveOfAnotherLog => "other_log => true restores it all the same.",
            Self::Held { .. } => {
                "Nothing was erased. activity.release_hold(id, reason) ends a hold."
            }
            Self::IsolationLevel => "BEGIN ISOLATION LEVEL READ COMMITTED;",
            Self::TableExists { .. } => "Give another table_name.",
            Self::Missing { .. } | Self::ArchiveFile { .. } | Self::Internal { .. } => {
                return None;
            }
            Self::NoWorker { hint, .. } => hint,
            Self::NotTaken { .. } => {
                "Try again. SELECT * FROM activity.status(); says how the worker fares."
            }
            Self::Unanswered => {
                "Call again with the same idempotency_key: the event is then recorded once."
            }
            Self::NotWritten { .. } => "The server's log has the worker's error.",
            Self::TooLargeForQueue { .. } => "Record less metadata, or use record().",
        };
        (!hint.is_empty()).then(|| hint.to_owned())
    }

    /// The error as a JSON object: the column `error` of `record_many()`.
    pub fn to_json(&self) -> serde_json::Value {
        let report = self.report();
        let mut object = serde_json::Map::new();
        object.insert("sqlstate".into(), sqlstate(report.code).into());
        object.insert("message".into(), report.message.into());
        if let Self::SchemaMismatch { problems, .. } = self {
            object.insert("problems".into(), serde_json::json!(problems));
        }
        if let Some(hint) = report.hint {
            object.insert("hint".into(), hint.into());
        }
        serde_json::Value::Object(object)
    }
}

/// The detail of a refused batch: the first hundred problems, each with its ordinal.
fn batch_detail(problems: &[(usize, Error)]) -> String {
    const LISTED: usize = 100;
    let listed: Vec<_> = problems
        .iter()
        .take(LISTED)
        .map(|(ordinal, error)| serde_json::json!({"ordinal": ordinal, "error": error.to_json()}))
        .collect();
    serde_json::Value::Array(listed).to_string()
}

/// The five characters of a SQLSTATE, unpacked from the server's six-bits-a-character form.
pub fn sqlstate(code: PgSqlErrorCode) -> String {
    let packed = code as u32;
    (0..5)
        .map(|i| char::from((((packed >> (6 * i)) & 0x3F) as u8).wrapping_add(b'0')))
        .collect()
}

impl From<Error> for ErrorReport {
    fn from(error: Error) -> Self {
        let report = error.report();
        let mut raised = ErrorReport::new(report.code, report.message, "activity_log");
        if let Some(detail) = report.detail {
            raised = raised.set_detail(detail);
        }
        if let Some(hint) = report.hint {
            raised = raised.set_hint(hint);
        }
        raised
    }
}

/// Raises the error. Only for places that can't return it, such as a trigger function.
pub fn raise(error: Error) -> ! {
    ErrorReport::from(error).report(PgLogLevel::ERROR);
    // `report(ERROR)` unwinds into the server's error handling and does not come back.
    unreachable!()
}

/// Sends the error as a warning: the statement goes on, and the event is recorded all the same.
pub fn warn(error: &Error) {
    ErrorReport::from(error.clone()).report(PgLogLevel::WARNING);
}

/// Sends the error as a warning: the statement goes on, but without the event.
pub fn warn_of_loss(error: &Error) {
    let report = error.report();
    let message = format!("event lost: {}", report.message);
    let mut warning =
        ErrorReport::new(report.code, message, "activity_log").set_hint(ON_ERROR_HINT);
    if let Some(detail) = report.detail {
        warning = warning.set_detail(detail);
    }
    warning.report(PgLogLevel::WARNING);
}

/// Sends a warning about an event that the server itself refused. Its message may quote data.
pub fn warn_of_refusal(code: PgSqlErrorCode) {
    let message = format!("event lost: the server raised SQLSTATE {}", sqlstate(code));
    warning(code, message, ON_ERROR_HINT);
}

const ON_ERROR_HINT: &str = "activity.on_error is warn, so the statement goes on.";

/// Sends a warning that has no error behind it.
pub fn warning(code: PgSqlErrorCode, message: String, hint: &str) {
    ErrorReport::new(code, message, "activity_log")
        .set_hint(hint)
        .report(PgLogLevel::WARNING);
}

/// Tells the client something that is no mistake.
pub fn notice(message: String, hint: &str) {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
        message,
        "activity_log",
    )
    .set_hint(hint)
    .report(PgLogLevel::NOTICE);
}

/// Writes a line into the server's log, never to the client.
///
/// The server would add the statement to it, which may hold a payload.
pub fn log(message: String) {
    // SAFETY: the variable is the process's own; a line in the log raises nothing that could
    // leave it unrestored.
    let statement = unsafe {
        let statement = pg_sys::debug_query_string;
        pg_sys::debug_query_string = std::ptr::null();
        statement
    };
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
        message,
        "activity_log",
    )
    .report(PgLogLevel::LOG_SERVER_ONLY);
    // SAFETY: as above.
    unsafe { pg_sys::debug_query_string = statement };
}

/// Keeps Rust's stack out of the DETAIL that a client would get if the server was started with
/// `RUST_BACKTRACE` set.
pub fn hide_backtraces() {
    // SAFETY: called from `_PG_init`, where a Postgres process has exactly one thread.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
}
