//! From the text of an expression to a tree whose names are resolved.

#![allow(unsafe_code)]

use super::Wanted;
use crate::error::Error;
use pgrx::pg_sys;
use std::ffi::CString;

/// Parses one expression over OLD and NEW. The server raises its own errors: for bad syntax, for
/// names that don't exist, for subqueries, aggregates and functions that return sets.
///
/// # Safety
/// The relation is open.
pub(super) unsafe fn parse(
    text: &str,
    wanted: Wanted,
    relation: pg_sys::Relation,
) -> Result<*mut pg_sys::Node, Error> {
    let raw = only_expression(text).ok_or(Error::BadExpression {
        argument: wanted.argument(),
        problem: "it is not one expression",
    })?;
    // SAFETY: the parse state lives until it is freed; the range table has OLD first and NEW
    // second, as a trigger's WHEN does.
    unsafe {
        let state = pg_sys::make_parsestate(std::ptr::null_mut());
        for name in [c"old", c"new"] {
            let entry = pg_sys::addRangeTableEntryForRelation(
                state,
                relation,
                pg_sys::AccessShareLock as i32,
                pg_sys::makeAlias(name.as_ptr(), std::ptr::null_mut()),
                false,
                false,
            );
            pg_sys::addNSItemToQuery(state, entry, false, true, true);
        }
        let kind = pg_sys::ParseExprKind::EXPR_KIND_TRIGGER_WHEN;
        let tree = pg_sys::transformExpr(state, raw, kind);
        let tree = coerced(state, tree, wanted);
        if !tree.is_null() {
            pg_sys::assign_expr_collations(state, tree);
        }
        pg_sys::free_parsestate(state);
        if tree.is_null() {
            return Err(Error::NotJsonb);
        }
        Ok(tree)
    }
}

/// The tree as the type that is wanted; null where it can't be.
///
/// # Safety
/// `tree` was transformed with `state`.
unsafe fn coerced(
    state: *mut pg_sys::ParseState,
    tree: *mut pg_sys::Node,
    wanted: Wanted,
) -> *mut pg_sys::Node {
    // SAFETY: promised by the caller.
    unsafe {
        match wanted {
            Wanted::Condition => pg_sys::coerce_to_boolean(state, tree, c"WHEN".as_ptr()),
            Wanted::Metadata => pg_sys::coerce_to_target_type(
                state,
                tree,
                pg_sys::exprType(tree),
                pg_sys::JSONBOID,
                -1,
                pg_sys::CoercionContext::COERCION_ASSIGNMENT,
                pg_sys::CoercionForm::COERCE_IMPLICIT_CAST,
                -1,
            ),
        }
    }
}

/// The raw tree of a text that is one expression and nothing else: no FROM, no second column, no
/// name for it, no further statement.
fn only_expression(text: &str) -> Option<*mut pg_sys::Node> {
    let text = CString::new(text).ok()?;
    // SAFETY: the parser gives a list with one raw statement, a SELECT, or raises; each pointer is
    // looked at only after its kind is known.
    unsafe {
        let statements =
            pg_sys::raw_parser(text.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_PLPGSQL_EXPR);
        let statement = only(statements)?.cast::<pg_sys::RawStmt>();
        let select = (*statement).stmt.cast::<pg_sys::SelectStmt>();
        if select.is_null() || (*select).type_ != pg_sys::NodeTag::T_SelectStmt {
            return None;
        }
        if !is_bare(&*select) {
            return None;
        }
        let column = only((*select).targetList)?.cast::<pg_sys::ResTarget>();
        if !(*column).name.is_null() || !(*column).indirection.is_null() {
            return None;
        }
        Some((*column).val)
    }
}

/// Whether a SELECT has nothing but its columns.
fn is_bare(select: &pg_sys::SelectStmt) -> bool {
    let lists = [
        select.distinctClause,
        select.fromClause,
        select.groupClause,
        select.windowClause,
        select.valuesLists,
        select.sortClause,
        select.lockingClause,
    ];
    let nodes = [
        select.whereClause,
        select.havingClause,
        select.limitOffset,
        select.limitCount,
    ];
    lists.iter().all(|list| list.is_null())
        && nodes.iter().all(|node| node.is_null())
        && select.intoClause.is_null()
        && select.withClause.is_null()
        && select.op == pg_sys::SetOperation::SETOP_NONE
}

/// The only element of a list.
///
/// # Safety
/// The list is one of pointers, or null.
unsafe fn only(list: *mut pg_sys::List) -> Option<*mut std::ffi::c_void> {
    // SAFETY: promised by the caller.
    unsafe {
        if list.is_null() || (*list).length != 1 {
            return None;
        }
        let element = (*(*list).elements).ptr_value;
        (!element.is_null()).then_some(element)
    }
}
