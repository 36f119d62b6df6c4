//! Rules at work: which of a table's rules a changed row fulfils, and what they say of it.
//!
//! A rule that fails never breaks the write: the event of the change itself is recorded, a warning
//! says that the rule's event is lost, and the caller gets to know which rule it was.

#![allow(unsafe_code)]

use super::expression::Expression;
use super::prepared::{Prepared, prepared, report};
use super::rules::{Expressions, Operation, Rule};
use crate::db::{self, Failure, OwnedMemory};
use crate::error::Error;
use crate::value::JsonbArg;
use activity_log_core::jsonb::{Jsonb, Value};
use pgrx::{FromDatum, Uuid, pg_sys};
use std::rc::Rc;

/// What came of a rule for one row.
pub(super) enum Outcome {
    /// The row made the transition: an event with this action, and a jsonb container.
    Event { rule: Rc<Rule>, metadata: Vec<u8> },
    /// The rule could not be applied.
    Failed { rule: Uuid },
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
