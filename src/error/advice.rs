//! What follows the first line of an error: the detail for programs, the hint for people.

use super::Error;
use crate::clock;

impl Error {
    pub(super) fn detail(&self) -> Option<String> {
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

    pub(super) fn hint(&self) -> Option<String> {
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
