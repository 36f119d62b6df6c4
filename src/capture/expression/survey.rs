//! What an expression reads and calls, and whether it may.
//!
//! The rules of a table run with its owner's rights. So nobody but the owner, or a superuser, may
//! be able to change what a function in them does, or what happens to the values of a type.

#![allow(unsafe_code)]

use super::{OLD_SLOT, Terms, Wanted};
use crate::capture::target::oid_parameter;
use crate::db::{self, Mode};
use crate::error::Error;
use pgrx::{IntoDatum, pg_sys};
use std::ffi::c_void;

/// A column of OLD or NEW; 0 stands for the whole row.
struct Reference {
    is_old: bool,
    number: i16,
}

/// What is found in an expression.
#[derive(Default)]
pub(super) struct Survey {
    functions: Vec<pg_sys::Oid>,
    types: Vec<pg_sys::Oid>,
    references: Vec<Reference>,
    /// Whether there is a kind of node that may raise an error by itself.
    may_raise: bool,
}

/// The first OID that is not the server's own.
const FIRST_OF_USERS: u32 = 16_384;

impl Survey {
    /// Walks through an expression.
    ///
    /// # Safety
    /// `tree` is an expression.
    pub(super) unsafe fn of(tree: *mut pg_sys::Node) -> Self {
        let mut survey = Self::default();
        // SAFETY: promised by the caller; the survey outlives the walk.
        unsafe { visit(tree, (&raw mut survey).cast()) };
        survey
    }

    /// Whether evaluation can't fail: only functions that promise to raise nothing.
    pub(super) fn is_total(&self) -> Result<bool, Error> {
        if self.may_raise {
            return Ok(false);
        }
        self.ask("SELECT coalesce(bool_and(p.proleakproof), true) FROM pg_catalog.pg_proc p WHERE p.oid = ANY ($1)")
    }

    /// Whether something is called that is not the server's own, and may look names up.
    pub(super) fn needs_path(&self) -> Result<bool, Error> {
        let own = |oids: &[pg_sys::Oid]| oids.iter().all(|oid| oid.to_u32() < FIRST_OF_USERS);
        if !own(&self.functions) || !own(&self.types) {
            return Ok(true);
        }
        self.ask(
            "SELECT coalesce(bool_or(l.lanname NOT IN ('internal', 'c')), false) \
             FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang WHERE p.oid = ANY ($1)",
        )
    }

    fn ask(&self, question: &str) -> Result<bool, Error> {
        let functions = (pg_sys::OIDARRAYOID, self.functions.clone().into_datum());
        db::value::<bool>(Mode::Read, question, &[functions])?.ok_or(Error::Internal {
            place: "expression",
        })
    }
}

/// Refuses an expression that is not as [`Terms`] say.
///
/// # Safety
/// `tree` is an expression over the rows of the open relation.
pub(super) unsafe fn check(
    tree: *mut pg_sys::Node,
    wanted: Wanted,
    relation: pg_sys::Relation,
    terms: &Terms<'_>,
) -> Result<(), Error> {
    let bad = |problem| {
        Err(Error::BadExpression {
            argument: wanted.argument(),
            problem,
        })
    };
    // SAFETY: promised by the caller.
    let survey = unsafe { Survey::of(tree) };
    // SAFETY: as above.
    if unsafe { pg_sys::contain_volatile_functions(tree) } {
        return bad("it calls a volatile function");
    }
    for reference in &survey.references {
        if !(if reference.is_old {
            terms.has_old
        } else {
            terms.has_new
        }) {
            return bad(
                "it reads a row that the operation does not have: an insert has no OLD, a delete no NEW",
            );
        }
        if reference.number < 0 {
            return bad("it reads a system column");
        }
        // SAFETY: as above.
        let is_hidden = wanted == Wanted::Metadata
            && unsafe { is_hidden(relation, reference.number, terms.hidden) };
        if is_hidden {
            return bad(
                "it reads a column that is excluded or redacted, or the whole row of a table with such columns",
            );
        }
    }
    let parameters = [
        (pg_sys::OIDARRAYOID, survey.functions.into_datum()),
        (pg_sys::OIDARRAYOID, survey.types.into_datum()),
        oid_parameter(terms.owner),
    ];
    let foreign = db::value::<bool>(
        Mode::Read,
        include_str!("../../../sql/query/expression_owners.sql"),
        &parameters,
    )?;
    if foreign != Some(false) {
        return bad(
            "it uses a function or type that belongs to neither a superuser nor the table's owner, or is temporary",
        );
    }
    Ok(())
}

