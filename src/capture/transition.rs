//! Rules at work: which of a table's rules a changed row fulfils, and what they say of it.
//!
//! A rule that fails never breaks the write: the event of the change itself is recorded, a warning
//! says that the rule's event is lost, and the caller gets to know which rule it was.

#![allow(unsafe_code)]

use super::expression::Expression;
use super::rules::{Expressions, Operation, Rule};
use crate::db::OwnedMemory;
use crate::db::{self, Failure, Relation};
use crate::error::{self, Error};
use crate::value::JsonbArg;
use activity_log_core::jsonb::{Jsonb, Value};
use pgrx::{FromDatum, Uuid, pg_sys};
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// What came of a rule for one row.
pub(super) enum Outcome {
    /// The row made the transition: an event with this action, and a jsonb container.
    Event { rule: Rc<Rule>, metadata: Vec<u8> },
    /// The rule could not be applied.
    Failed { rule: Uuid },
}

/// A rule, and its expressions where they could be taken into use.
struct Prepared {
    rule: Rc<Rule>,
    expressions: Option<Expressions>,
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
unsafe fn prepared(
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

/// The rules of one operation on one table, ready to be applied to the rows of a statement.
pub(super) struct Transitions {
    relation: pg_sys::Relation,
    rules: Rc<[Prepared]>,
    operation: Operation,
    executor: *mut pg_sys::EState,
    row: *mut pg_sys::ExprContext,
    old: *mut pg_sys::TupleTableSlot,
    new: *mut pg_sys::TupleTableSlot,
    states: Vec<States>,
    /// What all the pointers point into: dropped after them.
    _memory: OwnedMemory,
}

/// The values of a row's columns, and which of them are NULL.
pub(super) type Values<'r> = (&'r [pg_sys::Datum], &'r [bool]);

/// The states of a rule's expressions, by the rule's place; made when they are first needed.
#[derive(Clone, Copy)]
struct States {
    condition: *mut pg_sys::ExprState,
    metadata: *mut pg_sys::ExprState,
}

impl Transitions {
    /// `None` where the table has no rule for this operation. What is needed for it is kept in
    /// `memory`.
    ///
    /// # Safety
    /// The relation is open, and stays so while the value lives.
    ///
    /// # Errors
    /// Only what reading the rules gives; a rule that can't be taken into use is an outcome.
    pub(super) unsafe fn of(
        relation: pg_sys::Oid,
        capture_id: &[u8; 16],
        operation: Operation,
        memory: OwnedMemory,
    ) -> Result<Option<Self>, Error> {
        // SAFETY: promised by the caller; it is closed when the value is dropped.
        let relation = unsafe { pg_sys::relation_open(relation, pg_sys::NoLock as i32) };
        // SAFETY: the relation is open.
        let rules = unsafe { prepared(relation, capture_id) };
        let is_ruled = |rules: &Rc<[Prepared]>| {
            let mut rules = rules.iter();
            rules.any(|known| known.rule.operation == operation)
        };
        let Some(rules) = rules.as_ref().ok().filter(|rules| is_ruled(rules)) else {
            // SAFETY: as above.
            unsafe { pg_sys::relation_close(relation, pg_sys::NoLock as i32) };
            return rules.map(|_| None);
        };
        let none = States {
            condition: std::ptr::null_mut(),
            metadata: std::ptr::null_mut(),
        };
        // SAFETY: the descriptor is valid while the relation is open; everything lives in memory
        // that is dropped with the value.
        let (executor, row, old, new) = memory.within(|| unsafe {
            let executor = pg_sys::CreateExecutorState();
            let columns = (*relation).rd_att;
            let slot =
                || pg_sys::MakeSingleTupleTableSlot(columns, &raw const pg_sys::TTSOpsVirtual);
            (
                executor,
                pg_sys::CreateExprContext(executor),
                slot(),
                slot(),
            )
        });
        Ok(Some(Self {
            relation,
            states: vec![none; rules.len()],
            rules: Rc::clone(rules),
            operation,
            executor,
            row,
            old,
            new,
            _memory: memory,
        }))
    }

    /// What the rules say of a row, as it was and as it is.
    ///
    /// # Safety
    /// The values are those of rows of the relation.
    pub(super) unsafe fn apply(
        &mut self,
        old: Option<Values<'_>>,
        new: Option<Values<'_>>,
    ) -> Vec<Outcome> {
        // SAFETY: the context and the slots are this value's own; a slot has a place for each
        // column of the relation.
        unsafe {
            pg_sys::ReScanExprContext(self.row);
            fill(self.old, old);
            fill(self.new, new);
            (*self.row).ecxt_innertuple = self.old;
            (*self.row).ecxt_outertuple = self.new;
        }
        let (rules, operation) = (Rc::clone(&self.rules), self.operation);
        rules
            .iter()
            .enumerate()
            .filter(|(_, known)| known.rule.operation == operation)
            .filter_map(|(place, known)| self.outcome(place, known))
            .collect()
    }

    fn outcome(&mut self, place: usize, known: &Prepared) -> Option<Outcome> {
        let failed = || {
            Some(Outcome::Failed {
                rule: known.rule.id,
            })
        };
        let Some(expressions) = &known.expressions else {
            return failed();
        };
        match self.evaluate(place, expressions) {
            Ok(None) => None,
            Ok(Some(metadata)) => Some(Outcome::Event {
                rule: Rc::clone(&known.rule),
                metadata,
            }),
            Err(failure) => {
                report(&known.rule, &failure);
                failed()
            }
        }
    }

    /// The metadata of the event, if the row makes the transition.
    ///
    /// What can fail runs in a subtransaction. Most rows make no transition, and most conditions
    /// can't fail: those need none.
    fn evaluate(
        &mut self,
        place: usize,
        expressions: &Expressions,
    ) -> Result<Option<Vec<u8>>, Failure> {
        if self.states[place].condition.is_null() {
            self.states[place] = db::in_subtransaction(|| Ok(self.states_of(expressions)))?;
        }
        let states = self.states[place];
        let condition = &expressions.condition;
        let is_fulfilled = if condition.is_total {
            self.is_fulfilled(states, expressions)
        } else {
            db::in_subtransaction(|| Ok(self.is_fulfilled(states, expressions)))?
        };
        if !is_fulfilled {
            return Ok(None);
        }
        let Some(metadata) = &expressions.metadata else {
            return Ok(Some(EMPTY_OBJECT.to_vec()));
        };
        db::in_subtransaction(|| self.metadata(states, metadata, expressions.owner)).map(Some)
    }

    /// Looking functions up checks the owner's right to call them.
    fn states_of(&self, expressions: &Expressions) -> States {
        let state = |expression: &Expression| {
            // SAFETY: the tree is a planned expression that lives as long as the rules do.
            unsafe { pg_sys::ExecInitExpr(expression.tree, std::ptr::null_mut()) }
        };
        let metadata = expressions.metadata.as_ref();
        // SAFETY: the executor's memory is valid until the value is dropped.
        let outer = unsafe { pg_sys::MemoryContextSwitchTo((*self.executor).es_query_cxt) };
        let states = db::as_restricted(expressions.owner, true, || States {
            condition: state(&expressions.condition),
            metadata: metadata.map_or(std::ptr::null_mut(), state),
        });
        // SAFETY: as above.
        unsafe { pg_sys::MemoryContextSwitchTo(outer) };
        states
    }

    fn is_fulfilled(&self, states: States, expressions: &Expressions) -> bool {
        let condition = &expressions.condition;
        db::as_restricted(expressions.owner, condition.needs_path, || {
            let (value, is_null) = self.value(states.condition);
            !is_null && value.value() != 0
        })
    }

    fn metadata(
        &self,
        states: States,
        expression: &Expression,
        owner: pg_sys::Oid,
    ) -> Result<Vec<u8>, Error> {
        let document = db::as_restricted(owner, expression.needs_path, || {
            let (value, is_null) = self.value(states.metadata);
            // SAFETY: the expression gives jsonb.
            unsafe { JsonbArg::from_polymorphic_datum(value, is_null, pg_sys::JSONBOID) }
                .map(|document| document.document("metadata").map(|d| d.bytes().to_vec()))
                .transpose()
        })?;
        let Some(document) = document else {
            return Ok(EMPTY_OBJECT.to_vec());
        };
        let is_object =
            Jsonb::new(&document).is_ok_and(|document| matches!(document.root(), Value::Object(_)));
        if is_object {
            Ok(document)
        } else {
            Err(Error::invalid("metadata", "it must be a JSON object"))
        }
    }

    fn value(&self, state: *mut pg_sys::ExprState) -> (pg_sys::Datum, bool) {
        let mut is_null = true;
        // SAFETY: the state and the context are this value's own, the slots those of `apply`.
        let value = unsafe { pg_sys::ExecEvalExprSwitchContext(state, self.row, &raw mut is_null) };
        (value, is_null)
    }
}

/// Puts a row into a slot; without one the slot is empty.
///
/// # Safety
/// The slot is a virtual one of the relation that the values are of.
unsafe fn fill(slot: *mut pg_sys::TupleTableSlot, values: Option<Values<'_>>) {
    // SAFETY: promised by the caller; no more values are copied than the slot has places for.
    unsafe {
        pg_sys::ExecClearTuple(slot);
        let Some((values, nulls)) = values else {
            return;
        };
        let places = usize::try_from((*(*slot).tts_tupleDescriptor).natts).unwrap_or(0);
        let count = values.len().min(nulls.len()).min(places);
        std::ptr::copy_nonoverlapping(values.as_ptr(), (*slot).tts_values, count);
        std::ptr::copy_nonoverlapping(nulls.as_ptr(), (*slot).tts_isnull, count);
        pg_sys::ExecStoreVirtualTuple(slot);
    }
}

/// The container of `{}`.
const EMPTY_OBJECT: [u8; 4] = 0x2000_0000_u32.to_ne_bytes();

impl Drop for Transitions {
    fn drop(&mut self) {
        // After an error the server's abort clears up.
        if !std::thread::panicking() {
            // SAFETY: slots, executor and relation are this value's own, and nothing of them is
            // used any more.
            unsafe {
                pg_sys::ExecDropSingleTupleTableSlot(self.old);
                pg_sys::ExecDropSingleTupleTableSlot(self.new);
                pg_sys::FreeExecutorState(self.executor);
                pg_sys::relation_close(self.relation, pg_sys::NoLock as i32);
            }
        }
    }
}
