//! `attach()` and `detach()`: whether a table's changes are captured, and how.

use super::attachment::{Attachment, columns_to_json, names_parameter};
use super::lives::key_columns;
use super::partitions;
use super::target::{Target, oid_parameter};
use super::triggers;
use crate::access::Roles;
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::record;
use crate::registry;
use crate::value::{Regclass, given};
use activity_log_core::capture::naming::{self, PrefixProblem};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

/// The column that holds the tenant where none is named and the table has it.
const TENANT_COLUMN: &str = "tenant_id";

/// How a table is to be captured, checked against the table.
struct Plan {
    tenant_column: Option<String>,
    tenant_id: Option<Uuid>,
    actor_column: Option<String>,
    object_type: String,
    action_prefix: String,
    excluded: Vec<String>,
    redacted: Vec<String>,
    ignored: Vec<String>,
    level: &'static str,
    scrub: bool,
    on_missing_tenant: &'static str,
    replicated: bool,
}

/// Captures the changes of a table from now on; the capture's id.
#[expect(clippy::too_many_arguments, reason = "named notation is the contract")]
#[pg_extern(volatile, parallel_unsafe)]
fn attach(
    target: default!(Option<Regclass>, "NULL"),
    tenant_column: default!(Option<&str>, "NULL"),
    tenant_id: default!(Option<Uuid>, "NULL"),
    action_prefix: default!(Option<&str>, "NULL"),
    exclude: default!(Option<Vec<Option<String>>>, "NULL"),
    redact: default!(Option<Vec<Option<String>>>, "NULL"),
    ignore: default!(Option<Vec<Option<String>>>, "NULL"),
    actor_column: default!(Option<&str>, "NULL"),
    level: default!(Option<&str>, "NULL"),
    scrub: default!(Option<bool>, "NULL"),
    on_missing_tenant: default!(Option<&str>, "NULL"),
    replicated: default!(Option<bool>, "NULL"),
) -> Result<Uuid, ErrorReport> {
    db::oid(Relation::Captures)?;
    let target = Target::locked(target)?;
    target.must_be_owned()?;
    refuse_captured(&target)?;
    let object_type = free_object_type(&target)?;
    let plan = Plan {
        tenant_column: column(&target, "tenant_column", tenant_column)?
            .or_else(|| default_tenant_column(&target)),
        tenant_id,
        actor_column: column(&target, "actor_column", actor_column)?,
        action_prefix: checked_prefix(action_prefix, &object_type)?,
        object_type,
        excluded: columns(&target, "exclude", exclude)?,
        redacted: columns(&target, "redact", redact)?,
        ignored: columns(&target, "ignore", ignore)?,
        level: one_of("level", level, &["auto", "row", "statement"])?,
        scrub: scrub.unwrap_or(true),
        on_missing_tenant: one_of("on_missing_tenant", on_missing_tenant, &["system", "error"])?,
        replicated: replicated.unwrap_or(true),
    };
    refuse_hidden_key(&target, &plan)?;
    refuse_unsafe_level(&target, plan.level)?;
    Ok(carry_out(&target, &plan)?)
}

/// Writes the capture, makes its triggers and registers its actions; all in one transaction.
fn carry_out(target: &Target, plan: &Plan) -> Result<Uuid, Error> {
    let id = insert(target, plan)?;
    let attachment = Attachment::must_be_of(target)?;
    let level = attachment.wanted_level(target.oid)?;
    triggers::ensure(id, target.oid, &level, plan.replicated)?;
    registry::register_missing(
        &naming::actions(&plan.action_prefix),
        "capture",
        &plan.object_type,
    )?;
    record::write_system_event(
        "activity.capture.attached",
        &serde_json::json!({
            "capture_id": id.to_string(),
            "object_type": plan.object_type,
            "schema": target.schema,
            "table": target.name,
            "level": level,
            "excluded": plan.excluded,
            "redacted": plan.redacted,
            "ignored": plan.ignored,
            "scrub": plan.scrub,
            "replicated": plan.replicated,
        }),
    )?;
    Ok(id)
}

