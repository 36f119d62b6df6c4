//! Whether an event's action and metadata are as they were registered.

use crate::db::{self, Mode, Relation};
use crate::error::{self, Error};
use crate::settings::{self, Registry};
use activity_log_core::registry::action::{check_action_name, is_reserved};
use activity_log_core::registry::schema::{Problem, Schema};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A registered action, ready to check metadata against.
pub(super) struct Action {
    version: i32,
    is_retired: bool,
    schema: Option<Schema>,
}

struct Kept {
    at: u64,
    actions: HashMap<Box<str>, Rc<Action>>,
}

thread_local! {
    /// The actions this backend has used, at a count of changes of the registry.
    static ACTIONS: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// Checks an event's action and metadata as `activity.registry` says; the version of the schema
/// it was checked against, if any.
pub fn check(name: &str, metadata: &[u8]) -> Result<Option<i32>, Error> {
    if is_reserved(name) {
        return check_reserved(name).map(|()| None);
    }
    let mode = settings::REGISTRY.get();
    if mode == Registry::Off {
        return check_name(name).map(|()| None);
    }
    match checked(name, metadata) {
        Ok(version) => Ok(Some(version)),
        Err((error, version))
            if mode == Registry::Warn && !matches!(error, Error::Invalid { .. }) =>
        {
            error::warn(&error);
            Ok(version)
        }
        Err((error, _)) => Err(error),
    }
}

/// Whether events of an action could be recorded at all as `activity.registry` stands, whatever
/// their metadata.
///
/// # Errors
/// What is wrong with the name, [`Error::UnknownAction`] or [`Error::RetiredAction`].
pub fn check_registered(name: &str) -> Result<(), Error> {
    check_name(name)?;
    if is_reserved(name) || settings::REGISTRY.get() != Registry::Enforce {
        return Ok(());
    }
    let action = name.to_owned();
    match find(name)? {
        None => Err(Error::UnknownAction { action }),
        Some(known) if known.is_retired => Err(Error::RetiredAction { action }),
        Some(_) => Ok(()),
    }
}

/// The log's own events need no registration, and only its administrators may write them.
fn check_reserved(name: &str) -> Result<(), Error> {
    check_name(name)?;
    if crate::access::is_admin() {
        return Ok(());
    }
    Err(Error::Denied {
        what: "actions of the namespace activity".into(),
        hint: "The log writes them about itself; activity_admin may as well.",
    })
}

pub(super) fn check_name(name: &str) -> Result<(), Error> {
    check_action_name(name).map_err(|problem| Error::Invalid {
        argument: "action",
        problem: problem.to_string().into(),
        hint: Some("An action is namespace.noun[.verb...] in lower snake case, as in invoice.payment.failed."),
    })
}

pub(super) fn checked(name: &str, metadata: &[u8]) -> Result<i32, (Error, Option<i32>)> {
    let action = find(name).map_err(|error| (error, None))?;
    let Some(action) = action else {
        check_name(name).map_err(|error| (error, None))?;
        return Err((
            Error::UnknownAction {
                action: name.to_owned(),
            },
            None,
        ));
    };
    let version = Some(action.version);
    if action.is_retired {
        return Err((
            Error::RetiredAction {
                action: name.to_owned(),
            },
            version,
        ));
    }
    match problems(&action, metadata) {
        None => Ok(action.version),
        Some(problems) => {
            let action_name = name.to_owned();
            let mismatch = Error::SchemaMismatch {
                action: action_name,
                version: action.version,
                problems,
            };
            Err((mismatch, version))
        }
    }
}

fn problems(action: &Action, metadata: &[u8]) -> Option<Vec<Problem>> {
    let schema = action.schema.as_ref()?;
    if schema.is_valid(metadata) {
        None
    } else {
        Some(schema.problems(metadata))
    }
}

/// The action by its name. What is kept is dropped as soon as any session changes the registry.
pub(super) fn find(name: &str) -> Result<Option<Rc<Action>>, Error> {
    db::oid(Relation::Actions)?;
    let at = db::changes(Relation::Actions);
    let kept = ACTIONS.with_borrow(|kept| {
        kept.as_ref()
            .filter(|kept| kept.at == at)?
            .actions
            .get(name)
            .map(Rc::clone)
    });
    if kept.is_some() {
        return Ok(kept);
    }
    let Some(action) = load(name)?.map(Rc::new) else {
        return Ok(None);
    };
    ACTIONS.with_borrow_mut(|kept| {
        let fresh = || Kept {
            at,
            actions: HashMap::new(),
        };
        let kept = kept.get_or_insert_with(fresh);
        if kept.at != at {
            *kept = fresh();
        }
        kept.actions.insert(name.into(), Rc::clone(&action));
    });
    Ok(Some(action))
}

fn load(name: &str) -> Result<Option<Action>, Error> {
    let row = db::query(
        Mode::ReadLatest,
        "SELECT a.version, a.retired_at IS NOT NULL, v.metadata_schema::text \
         FROM activity.actions a JOIN activity.action_versions v USING (action, version) \
         WHERE a.action = $1",
        &[db::text(Some(name))],
        |row| {
            Ok((
                row.must::<i32>(1, "actions")?,
                row.must::<bool>(2, "actions")?,
                row.get::<String>(3),
            ))
        },
    )?
    .pop();
    let Some((version, is_retired, schema)) = row else {
        return Ok(None);
    };
    let schema = schema.map(|text| compile(&text)).transpose()?;
    Ok(Some(Action {
        version,
        is_retired,
        schema,
    }))
}

fn compile(text: &str) -> Result<Schema, Error> {
    let schema = serde_json::from_str(text).map_err(|_| Error::Internal { place: "schema" })?;
    compile_value(&schema)
}

pub(super) fn compile_value(schema: &serde_json::Value) -> Result<Schema, Error> {
    Schema::compile(schema).map_err(|problem| Error::Invalid {
        argument: "metadata_schema",
        problem: problem.to_string().into(),
        hint: Some("It is a JSON Schema of draft 2020-12 without references to other documents."),
    })
}
