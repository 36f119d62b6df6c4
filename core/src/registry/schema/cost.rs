//! How much work a schema can ask for, found without running it.
//!
//! A validator repeats a subschema for each reference to it, so that a small text can stand for
//! an endless amount of work. What is bounded here is bounded for every document.

use super::keywords::Relation;
use super::survey::{Edge, Subschema, Survey};
use super::{MAX_EXPANSION, MAX_IN_PLACE_DEPTH, SchemaProblem};

/// The work that one pass through a schema asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Subschemas to check, each repeated for every reference to it, a recursion counted once.
    pub(super) expansion: u64,
    /// How many times at most one value meets a recursion in one pass.
    pub(super) recursions: u64,
}

#[derive(Clone, Copy)]
enum Visit<T> {
    Open,
    Done(T),
}

/// Checks that no reference is endless and that the schema's cost is bounded.
///
/// # Errors
/// `EndlessReference`, `LongReferenceChain` or `TooMuchExpansion`.
pub(super) fn check_cost(survey: &Survey<'_>) -> Result<Cost, SchemaProblem> {
    let mut chains = vec![None; survey.subschemas.len()];
    for index in 0..survey.subschemas.len() {
        chain_length(survey, index, 0, &mut chains)?;
    }
    let mut costs = vec![None; survey.subschemas.len()];
    let root = cost_of(survey, 0, &mut costs);
    let all = costs.into_iter().flatten().filter_map(|visit| match visit {
        Visit::Done(cost) => Some(cost),
        Visit::Open => None,
    });
    let worst = all.fold(root, |worst: Cost, cost: Cost| Cost {
        expansion: worst.expansion.max(cost.expansion),
        recursions: worst.recursions.max(cost.recursions),
    });
    if worst.expansion > MAX_EXPANSION {
        return Err(SchemaProblem::TooMuchExpansion);
    }
    Ok(worst)
}

/// The longest chain of subschemas that apply to the same value as this one. `above` is the
/// number of those that led here.
fn chain_length(
    survey: &Survey<'_>,
    index: usize,
    above: usize,
    visits: &mut [Option<Visit<usize>>],
) -> Result<usize, SchemaProblem> {
    let (Some(subschema), Some(visit)) = (survey.subschemas.get(index), visits.get_mut(index))
    else {
        return Ok(0);
    };
    match visit {
        Some(Visit::Open) => {
            return Err(SchemaProblem::EndlessReference(subschema.pointer.clone()));
        }
        Some(Visit::Done(length)) if above + *length <= MAX_IN_PLACE_DEPTH => return Ok(*length),
        Some(Visit::Done(_)) => {
            return Err(SchemaProblem::LongReferenceChain(subschema.pointer.clone()));
        }
        None if above >= MAX_IN_PLACE_DEPTH => {
            return Err(SchemaProblem::LongReferenceChain(subschema.pointer.clone()));
        }
        None => *visit = Some(Visit::Open),
    }
    let mut length = 1;
    for edge in in_place(&subschema.edges) {
        length = length.max(1 + chain_length(survey, edge.target, above + 1, visits)?);
    }
    if let Some(visit) = visits.get_mut(index) {
        *visit = Some(Visit::Done(length));
    }
    Ok(length)
}

fn in_place(edges: &[Edge]) -> impl Iterator<Item = &Edge> {
    edges
        .iter()
        .filter(|edge| edge.relation == Relation::InPlace)
}

/// The cost of one pass from this subschema. A subschema that is still open is a recursion: the
/// validator remembers its result for each value, so that it counts as one check.
fn cost_of(survey: &Survey<'_>, index: usize, visits: &mut [Option<Visit<Cost>>]) -> Cost {
    let (Some(subschema), Some(visit)) = (survey.subschemas.get(index), visits.get_mut(index))
    else {
        return Cost::default();
    };
    match visit {
        Some(Visit::Done(cost)) => return *cost,
        Some(Visit::Open) => {
            return Cost {
                expansion: 1,
                recursions: 1,
            };
        }
        None => *visit = Some(Visit::Open),
    }
    let total = cost_below(survey, subschema, visits);
    if let Some(visit) = visits.get_mut(index) {
        *visit = Some(Visit::Done(total));
    }
    total
}

fn cost_below(
    survey: &Survey<'_>,
    subschema: &Subschema<'_>,
    visits: &mut [Option<Visit<Cost>>],
) -> Cost {
    let (mut expansion, mut recursions) = (1_u64, 0_u64);
    // Of the subschemas that never meet on one value only the worst counts.
    let mut disjoint = [0; 2];
    let applied = |edge: &&Edge| edge.relation != Relation::Definition;
    for edge in subschema.edges.iter().filter(applied) {
        let cost = cost_of(survey, edge.target, visits);
        let weight = subschema.weight(edge.relation);
        expansion = expansion.saturating_add(cost.expansion.saturating_mul(weight));
        let group = edge.relation.disjoint_group().map(usize::from);
        match group.and_then(|group| disjoint.get_mut(group)) {
            Some(worst) => *worst = cost.recursions.max(*worst),
            None => recursions = recursions.saturating_add(cost.recursions.saturating_mul(weight)),
        }
    }
    Cost {
        expansion,
        recursions: disjoint.into_iter().fold(recursions, u64::saturating_add),
    }
}
