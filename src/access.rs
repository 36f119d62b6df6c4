//! Who may read and write for which tenant.
//!
//! Rights come from three places: EXECUTE on a function (granted per role at installation),
//! membership in the four roles, and the pins of `activity.role_tenants`.

#![allow(unsafe_code)]

use crate::context;
use crate::db::{self, Mode, Relation};
use crate::error::{self, Error};
use crate::record::durable;
use crate::settings;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};
use std::cell::RefCell;
use std::ffi::CStr;
use std::rc::Rc;

/// The tenant of the platform itself.
pub const SYSTEM_TENANT: [u8; 16] = [0; 16];

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Read,
    Write,
}

/// The roles a statement runs for: who logged in, whom they took on with SET ROLE, and whose rights
/// it has at the moment, which is another one inside SECURITY DEFINER functions and in maintenance
/// that the server does by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Roles {
    pub session: pg_sys::Oid,
    pub outer: pg_sys::Oid,
    pub current: pg_sys::Oid,
}

impl Roles {
    pub fn current() -> Self {
        // SAFETY: all three read variables of the session.
        unsafe {
            Self {
                session: pg_sys::GetSessionUserId(),
                outer: pg_sys::GetOuterUserId(),
                current: pg_sys::GetUserId(),
            }
        }
    }
}

/// The tenants that each of the roles is pinned to, for those that are pinned.
type Pins = Vec<Vec<[u8; 16]>>;

struct KeptPins {
    roles: Roles,
    at: (u64, u64),
    pins: Rc<Pins>,
}

thread_local! {
    static PINS: RefCell<Option<KeptPins>> = const { RefCell::new(None) };
}

/// Refuses a tenant that the caller may not read or write.
///
/// # Errors
/// [`Error::Denied`], which also leaves an event and a line in the server's log.
pub fn check_tenant(tenant: &[u8; 16], purpose: Purpose) -> Result<(), Error> {
    if let Some(problem) = tenant_problem(tenant, purpose)? {
        return Err(denied(tenant, purpose, problem));
    }
    if purpose == Purpose::Read {
        audit_read(Some(*tenant))?;
    }
    Ok(())
}

/// The error of an access that is refused. It leaves an event, which outlives the transaction,
/// and a line in the server's log.
pub fn denied(tenant: &[u8; 16], purpose: Purpose, (what, hint): Problem) -> Error {
    let purpose = match purpose {
        Purpose::Read => "read",
        Purpose::Write => "write",
    };
    let event = durable::access_denied(tenant, purpose, what);
    let event = event.map_or_else(String::new, |id| format!(" (event {id})"));
    error::log(format!("activity_log: access denied: {what}{event}"));
    Error::Denied {
        what: what.into(),
        hint,
    }
}

/// Leaves an event of a read that only an auditor's or administrator's rights allow; without a
/// tenant, of a read of all. A superuser needs none of our functions to read, so his calls tell
/// nothing.
pub fn audit_read(tenant: Option<[u8; 16]>) -> Result<(), Error> {
    // SAFETY: a look-up in the catalog.
    let is_superuser = unsafe { pg_sys::superuser_arg(pg_sys::GetUserId()) };
    if !is_superuser && is_trusted(Purpose::Read) && pins()?.is_empty() {
        durable::read_audited(tenant);
    }
    Ok(())
}

/// Whether the caller may read or write this tenant, without a trace in the log.
pub fn may_reach(tenant: &[u8; 16], purpose: Purpose) -> Result<bool, Error> {
    Ok(tenant_problem(tenant, purpose)?.is_none())
}

/// What is refused, and a hint.
pub type Problem = (&'static str, &'static str);

fn tenant_problem(tenant: &[u8; 16], purpose: Purpose) -> Result<Option<Problem>, Error> {
    if *tenant == SYSTEM_TENANT && !is_trusted(purpose) {
        return Ok(Some((
            "the system tenant",
            "The nil UUID stands for the platform itself; it is written by activity_admin and read by activity_auditor.",
        )));
    }
    let pins = pins()?;
    if pins.is_empty() {
        return Ok(
            (settings::REQUIRE_PIN.get() && !is_trusted(purpose)).then_some((
                "a role that is not pinned to a tenant",
                "activity.require_pin is on: pin the role in activity.role_tenants.",
            )),
        );
    }
    let allowed = pins.iter().all(|pinned| pinned.contains(tenant));
    Ok((!allowed).then_some((
        "a tenant that the role is not pinned to",
        "The pins are in activity.role_tenants.",
    )))
}

/// Whether the caller is a superuser or holds the role that may reach every tenant for this
/// purpose.
fn is_trusted(purpose: Purpose) -> bool {
    match purpose {
        Purpose::Read => is_auditor() || is_admin(),
        Purpose::Write => is_admin(),
    }
}

/// Whether the caller may read every tenant.
pub fn reads_all_tenants() -> bool {
    is_trusted(Purpose::Read)
}

fn is_auditor() -> bool {
    has_role(c"activity_auditor")
}

