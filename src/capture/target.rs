//! The table that a caller names: whether it may be captured, and what it is like.

#![allow(unsafe_code)]

use crate::access::Roles;
use crate::db::{self, Mode};
use crate::error::Error;
use crate::value::Regclass;
use activity_log_core::capture::columns::Column;
use pgrx::pg_sys;

/// A table that may be captured.
pub(super) struct Target {
    pub(super) oid: pg_sys::Oid,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    is_owned: bool,
}

impl Target {
    /// Locks the table as CREATE TRIGGER does, and looks at it.
    pub(super) fn locked(target: Option<Regclass>) -> Result<Self, Error> {
        Self::find(target, pg_sys::ShareRowExclusiveLock as i32)
    }

    /// Looks at the table, which writers may go on writing to.
    pub(super) fn seen(target: Option<Regclass>) -> Result<Self, Error> {
        Self::find(target, pg_sys::AccessShareLock as i32)
    }

    /// # Errors
    /// [`Error::Missing`] without a table, [`Error::WrongKind`] for what can't be captured.
    fn find(target: Option<Regclass>, mode: pg_sys::LOCKMODE) -> Result<Self, Error> {
        let Regclass(oid) = target.ok_or(Error::Missing { argument: "target" })?;
        lock(oid, mode);
        let found = db::query(
            Mode::Write,
            include_str!("../../sql/query/capture_target.sql"),
            &[oid_parameter(oid), oid_parameter(Roles::current().current)],
            |row| {
                let kind: Option<String> = row.get(3);
                let target = Self {
                    oid,
                    schema: row.must(1, "pg_class")?,
                    name: row.must(2, "pg_class")?,
                    is_owned: row.must(4, "pg_class")?,
                    columns: Vec::new(),
                };
                Ok((target, kind))
            },
        )?;
        let Some((target, kind)) = found.into_iter().next() else {
            return Err(Error::Unknown {
                what: "this table",
                hint: "",
            });
        };
        if let Some(what) = refused_kind(kind.as_deref()) {
            return Err(Error::WrongKind { what });
        }
        Ok(Self {
            columns: columns(oid)?,
            ..target
        })
    }

    /// Refuses a caller who has not the rights of the table's owner.
    pub(super) fn must_be_owned(&self) -> Result<(), Error> {
        if self.is_owned {
            return Ok(());
        }
        Err(Error::Denied {
            what: "a table of another owner".into(),
            hint: "Through the log one could read it: its owner, or a member of the role that owns it, has to do this.",
        })
    }

    /// Refuses names that are no columns of the table.
    pub(super) fn must_have(&self, argument: &'static str, names: &[String]) -> Result<(), Error> {
        let missing = |name: &String| !self.columns.iter().any(|column| column.name == *name);
        match names.iter().position(missing) {
            None => Ok(()),
            Some(index) => Err(Error::UndefinedColumn {
                argument,
                position: index + 1,
            }),
        }
    }
}

/// What the catalog's word for a kind of relation that is refused means; `None` for a table.
fn refused_kind(kind: Option<&str>) -> Option<&'static str> {
    Some(match kind {
        None => return None,
        Some("log") => "a table of the log",
        Some("catalog") => "a table of the catalog",
        Some("temporary") => "a temporary table",
        Some("view") => "a view",
        Some("foreign") => "a foreign table",
        Some(_) => "what is no table",
    })
}

/// Takes a lock until the end of the transaction.
fn lock(relation: pg_sys::Oid, mode: pg_sys::LOCKMODE) {
    // SAFETY: any relation may be locked, also one that is gone by then; the server releases the
    // lock at the end of the transaction.
    unsafe { pg_sys::LockRelationOid(relation, mode) };
}

/// The columns of a relation, in their order.
pub(super) fn columns(relation: pg_sys::Oid) -> Result<Vec<Column>, Error> {
    db::query(
        Mode::Write,
        "SELECT attnum, attname::text, format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute \
         WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        &[oid_parameter(relation)],
        |row| {
            Ok(Column {
                number: row.must(1, "pg_attribute")?,
                name: row.must(2, "pg_attribute")?,
                kind: row.must(3, "pg_attribute")?,
            })
        },
    )
}

/// An OID as a parameter.
pub(super) fn oid_parameter(oid: pg_sys::Oid) -> db::Parameter {
    (pg_sys::OIDOID, Some(pg_sys::Datum::from(oid)))
}