fn insert(target: &Target, plan: &Plan) -> Result<Uuid, Error> {
    let [numbers, types] = columns_to_json(&target.columns)?;
    let boolean = |value: bool| (pg_sys::BOOLOID, Some(pg_sys::Datum::from(value)));
    let id = db::value::<Uuid>(
        Mode::Write,
        "INSERT INTO activity.captures (capture_id, relation, schema_name, table_name, object_type, action_prefix, \
             tenant_column, tenant_id, actor_column, excluded, redacted, ignored, columns, column_types, level, scrub, \
             on_missing_tenant, replicated, attached_by, partitions) \
         VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) \
         RETURNING capture_id",
        &[
            oid_parameter(target.oid),
            db::text(Some(&target.schema)),
            db::text(Some(&target.name)),
            db::text(Some(&plan.object_type)),
            db::text(Some(&plan.action_prefix)),
            db::text(plan.tenant_column.as_deref()),
            plan.tenant_id
                .map_or((pg_sys::UUIDOID, None), |id| db::uuid(id.as_bytes())),
            db::text(plan.actor_column.as_deref()),
            names_parameter(&plan.excluded),
            names_parameter(&plan.redacted),
            names_parameter(&plan.ignored),
            numbers,
            types,
            db::text(Some(plan.level)),
            boolean(plan.scrub),
            db::text(Some(plan.on_missing_tenant)),
            boolean(plan.replicated),
            db::text(Some(&db::role_name(Roles::current().session))),
            partitions::parameter(&partitions::of(target.oid)?)?,
        ],
    )?;
    id.ok_or(Error::Internal { place: "captures" })
}

/// Refuses a table whose changes are captured already, by itself or as a part of another one.
fn refuse_captured(target: &Target) -> Result<(), Error> {
    let captured = db::query(
        Mode::Write,
        "SELECT t.relation = $1 FROM activity._captured_tables() t \
         WHERE t.relation = $1 \
            OR t.relation IN (SELECT relid FROM pg_catalog.pg_partition_ancestors($1::regclass)) \
            OR t.relation IN (SELECT relid FROM pg_catalog.pg_partition_tree($1::regclass)) \
         ORDER BY 1 DESC LIMIT 1",
        &[oid_parameter(target.oid)],
        |row| row.must::<bool>(1, "captures"),
    )?;
    match captured.first() {
        None => Ok(()),
        Some(true) => Err(Error::Exists {
            what: "this table".into(),
            hint: "activity.detach() ends it; attach() again with other options.",
        }),
        Some(false) => Err(Error::Exists {
            what: "the partitioned table that it belongs to, or a partition of it,".into(),
            hint: "The whole is captured at once: detach the part first.",
        }),
    }
}

/// The name that events will call the table: see [`naming::object_type`].
fn free_object_type(target: &Target) -> Result<String, Error> {
    // One session at a time chooses a name; readers and the triggers go on.
    db::run(
        "LOCK TABLE activity.captures IN SHARE ROW EXCLUSIVE MODE",
        &[],
    )?;
    let taken = db::query(
        Mode::Write,
        "SELECT object_type FROM activity.captures",
        &[],
        |row| row.must::<String>(1, "captures"),
    )?;
    let is_taken = |name: &str| taken.iter().any(|taken| taken == name);
    Ok(naming::object_type(&target.schema, &target.name, is_taken))
}

/// The key names the row in the log, so it can't be kept out of it.
fn refuse_hidden_key(target: &Target, plan: &Plan) -> Result<(), Error> {
    let key = key_columns(target.oid)?;
    let hides = |names: &[String]| key.iter().any(|column| names.contains(&column.name));
    for (argument, names) in [("exclude", &plan.excluded), ("redact", &plan.redacted)] {
        if hides(names) {
            return Err(Error::Invalid {
                argument,
                problem: "it names a column of the key".into(),
                hint: Some("The key names the row in the log: its values are the object's id."),
            });
        }
    }
    Ok(())
}