/// The tenant to read: the argument's or the context's. A plain reader who has set a context
/// stays inside it: an argument that differs is a mistake or an attack.
pub fn readable_tenant(argument: Option<[u8; 16]>) -> Result<[u8; 16], Error> {
    let of_context = context::current().tenant_id;
    let tenant = argument.or(of_context).ok_or(Error::NoTenant)?;
    check_tenant(&tenant, Purpose::Read)?;
    if of_context.is_some_and(|context| context != tenant) && !reads_all_tenants() {
        let problem = (
            "a tenant other than that of the context",
            "Set the context to the tenant that is to be read.",
        );
        return Err(denied(&tenant, Purpose::Read, problem));
    }
    Ok(tenant)
}

/// The tenant to read where no argument names one: that of the context. Without one, `None` for who
/// may read every tenant: then [`may_reach`] decides of each event.
///
/// # Errors
/// As for [`readable_tenant`].
pub fn readable_tenants() -> Result<Option<[u8; 16]>, Error> {
    if context::current().tenant_id.is_none() && reads_all_tenants() {
        audit_read(None)?;
        return Ok(None);
    }
    readable_tenant(None).map(Some)
}

/// Whether the caller may administer the log.
pub fn is_admin() -> bool {
    has_role(c"activity_admin")
}

/// Whether the current user has the privileges of the role of that name.
pub fn has_role_named(name: &str) -> bool {
    std::ffi::CString::new(name).is_ok_and(|name| has_role(&name))
}

/// Whether the current user has the privileges of a role; superusers have all.
fn has_role(name: &CStr) -> bool {
    // SAFETY: catalog look-ups; a role that was dropped gives InvalidOid.
    unsafe {
        let user = pg_sys::GetUserId();
        let role = pg_sys::get_role_oid(name.as_ptr(), true);
        pg_sys::superuser_arg(user)
            || (role != pg_sys::InvalidOid && pg_sys::has_privs_of_role(user, role))
    }
}

fn pins() -> Result<Rc<Pins>, Error> {
    let roles = Roles::current();
    let at = (db::changes(Relation::RoleTenants), db::role_changes());
    let kept = PINS.with_borrow(|kept| {
        kept.as_ref()
            .filter(|kept| kept.roles == roles && kept.at == at)
            .map(|kept| Rc::clone(&kept.pins))
    });
    if let Some(pins) = kept {
        return Ok(pins);
    }
    db::oid(Relation::RoleTenants)?;
    let mut distinct = vec![roles.session, roles.outer, roles.current];
    distinct.sort_by_key(|role| role.to_u32());
    distinct.dedup();
    let pinned = distinct
        .into_iter()
        .map(pins_of)
        .collect::<Result<Vec<_>, Error>>()?;
    let pins: Rc<Pins> = Rc::new(pinned.into_iter().flatten().collect());
    PINS.set(Some(KeptPins {
        roles,
        at,
        pins: Rc::clone(&pins),
    }));
    Ok(pins)
}

fn pins_of(role: pg_sys::Oid) -> Result<Option<Vec<[u8; 16]>>, Error> {
    let pinned = db::query(
        Mode::ReadLatest,
        "SELECT t.tenant_id FROM activity.role_tenants t JOIN pg_catalog.pg_roles r \
         ON r.rolname::text = t.role_name WHERE r.oid = $1",
        &[(pg_sys::OIDOID, Some(pg_sys::Datum::from(role)))],
        |row| row.must::<Uuid>(1, "role_tenants").map(|id| *id.as_bytes()),
    )?;
    Ok((!pinned.is_empty()).then_some(pinned))
}

/// The tenant whose events the current user may see through row security: the tenant of the
/// context, never the system tenant; raises 42501 for a tenant the role is not pinned to.
#[pg_extern(stable, parallel_unsafe)]
fn visible_tenant() -> Result<Option<Uuid>, ErrorReport> {
    let Some(tenant) = context::current()
        .tenant_id
        .filter(|id| *id != SYSTEM_TENANT)
    else {
        return Ok(None);
    };
    check_tenant(&tenant, Purpose::Read)?;
    Ok(Some(Uuid::from_bytes(tenant)))
}

/// The UUID of a tenant that the application knows by another name.
#[pg_extern(stable, parallel_unsafe)]
fn tenant(external_id: default!(Option<&str>, "NULL")) -> Result<Uuid, ErrorReport> {
    let external_id = crate::value::given(external_id).ok_or(Error::Missing {
        argument: "external_id",
    })?;
    db::oid(Relation::Events)?;
    let found = db::value::<Uuid>(
        Mode::Read,
        "SELECT tenant_id FROM activity.tenants WHERE external_id = $1",
        &[db::text(Some(external_id))],
    )?;
    Ok(found.ok_or(Error::Unknown {
        what: "tenant with this external_id",
        hint: "INSERT INTO activity.tenants (external_id, name) VALUES (...); its tenant_id is made for it.",
    })?)
}