/// Whether a column must not get into the log.
///
/// # Safety
/// The relation is open.
unsafe fn is_hidden(relation: pg_sys::Relation, number: i16, hidden: &[String]) -> bool {
    let Some(index) = usize::try_from(number).ok().and_then(|n| n.checked_sub(1)) else {
        return !hidden.is_empty();
    };
    // SAFETY: the number is that of a column of the relation, whose descriptor is valid.
    let name = unsafe { db::name_text(&db::attribute((*relation).rd_att, index).attname) };
    hidden.contains(&name)
}

/// Looks at one node and walks on to those below it.
///
/// # Safety
/// `node` is part of an expression, or null; `context` is a [`Survey`].
unsafe extern "C-unwind" fn visit(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: promised by the caller; a node's tag says what it is.
    unsafe {
        let survey = &mut *context.cast::<Survey>();
        survey.note(node);
        pg_sys::check_functions_in_node(node, Some(note_function), context);
        walk_on(node, context)
    }
}

/// # Safety
/// As for [`visit`].
unsafe fn walk_on(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    // SAFETY: promised by the caller. Before 16 the server declares its walker without the types
    // of the callback's arguments, which is why it has no binding; they are the same.
    unsafe {
        #[cfg(any(feature = "pg14", feature = "pg15"))]
        {
            unsafe extern "C-unwind" {
                fn expression_tree_walker(
                    node: *mut pg_sys::Node,
                    walker: unsafe extern "C-unwind" fn(*mut pg_sys::Node, *mut c_void) -> bool,
                    context: *mut c_void,
                ) -> bool;
            }
            pg_sys::ffi::pg_guard_ffi_boundary(|| expression_tree_walker(node, visit, context))
        }
        #[cfg(not(any(feature = "pg14", feature = "pg15")))]
        pg_sys::expression_tree_walker_impl(node, Some(visit), context)
    }
}

unsafe extern "C-unwind" fn note_function(function: pg_sys::Oid, context: *mut c_void) -> bool {
    // SAFETY: the server hands on what `visit` gave it.
    unsafe { &mut *context.cast::<Survey>() }
        .functions
        .push(function);
    false
}

impl Survey {
    /// # Safety
    /// `node` is part of an expression.
    #[allow(clippy::unnecessary_cast, reason = "unsigned before Postgres 15")]
    unsafe fn note(&mut self, node: *mut pg_sys::Node) {
        use pg_sys::NodeTag as Tag;
        // SAFETY: promised by the caller; a Var is read as one only where the tag says so.
        unsafe {
            let tag = (*node).type_;
            if tag == Tag::T_Var {
                let variable = &*node.cast::<pg_sys::Var>();
                let place = variable.varno as i32;
                self.references.push(Reference {
                    is_old: place == pg_sys::PRS2_OLD_VARNO as i32 || place == OLD_SLOT,
                    number: variable.varattno,
                });
            }
            let has_no_type = matches!(tag, Tag::T_List | Tag::T_CaseWhen);
            if !has_no_type {
                self.types.push(pg_sys::exprType(node));
            }
            let is_harmless = matches!(
                tag,
                Tag::T_Var
                    | Tag::T_Const
                    | Tag::T_OpExpr
                    | Tag::T_FuncExpr
                    | Tag::T_DistinctExpr
                    | Tag::T_ScalarArrayOpExpr
                    | Tag::T_BoolExpr
                    | Tag::T_NullTest
                    | Tag::T_BooleanTest
                    | Tag::T_RelabelType
                    | Tag::T_CaseExpr
                    | Tag::T_CaseTestExpr
                    | Tag::T_CoalesceExpr
            );
            self.may_raise |= !has_no_type && !is_harmless;
        }
    }
}
