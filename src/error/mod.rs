//! Every error a client can get, with its SQLSTATE, detail and hint: docs/errors.md is this table.
//!
//! No variant carries metadata, a secret or an address. Names of actions, arguments, settings and
//! relations are the only caller's words that a message repeats, and only where their grammar has
//! been checked.

mod advice;
mod headline;
mod raising;

use activity_log_core::registry::schema::Problem;
use pgrx::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;
use std::borrow::Cow;

pub use raising::{
    hide_backtraces, log, notice, raise, warn, warn_of_loss, warn_of_refusal, warning,
};

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
