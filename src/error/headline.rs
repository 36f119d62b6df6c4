//! The first line of every error, with its SQLSTATE.

use super::{Error, sqlstate};
use pgrx::PgSqlErrorCode;

impl Error {
    pub(super) fn headline(&self) -> (PgSqlErrorCode, String) {
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
}
