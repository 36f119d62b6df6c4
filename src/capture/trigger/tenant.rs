//! Whose row it is.

#![allow(unsafe_code)]

use super::form::{Form, Kind};
use super::row::Row;
use super::table::{Table, TenantSource};
use super::value;
use crate::access::{self, Purpose};
use crate::context::Context;
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use activity_log_core::context::parse_uuid;
use pgrx::{Uuid, pg_sys};
use std::cell::RefCell;
use std::collections::HashMap;

/// The tenant that an event about a row belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tenant {
    Known([u8; 16]),
    /// Nobody can tell; the event goes to the system tenant, and says so.
    Missing,
}

impl Tenant {
    pub(super) fn id(self) -> [u8; 16] {
        match self {
            Self::Known(id) => id,
            Self::Missing => access::SYSTEM_TENANT,
        }
    }
}

/// More names than this are looked up again.
const MAX_KEPT_NAMES: usize = 10_000;

/// What tenants are called, at a count of changes of their table.
#[derive(Default)]
struct Names {
    at: u64,
    tenants: HashMap<String, Option<[u8; 16]>>,
}

thread_local! {
    static NAMES: RefCell<Names> = RefCell::default();
}

/// The tenant of the context, if the caller may write for it: a role that is pinned to one tenant
/// must not be able to write into another's log by way of a table.
pub(super) fn of_context(context: &Context) -> Result<Option<[u8; 16]>, Error> {
    match context.tenant_id {
        Some(tenant) if access::may_reach(&tenant, Purpose::Write)? => Ok(Some(tenant)),
        _ => Ok(None),
    }
}

/// The tenant of a table whose rows don't say whose they are.
pub(super) fn of_table(table: &Table) -> Result<Tenant, Error> {
    let found = match table.tenant {
        TenantSource::Fixed(tenant) => Some(tenant),
        _ => of_context(&crate::context::current())?,
    };
    known(table, found)
}

fn known(table: &Table, found: Option<[u8; 16]>) -> Result<Tenant, Error> {
    match found {
        Some(tenant) => Ok(Tenant::Known(tenant)),
        None if table.must_have_tenant => Err(Error::NoRowTenant),
        None => Ok(Tenant::Missing),
    }
}

/// The tenant of a row; `fallback` is the one of the context.
///
/// # Safety
/// The row is of the table.
pub(super) unsafe fn of_row(
    table: &Table,
    row: &Row<'_>,
    fallback: Option<[u8; 16]>,
) -> Result<Tenant, Error> {
    let found = match &table.tenant {
        TenantSource::Fixed(tenant) => Some(*tenant),
        TenantSource::Context => fallback,
        TenantSource::Column {
            index,
            form,
            otherwise,
        } => match row.get(*index) {
            // SAFETY: promised by the caller.
            Some(datum) => unsafe { of_value(form, datum) }?,
            None => *otherwise,
        },
    };
    known(table, found)
}

/// The tenant that a value names.
///
/// # Safety
/// `datum` is a value of the form's type.
unsafe fn of_value(form: &Form, datum: pg_sys::Datum) -> Result<Option<[u8; 16]>, Error> {
    // SAFETY: promised by the caller.
    unsafe {
        if matches!(form.kind, Kind::Uuid) {
            return Ok(Some(value::uuid(datum)));
        }
        of_name(&form.name(datum))
    }
}

/// The tenant whose `external_id` this is, or whose UUID it spells.
fn of_name(name: &str) -> Result<Option<[u8; 16]>, Error> {
    let at = db::changes(Relation::Tenants);
    let kept = NAMES.with_borrow(|names| {
        let is_current = names.at == at;
        is_current
            .then(|| names.tenants.get(name).copied())
            .flatten()
    });
    if let Some(tenant) = kept {
        return Ok(tenant);
    }
    db::oid(Relation::Tenants)?;
    let found = db::value::<Uuid>(
        Mode::ReadLatest,
        "SELECT tenant_id FROM activity.tenants WHERE external_id = $1",
        &[db::text(Some(name))],
    )?;
    let tenant = found.map(|id| *id.as_bytes()).or_else(|| parse_uuid(name));
    NAMES.with_borrow_mut(|names| {
        if names.at != at || names.tenants.len() >= MAX_KEPT_NAMES {
            names.tenants.clear();
            names.at = at;
        }
        names.tenants.insert(name.to_owned(), tenant);
    });
    Ok(tenant)
}
