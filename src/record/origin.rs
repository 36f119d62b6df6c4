//! Where an event comes from: the role, the transaction, the life of the database.

#![allow(unsafe_code)]

use crate::access::Roles;
use crate::db::{self, Relation};
use crate::error::Error;
use crate::home;
use pgrx::pg_sys;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

struct RoleName {
    roles: Roles,
    at: u64,
    name: Rc<str>,
}

thread_local! {
    static ROLE_NAME: RefCell<Option<RoleName>> = const { RefCell::new(None) };
    static INCARNATION: Cell<(u64, i32)> = const { Cell::new((0, 0)) };
}

/// The name that [`role_name`] gave last, where it is still that of the session's roles: for a
/// transaction that has failed, in which nothing can be looked up.
pub(super) fn known_role_name() -> Option<Rc<str>> {
    let roles = Roles::current();
    ROLE_NAME.with_borrow(|kept| {
        kept.as_ref()
            .filter(|kept| kept.roles == roles)
            .map(|kept| Rc::clone(&kept.name))
    })
}

/// Who is logged in, followed by the role taken on with SET ROLE where it is another one.
pub(super) fn role_name() -> Rc<str> {
    let roles = Roles::current();
    let at = db::role_changes();
    let kept = ROLE_NAME.with_borrow(|kept| {
        kept.as_ref()
            .filter(|kept| kept.roles == roles && kept.at == at)
            .map(|kept| Rc::clone(&kept.name))
    });
    kept.unwrap_or_else(|| {
        let mut name = db::role_name(roles.session);
        if roles.outer != roles.session {
            name = format!("{name}/{}", db::role_name(roles.outer));
        }
        let name: Rc<str> = name.into();
        ROLE_NAME.set(Some(RoleName {
            roles,
            at,
            name: Rc::clone(&name),
        }));
        name
    })
}

/// The number of this life of the database: see `home::incarnation`.
pub(super) fn incarnation() -> Result<i32, Error> {
    let at = db::changes(Relation::Incarnations);
    let (seen, number) = INCARNATION.get();
    if seen == at {
        return Ok(number);
    }
    db::oid(Relation::Incarnations)?;
    let number = home::incarnation()?;
    INCARNATION.set((at, number));
    Ok(number)
}

/// The writing top-level transaction.
pub(super) fn transaction_id() -> u64 {
    // SAFETY: assigns a transaction id where there is none yet.
    unsafe { pg_sys::GetTopFullTransactionId().value }
}
