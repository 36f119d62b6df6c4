//! Expressions of rules: SQL over the rows OLD and NEW, as in the WHEN of a trigger.
//!
//! An expression is kept as text. Whenever a session takes it into use, the text is parsed with a
//! pinned search path and the tree is checked before any of it can run; that very tree is then
//! evaluated, so that nothing can come between check and use.

#![allow(unsafe_code)]

mod parse;
mod survey;

use crate::db;
use crate::error::Error;
use pgrx::pg_sys;

/// The place of OLD and NEW in an expression that is evaluated: the slots of a join.
#[allow(clippy::unnecessary_cast, reason = "unsigned before Postgres 15")]
const OLD_SLOT: i32 = pg_sys::INNER_VAR as i32;
#[allow(clippy::unnecessary_cast, reason = "unsigned before Postgres 15")]
const NEW_SLOT: i32 = pg_sys::OUTER_VAR as i32;

/// What an expression has to give.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Condition,
    Metadata,
}

impl Wanted {
    /// The argument of `on_change()` that it comes from.
    fn argument(self) -> &'static str {
        match self {
            Self::Condition => "when_condition",
            Self::Metadata => "metadata",
        }
    }
}

/// What an expression may read and call.
pub(super) struct Terms<'t> {
    /// The owner of the table, with whose rights it runs.
    pub(super) owner: pg_sys::Oid,
    pub(super) has_old: bool,
    pub(super) has_new: bool,
    /// Columns that must not get into the log.
    pub(super) hidden: &'t [String],
}

/// A checked expression, ready to be evaluated.
pub(super) struct Expression {
    pub(super) tree: *mut pg_sys::Expr,
    /// Whether it gives a value for every row: nothing in it can raise an error.
    pub(super) is_total: bool,
    /// Whether something in it may look names up.
    pub(super) needs_path: bool,
}

impl Expression {
    /// Parses, checks and plans an expression over the rows of a relation, in the current memory
    /// context.
    ///
    /// # Safety
    /// The relation is open.
    ///
    /// # Errors
    /// [`Error::BadExpression`]; what the server's parser says, it raises itself.
    pub(super) unsafe fn read(
        text: &str,
        wanted: Wanted,
        relation: pg_sys::Relation,
        terms: &Terms<'_>,
    ) -> Result<Self, Error> {
        let read = || {
            // SAFETY: promised by the caller.
            unsafe {
                let tree = parse::parse(text, wanted, relation)?;
                survey::check(tree, wanted, relation, terms)?;
                Ok::<_, Error>(plan(tree))
            }
        };
        let tree = db::as_restricted(terms.owner, true, read)?;
        // SAFETY: a planned expression is a node.
        let survey = unsafe { survey::Survey::of(tree.cast()) };
        Ok(Self {
            tree,
            is_total: survey.is_total()?,
            needs_path: survey.needs_path()?,
        })
    }
}

/// # Safety
/// The tree is a checked expression over the first two entries of a range table.
unsafe fn plan(tree: *mut pg_sys::Node) -> *mut pg_sys::Expr {
    // SAFETY: promised by the caller.
    unsafe {
        pg_sys::ChangeVarNodes(tree, pg_sys::PRS2_OLD_VARNO as i32, OLD_SLOT, 0);
        pg_sys::ChangeVarNodes(tree, pg_sys::PRS2_NEW_VARNO as i32, NEW_SLOT, 0);
        pg_sys::expression_planner(tree.cast())
    }
}
