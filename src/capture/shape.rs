//! Names and columns of a captured table: followed through DDL and restore.

use super::attachment::{Attachment, columns_to_json, names_parameter};
use super::condition::Place;
use super::rules;
use super::target::{columns, oid_parameter};
use crate::db::{self, Failure, Mode};
use crate::error::{self, Error};
use crate::record;
use activity_log_core::capture::columns::{Change, Column};
use pgrx::{Uuid, pg_sys};

/// Compares a table with what is remembered of it. What differs is remembered anew, and is an
/// event; so are columns whose values were converted, though their type may be the same.
pub(super) fn follow(
    attachment: &Attachment,
    relation: pg_sys::Oid,
    place: Place,
    converted: &[String],
) -> Result<(), Error> {
    let (schema, table, is_hint_right) = names(attachment.id, relation)?;
    let now = columns(relation)?;
    let before = match place {
        Place::Home => attachment.columns.clone(),
        Place::Copy => renumbered(&attachment.columns, &now),
    };
    let mut change = Change::between(&before, &now);
    change.convert(&now, converted);
    let is_moved = schema != attachment.schema || table != attachment.table;
    let is_same = change.is_empty() && now.len() == attachment.columns.len();
    if is_same && !is_moved && is_hint_right && place == Place::Home {
        if has_other_owner(attachment.id, relation)? {
            check_rules(attachment.id, relation)?;
        }
        return Ok(());
    }
    remember(attachment, relation, (&schema, &table), &now, &change)?;
    let problems = if change.is_empty() {
        Vec::new()
    } else {
        check_rules(attachment.id, relation)?
    };
    if change.is_empty() && !is_moved {
        return Ok(());
    }
    record::write_system_event(
        "activity.capture.schema_changed",
        &serde_json::json!({
            "capture_id": attachment.id.to_string(),
            "object_type": attachment.object_type,
            "schema": schema,
            "table": table,
            "schema_before": is_moved.then_some(&attachment.schema),
            "table_before": is_moved.then_some(&attachment.table),
            "added": change.added,
            "dropped": change.dropped,
            "renamed": change.renamed.iter().map(|(old, new)| serde_json::json!({"from": old, "to": new})).collect::<Vec<_>>(),
            "retyped": change.retyped.iter().map(|(column, old, new)| serde_json::json!({"column": column, "from": old, "to": new})).collect::<Vec<_>>(),
            "rules_that_no_longer_fit": problems,
        }),
    )
}

/// Whether the table has got another owner than its rules know, or got theirs back.
fn has_other_owner(capture: Uuid, relation: pg_sys::Oid) -> Result<bool, Error> {
    let has_other = db::value::<bool>(
        Mode::Write,
        "SELECT EXISTS (SELECT FROM activity.capture_rules r, pg_catalog.pg_class k \
                        WHERE r.capture_id = $1 AND k.oid = $2 \
                          AND (r.owner_role <> pg_catalog.pg_get_userbyid(k.relowner)) <> (r.problem IS NOT NULL))",
        &[db::uuid(capture.as_bytes()), oid_parameter(relation)],
    )?;
    Ok(has_other == Some(true))
}

/// Schema and name of a table, and whether its OID is the remembered one.
fn names(capture: Uuid, relation: pg_sys::Oid) -> Result<(String, String, bool), Error> {
    db::query(
        Mode::Write,
        "SELECT n.nspname::text, k.relname::text, c.relation = k.oid \
         FROM pg_catalog.pg_class k JOIN pg_catalog.pg_namespace n ON n.oid = k.relnamespace, activity.captures c \
         WHERE k.oid = $1 AND c.capture_id = $2",
        &[oid_parameter(relation), db::uuid(capture.as_bytes())],
        |row| {
            Ok((
                row.must(1, "pg_class")?,
                row.must(2, "pg_class")?,
                row.must(3, "pg_class")?,
            ))
        },
    )?
    .pop()
    .ok_or(Error::Internal { place: "pg_class" })
}

/// The remembered columns with the numbers that columns of their names have in a restored table,
/// where the gaps of dropped columns are closed.
fn renumbered(before: &[Column], now: &[Column]) -> Vec<Column> {
    let beyond = now.iter().map(|column| column.number).max().unwrap_or(0);
    before
        .iter()
        .map(|old| {
            let same = now.iter().find(|column| column.name == old.name);
            Column {
                number: same.map_or(old.number.saturating_add(beyond), |c| c.number),
                ..old.clone()
            }
        })
        .collect()
}

fn remember(
    attachment: &Attachment,
    relation: pg_sys::Oid,
    (schema, table): (&str, &str),
    now: &[Column],
    change: &Change,
) -> Result<(), Error> {
    let [numbers, types] = columns_to_json(now)?;
    let follow = |column: &Option<String>| column.as_deref().and_then(|name| change.follow(name));
    db::run(
        "UPDATE activity.captures SET relation = $2, schema_name = $3, table_name = $4, tenant_column = $5, \
             actor_column = $6, excluded = $7, redacted = $8, ignored = $9, columns = $10, column_types = $11 \
         WHERE capture_id = $1",
        &[
            db::uuid(attachment.id.as_bytes()),
            oid_parameter(relation),
            db::text(Some(schema)),
            db::text(Some(table)),
            db::text(follow(&attachment.tenant_column).as_deref()),
            db::text(follow(&attachment.actor_column).as_deref()),
            names_parameter(&change.follow_all(&attachment.excluded)),
            names_parameter(&change.follow_all(&attachment.redacted)),
            names_parameter(&change.follow_all(&attachment.ignored)),
            numbers,
            types,
        ],
    )
    .map(|_| ())
}

/// Tries the rules of a table whose columns have changed; the ids of those that no longer fit.
fn check_rules(capture: Uuid, relation: pg_sys::Oid) -> Result<Vec<String>, Error> {
    let mut misfits = Vec::new();
    for rule in rules::Rule::of(capture.as_bytes())? {
        let checked = db::in_subtransaction(|| rules::check(&rule, relation));
        let problem = match &checked {
            Ok(()) => None,
            Err(Failure::Refused(error)) => Some(error::sqlstate(error.report().code)),
            Err(Failure::Raised { code }) => Some(error::sqlstate(*code)),
        };
        db::run(
            "UPDATE activity.capture_rules SET problem = $2 WHERE rule_id = $1 AND problem IS DISTINCT FROM $2",
            &[db::uuid(rule.id.as_bytes()), db::text(problem.as_deref())],
        )?;
        if problem.is_some() {
            misfits.push(rule.id.to_string());
        }
    }
    Ok(misfits)
}
