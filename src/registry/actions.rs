//! Registration of actions, and what is made of their schemas.

use super::check::{check_name, checked, compile_value, find};
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::record;
use crate::value::{self, JsonbArg, given};
use activity_log_core::jsonb::Value;
use activity_log_core::registry::action::is_reserved;
use activity_log_core::registry::wrapper::wrapper_sql;
use activity_log_core::taxonomy;
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{IntoDatum, pg_sys};

/// What is to be registered.
struct Registration {
    action: String,
    description: Option<String>,
    metadata_schema: Option<serde_json::Value>,
    severity: Option<String>,
    category: Option<String>,
    object_type: Option<String>,
    controls: Option<Vec<String>>,
    keep: Option<Interval>,
}

/// Registers an action, or changes it; a changed schema is a new version. Returns the version.
#[expect(clippy::too_many_arguments, reason = "named notation is the contract")]
#[pg_extern(volatile, parallel_unsafe)]
fn register_action(
    action: default!(Option<&str>, "NULL"),
    description: default!(Option<String>, "NULL"),
    metadata_schema: default!(Option<JsonbArg<'_>>, "NULL"),
    severity: default!(Option<String>, "NULL"),
    category: default!(Option<String>, "NULL"),
    object_type: default!(Option<String>, "NULL"),
    controls: default!(Option<Vec<Option<String>>>, "NULL"),
    keep: default!(Option<Interval>, "NULL"),
) -> Result<i32, ErrorReport> {
    let action = given(action).ok_or(Error::Missing { argument: "action" })?;
    let registration = Registration {
        action: action.to_owned(),
        description: some(description),
        metadata_schema: metadata_schema.map(schema_value).transpose()?.flatten(),
        severity: some(severity),
        category: some(category),
        object_type: some(object_type),
        controls: controls.map(|controls| controls.into_iter().flatten().collect()),
        keep,
    };
    let versions = register(&[registration])?;
    Ok(versions.first().map_or(0, |(_, version)| *version))
}

/// An empty text means not given.
fn some(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A schema argument as a JSON value; JSON null means not given.
fn schema_value(argument: JsonbArg<'_>) -> Result<Option<serde_json::Value>, Error> {
    let document = argument.document("metadata_schema")?;
    let text = match document.root() {
        Value::Null => return Ok(None),
        // Some drivers send a document as a JSON string.
        Value::String(text) => text.to_owned(),
        root => activity_log_core::jsonb::to_json(root),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|_| Error::invalid("metadata_schema", "it can't be read: its numbers or its depth are beyond every use, or it is a JSON string that holds no JSON"))
}

/// Registers several actions: an array of objects with `register_action()`'s argument names.
#[pg_extern(volatile, parallel_unsafe)]
fn register_actions(
    actions: default!(Option<JsonbArg<'_>>, "NULL"),
) -> Result<TableIterator<'static, (name!(action, String), name!(version, i32))>, ErrorReport> {
    let argument = actions.ok_or(Error::Missing {
        argument: "actions",
    })?;
    let value = schema_value(argument)?.ok_or(Error::Missing {
        argument: "actions",
    })?;
    let serde_json::Value::Array(entries) = value else {
        return Err(Error::invalid("actions", "it must be a JSON array of objects").into());
    };
    let registrations = entries
        .iter()
        .map(registration)
        .collect::<Result<Vec<Registration>, Error>>()?;
    Ok(TableIterator::new(register(&registrations)?))
}

fn registration(entry: &serde_json::Value) -> Result<Registration, Error> {
    let serde_json::Value::Object(object) = entry else {
        return Err(Error::invalid(
            "actions",
            "it must be a JSON array of objects",
        ));
    };
    const KEYS: [&str; 8] = [
        "action",
        "description",
        "metadata_schema",
        "severity",
        "category",
        "object_type",
        "controls",
        "keep",
    ];
    if object.keys().any(|key| !KEYS.contains(&key.as_str())) {
        return Err(Error::Invalid {
            argument: "actions",
            problem: "an object has a key that is no argument of register_action()".into(),
            hint: Some(
                "The keys are action, description, metadata_schema, severity, category, object_type, controls and keep.",
            ),
        });
    }
    let text = |key: &'static str| match object.get(key) {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(text)) => Ok(given(Some(text)).map(str::to_owned)),
        Some(_) => Err(Error::invalid(key, "it must be a JSON string")),
    };
    Ok(Registration {
        action: text("action")?.ok_or(Error::Missing { argument: "action" })?,
        description: text("description")?,
        metadata_schema: object
            .get("metadata_schema")
            .filter(|schema| !schema.is_null())
            .cloned(),
        severity: text("severity")?,
        category: text("category")?,
        object_type: text("object_type")?,
        controls: object
            .get("controls")
            .filter(|c| !c.is_null())
            .map(text_array)
            .transpose()?,
        keep: text("keep")?
            .map(|keep| value::parse_interval(&keep))
            .transpose()?,
    })
}

fn text_array(value: &serde_json::Value) -> Result<Vec<String>, Error> {
    serde_json::from_value(value.clone())
        .map_err(|_| Error::invalid("controls", "it must be a JSON array of strings"))
}

/// Registers all or none, and records the change in the log.
fn register(registrations: &[Registration]) -> Result<Vec<(String, i32)>, Error> {
    db::oid(Relation::Actions)?;
    for registration in registrations {
        check_registration(registration)?;
    }
    lock()?;
    let mut versions = Vec::with_capacity(registrations.len());
    let mut changed = Vec::new();
    for registration in registrations {
        let (version, is_changed) = upsert(registration)?;
        versions.push((registration.action.clone(), version));
        if is_changed {
            changed.push(serde_json::json!({"action": registration.action, "version": version}));
        }
    }
    if !changed.is_empty() {
        record_change("activity.registry.changed", changed)?;
    }
    Ok(versions)
}

/// Registers those of the actions that are not, for changes of the objects of a captured table.
pub fn register_missing(
    actions: &[String],
    category: &str,
    object_type: &str,
) -> Result<(), Error> {
    lock()?;
    let known = known_actions()?;
    let registrations: Vec<Registration> = actions
        .iter()
        .filter(|action| !known.contains(action))
        .map(|action| Registration {
            action: action.clone(),
            description: None,
            metadata_schema: None,
            severity: None,
            category: Some(category.to_owned()),
            object_type: Some(object_type.to_owned()),
            controls: None,
            keep: None,
        })
        .collect();
    register(&registrations).map(|_| ())
}

fn known_actions() -> Result<Vec<String>, Error> {
    db::query(
        Mode::ReadLatest,
        "SELECT action FROM activity.actions",
        &[],
        |row| row.must::<String>(1, "actions"),
    )
}

/// One session at a time changes the registry; readers and writers of events go on.
fn lock() -> Result<(), Error> {
    db::run(
        "LOCK TABLE activity.actions IN SHARE ROW EXCLUSIVE MODE",
        &[],
    )
    .map(|_| ())
}

/// The event names the first hundred actions and the number of all: it has to fit its limit.
fn record_change(action: &str, changed: Vec<serde_json::Value>) -> Result<(), Error> {
    const LISTED: usize = 100;
    let count = changed.len();
    let listed: Vec<_> = changed.into_iter().take(LISTED).collect();
    record::write_system_event(
        action,
        &serde_json::json!({"count": count, "actions": listed}),
    )
}

fn check_registration(registration: &Registration) -> Result<(), Error> {
    check_name(&registration.action)?;
    if is_reserved(&registration.action) {
        return Err(Error::invalid(
            "action",
            "the namespace activity is the log's own",
        ));
    }
    if let Some(severity) = &registration.severity
        && !taxonomy::SEVERITIES.contains(&severity.as_str())
    {
        return Err(Error::invalid(
            "severity",
            format!("it must be one of {}", taxonomy::SEVERITIES.join(", ")),
        ));
    }
    if let Some(keep) = registration.keep
        && !is_positive(&keep)
    {
        return Err(Error::invalid("keep", "it must be longer than nothing"));
    }
    registration
        .metadata_schema
        .as_ref()
        .map_or(Ok(()), |schema| compile_value(schema).map(|_| ()))
}

/// Whether an interval has no negative part and is not zero.
fn is_positive(interval: &Interval) -> bool {
    let parts = [
        i64::from(interval.months()),
        i64::from(interval.days()),
        interval.micros(),
    ];
    parts.iter().all(|part| *part >= 0) && parts.iter().any(|part| *part > 0)
}

/// Writes one registration; its version, and whether anything changed.
fn upsert(registration: &Registration) -> Result<(i32, bool), Error> {
    let schema = registration
        .metadata_schema
        .as_ref()
        .map(value::container)
        .transpose()?;
    let text = |value: &Option<String>| db::text(given(value.as_deref()));
    let parameters = [
        db::text(Some(&registration.action)),
        text(&registration.description),
        schema
            .as_deref()
            .map_or((pg_sys::JSONBOID, None), db::jsonb),
        text(&registration.severity),
        text(&registration.category),
        text(&registration.object_type),
        (
            pg_sys::TEXTARRAYOID,
            registration
                .controls
                .clone()
                .and_then(IntoDatum::into_datum),
        ),
        (
            pg_sys::INTERVALOID,
            registration.keep.and_then(IntoDatum::into_datum),
        ),
        db::text(Some(&db::role_name(
            crate::access::Roles::current().session,
        ))),
    ];
    let rows = db::query(Mode::Write, UPSERT, &parameters, |row| {
        Ok((
            row.must::<i32>(1, "actions")?,
            row.must::<bool>(2, "actions")?,
        ))
    })?;
    rows.first()
        .copied()
        .ok_or(Error::Internal { place: "actions" })
}

const UPSERT: &str = include_str!("../../sql/query/register_action.sql");

/// Forbids further events of an action; whether it was in use until now.
#[pg_extern(volatile, parallel_unsafe)]
fn retire_action(action: default!(Option<&str>, "NULL")) -> Result<bool, ErrorReport> {
    let action = given(action).ok_or(Error::Missing { argument: "action" })?;
    check_name(action)?;
    if find(action)?.is_none() {
        return Err(Error::UnknownAction {
            action: action.to_owned(),
        }
        .into());
    }
    let retired = db::run(
        "UPDATE activity.actions SET retired_at = now() WHERE action = $1 AND retired_at IS NULL",
        &[db::text(Some(action))],
    )? > 0;
    if retired {
        record_change(
            "activity.registry.retired",
            vec![serde_json::json!({"action": action})],
        )?;
    }
    Ok(retired)
}

/// Registers the actions of a taxonomy that comes with the extension; how many were new.
///
/// An action that is registered already stays as it is: its schema may be the adopter's own.
#[pg_extern(volatile, parallel_unsafe)]
fn install_taxonomy(name: default!(Option<&str>, "'saas'")) -> Result<i32, ErrorReport> {
    db::oid(Relation::Actions)?;
    let name = given(name).unwrap_or("saas");
    let taxonomy = taxonomy::load(name).ok_or_else(|| {
        Error::invalid(
            "name",
            format!("the taxonomies are {}", taxonomy::names().join(" and ")),
        )
    })?;
    lock()?;
    let known = known_actions()?;
    let registrations: Vec<Registration> = taxonomy
        .actions
        .into_iter()
        .filter(|action| !known.contains(&action.action))
        .map(Registration::from)
        .collect();
    Ok(i32::try_from(register(&registrations)?.len()).unwrap_or(i32::MAX))
}

impl From<taxonomy::Action> for Registration {
    fn from(action: taxonomy::Action) -> Self {
        Self {
            action: action.action,
            description: Some(action.description),
            metadata_schema: Some(action.metadata_schema),
            severity: Some(action.severity),
            category: Some(action.category),
            object_type: action.object_type,
            controls: Some(action.controls),
            keep: None,
        }
    }
}

/// What would be wrong with an event, without recording it: no rows if nothing is.
#[pg_extern(stable, parallel_unsafe)]
fn check_event(
    action: default!(Option<&str>, "NULL"),
    metadata: default!(Option<JsonbArg<'_>>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(pointer, String),
            name!(keyword, String),
            name!(message, String),
        ),
    >,
    ErrorReport,
> {
    let name = given(action).ok_or(Error::Missing { argument: "action" })?;
    db::accept_changes();
    let metadata = record::metadata_object(metadata)?;
    let rows = match checked(name, &metadata) {
        Ok(_) => Vec::new(),
        Err((Error::SchemaMismatch { problems, .. }, _)) => problems
            .into_iter()
            .map(|p| (p.pointer, p.keyword, p.message))
            .collect(),
        Err((
            error @ (Error::UnknownAction { .. }
            | Error::RetiredAction { .. }
            | Error::Invalid { .. }),
            _,
        )) => vec![(String::new(), "action".to_owned(), error.report().message)],
        Err((error, _)) => return Err(error.into()),
    };
    Ok(TableIterator::new(rows))
}

/// A typed SQL wrapper for an action, generated from its schema: the text of a CREATE FUNCTION.
#[pg_extern(stable, parallel_unsafe)]
fn helper_sql(action: default!(Option<&str>, "NULL")) -> Result<String, ErrorReport> {
    let name = given(action).ok_or(Error::Missing { argument: "action" })?;
    check_name(name)?;
    db::oid(Relation::Actions)?;
    let row = db::query(
        Mode::Read,
        "SELECT a.description, v.metadata_schema::text FROM activity.actions a \
         JOIN activity.action_versions v USING (action, version) WHERE a.action = $1",
        &[db::text(Some(name))],
        |row| Ok((row.get::<String>(1), row.get::<String>(2))),
    )?
    .pop();
    let (description, schema) = row.ok_or_else(|| Error::UnknownAction {
        action: name.to_owned(),
    })?;
    let schema = match schema {
        Some(text) => {
            serde_json::from_str(&text).map_err(|_| Error::Internal { place: "schema" })?
        }
        None => serde_json::json!({}),
    };
    Ok(wrapper_sql(name, description.as_deref(), &schema)
        .map_err(|problem| Error::invalid("action", problem.to_string()))?)
}
