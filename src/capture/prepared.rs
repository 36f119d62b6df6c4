//! Rules that a session has taken into use: parsed and checked for the rows of a table, and kept
//! until anything changes that they depend on.

#![allow(unsafe_code)]

use super::rules::{Expressions, Rule};
use crate::db::{self, Failure, Relation};
use crate::error;
use crate::error::Error;
use pgrx::{Uuid, pg_sys};
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// A rule, and its expressions where they could be taken into use.
pub(super) struct Prepared {
    pub(super) rule: Rc<Rule>,
    pub(super) expressions: Option<Expressions>,
}

/// What all that is known of rules depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Changes {
    captures: u64,
    tables: u64,
    code: u64,
    roles: u64,
}

impl Changes {
    fn current() -> Self {
        Self {
            captures: db::changes(Relation::Captures),
            tables: db::table_changes(),
            code: db::code_changes(),
            roles: db::role_changes(),
        }
    }
}

/// The rules of a capture, by the table they are applied to: a partition may have its columns in
/// another order.
type Kept = HashMap<([u8; 16], u32), (Changes, Rc<[Prepared]>)>;

/// A session that works on very many tables starts over.
const MAX_KEPT: usize = 1_024;

thread_local! {
    /// Never dropped: at the end of the process the server's memory is gone before it.
    static RULES: RefCell<ManuallyDrop<Kept>> = RefCell::new(ManuallyDrop::new(HashMap::new()));
    /// The rules that failed in a transaction, which its start tells from others.
    static REPORTED: RefCell<(i64, Vec<Uuid>)> = const { RefCell::new((0, Vec::new())) };
}

/// Finds the rules of a capture, ready for rows of a relation.
///
/// # Safety
/// The relation is open.
pub(super) unsafe fn prepared(
    relation: pg_sys::Relation,
    capture_id: &[u8; 16],
) -> Result<Rc<[Prepared]>, Error> {
    // SAFETY: the relation is open.
    let oid = unsafe { (*relation).rd_id };
    let key = (*capture_id, oid.to_u32());
    let at = Changes::current();
    let kept = RULES.with_borrow(|kept| {
        let (seen, rules) = kept.get(&key)?;
        (*seen == at).then(|| Rc::clone(rules))
    });
    if let Some(rules) = kept {
        return Ok(rules);
    }
    db::watch_table(oid);
    let at = Changes::current();
    let rules: Rc<[Prepared]> = Rule::of(capture_id)?
        .into_iter()
        .map(|rule| {
            // SAFETY: promised by the caller.
            let work = || unsafe { rule.prepare(relation) };
            let expressions = match db::in_subtransaction(work) {
                Ok(expressions) => Some(expressions),
                Err(failure) => {
                    report(&rule, &failure);
                    None
                }
            };
            Prepared {
                rule: Rc::new(rule),
                expressions,
            }
        })
        .collect();
    RULES.with_borrow_mut(|kept| {
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(key, (at, Rc::clone(&rules)));
    });
    Ok(rules)
}

/// Says that events of a rule are lost, once in a transaction and without a word of the rows.
pub(super) fn report(rule: &Rule, failure: &Failure) {
    // SAFETY: a transaction is open.
    let transaction = unsafe { pg_sys::GetCurrentTransactionStartTimestamp() };
    let is_known = REPORTED.with_borrow_mut(|(of, rules)| {
        if *of != transaction {
            *of = transaction;
            rules.clear();
        }
        let is_known = rules.contains(&rule.id);
        if !is_known {
            rules.push(rule.id);
        }
        is_known
    });
    if is_known {
        return;
    }
    let code = match failure {
        Failure::Refused(error) => error.report().code,
        Failure::Raised { code } => *code,
    };
    let state = error::sqlstate(code);
    let message = format!(
        "events \"{}\" lost: their rule failed with SQLSTATE {state}",
        rule.action
    );
    error::log(format!("activity_log: {message}, rule {}", rule.id));
    error::warning(
        code,
        message,
        "The changes themselves are recorded. activity.drop_rule() ends the rule.",
    );
}