fn checked_prefix(prefix: Option<&str>, object_type: &str) -> Result<String, Error> {
    let Some(prefix) = given(prefix) else {
        return Ok(naming::default_prefix(object_type));
    };
    naming::check_prefix(prefix).map_err(|problem| match problem {
        PrefixProblem::Reserved => {
            Error::invalid("action_prefix", "the namespace activity is the log's own")
        }
        PrefixProblem::Name(problem) => Error::Invalid {
            argument: "action_prefix",
            problem: problem.to_string().into(),
            hint: Some("The actions are ‹prefix›.created, updated, deleted and truncated."),
        },
    })?;
    Ok(prefix.to_owned())
}

fn default_tenant_column(target: &Target) -> Option<String> {
    let has_it = target.columns.iter().any(|c| c.name == TENANT_COLUMN);
    has_it.then(|| TENANT_COLUMN.to_owned())
}

fn column(
    target: &Target,
    argument: &'static str,
    name: Option<&str>,
) -> Result<Option<String>, Error> {
    let Some(name) = given(name) else {
        return Ok(None);
    };
    let name = [name.to_owned()];
    target.must_have(argument, &name)?;
    let [name] = name;
    Ok(Some(name))
}

fn columns(
    target: &Target,
    argument: &'static str,
    names: Option<Vec<Option<String>>>,
) -> Result<Vec<String>, Error> {
    let names: Vec<String> = names
        .unwrap_or_default()
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect();
    target.must_have(argument, &names)?;
    let mut distinct: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    Ok(distinct)
}

/// The word that was given, which must be one of these; the first if none was.
pub(super) fn one_of(
    argument: &'static str,
    word: Option<&str>,
    words: &[&'static str],
) -> Result<&'static str, Error> {
    let Some(word) = given(word) else {
        return Ok(words[0]);
    };
    let found = words.iter().find(|known| **known == word);
    found
        .copied()
        .ok_or_else(|| Error::invalid(argument, format!("it must be one of {}", words.join(", "))))
}

/// Statement level is refused where it would log changes before their cause, or miss some.
fn refuse_unsafe_level(target: &Target, level: &str) -> Result<(), Error> {
    if level != "statement" {
        return Ok(());
    }
    let reason = db::value::<String>(
        Mode::Write,
        "SELECT activity._row_level_reason($1)",
        &[oid_parameter(target.oid)],
    )?;
    match reason {
        None => Ok(()),
        Some(reason) => Err(Error::Invalid {
            argument: "level",
            problem: format!("the table needs level row: {reason}").into(),
            hint: Some("Give 'row', or leave it to 'auto'."),
        }),
    }
}

/// Ends the capture of a table; its id. What was captured stays in the log.
#[pg_extern(volatile, parallel_unsafe)]
fn detach(target: default!(Option<Regclass>, "NULL")) -> Result<Uuid, ErrorReport> {
    db::oid(Relation::Captures)?;
    let target = Target::locked(target)?;
    let attachment = Attachment::must_be_of(&target)?;
    triggers::remove(attachment.id)?;
    forget(&attachment, "detached")?;
    Ok(attachment.id)
}

/// Deletes a capture, whose triggers are gone, with its rules, and records that and why.
pub(super) fn forget(attachment: &Attachment, reason: &str) -> Result<(), Error> {
    for statement in [
        "DELETE FROM activity.capture_rules WHERE capture_id = $1",
        "DELETE FROM activity.captures WHERE capture_id = $1",
    ] {
        db::run(statement, &[db::uuid(attachment.id.as_bytes())])?;
    }
    record::write_system_event(
        "activity.capture.detached",
        &serde_json::json!({
            "capture_id": attachment.id.to_string(),
            "object_type": attachment.object_type,
            "schema": attachment.schema,
            "table": attachment.table,
            "reason": reason,
        }),
    )
}
