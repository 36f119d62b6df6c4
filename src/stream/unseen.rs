//! Which stretches of the stream's index hold what a reader has not seen.

use crate::home::Lives;
use activity_log_core::stream::{Base, Life, Place, Point, Position};
use std::rc::Rc;

/// A stretch of the index of one life: transactions from `from` up to before `until`.
#[derive(Clone)]
pub(super) struct Stretch {
    pub(super) life: Life,
    pub(super) from: u64,
    /// Only what follows this event in transaction `from`.
    pub(super) after: [u8; 16],
    pub(super) until: u64,
    /// Only these transactions, ascending; all if none are named.
    pub(super) only: Option<Rc<[u64]>>,
}

impl Stretch {
    fn whole(life: Life) -> Self {
        Self {
            life,
            from: 0,
            after: [0; 16],
            until: u64::MAX,
            only: None,
        }
    }
}

/// The stretches that may hold events that `base` has not seen and `target` has, in the order of
/// the stream. `present` gives the numbers of the lives that the index has.
pub(super) fn stretches(
    base: &Base,
    target: &Point,
    after: Option<&Position>,
    lives: &Lives,
    present: impl FnOnce() -> Result<Vec<i32>, crate::error::Error>,
) -> Result<Vec<Stretch>, crate::error::Error> {
    let timeline = target.life.place.timeline;
    let mut all = match base {
        Base::Seen(point) if point.life == target.life => of_home(point, lives),
        _ => {
            let mut known: Vec<Life> = present()?
                .into_iter()
                .map(|number| Life {
                    place: lives.place(number, timeline),
                    number,
                })
                .collect();
            known.sort_by_key(|life| order(*life));
            known
                .into_iter()
                .flat_map(|life| of_life(base, life))
                .collect()
        }
    };
    all.retain(|stretch| stretch.life.place <= target.life.place);
    for stretch in &mut all {
        if stretch.life.place.home == target.life.place.home {
            stretch.until = stretch.until.min(target.snapshot.xmax());
        }
    }
    if let Some(after) = after {
        let life = Life {
            place: lives.place(after.life, timeline),
            number: after.life,
        };
        all = all
            .into_iter()
            .flat_map(|stretch| rest(stretch, life, after))
            .collect();
    }
    all.retain(|stretch| stretch.from < stretch.until);
    Ok(all)
}

/// The usual case: reader and server are in the same life.
fn of_home(point: &Point, lives: &Lives) -> Vec<Stretch> {
    let mut of_home = if point.is_settled {
        Vec::new()
    } else {
        lives.earlier_of_present_home(point.life.place.timeline)
    };
    of_home.push(point.life);
    of_home
        .into_iter()
        .flat_map(|life| since(point, life))
        .collect()
}

fn of_life(base: &Base, life: Life) -> Vec<Stretch> {
    let Base::Seen(point) = base else {
        return vec![Stretch::whole(life)];
    };
    let (own, other) = (point.life.place, life.place);
    if other.home == own.home && other.timeline <= own.timeline {
        since(point, life)
    } else if other < own {
        Vec::new()
    } else {
        vec![Stretch::whole(life)]
    }
}

/// What was in flight at a point, and what had not begun.
fn since(point: &Point, life: Life) -> Vec<Stretch> {
    let mut parts = Vec::new();
    let in_flight = point.snapshot.in_flight();
    if let Some(first) = in_flight.first() {
        parts.push(Stretch {
            from: *first,
            until: point.snapshot.xmax(),
            only: Some(in_flight.into()),
            ..Stretch::whole(life)
        });
    }
    parts.push(Stretch {
        from: point.snapshot.xmax(),
        ..Stretch::whole(life)
    });
    parts
}

/// The order in which lives are read.
fn order(life: Life) -> (Place, i32) {
    (life.place, life.number)
}

/// What is left of a stretch behind an event: the rest of the event's transaction, and the
/// transactions after it.
fn rest(stretch: Stretch, life: Life, after: &Position) -> Vec<Stretch> {
    match order(stretch.life).cmp(&order(life)) {
        std::cmp::Ordering::Less => Vec::new(),
        std::cmp::Ordering::Greater => vec![stretch],
        std::cmp::Ordering::Equal if after.xact < stretch.from => vec![stretch],
        std::cmp::Ordering::Equal => {
            let until = stretch.until;
            let of_transaction = Stretch {
                from: after.xact,
                after: after.event_id,
                until: until.min(after.xact.saturating_add(1)),
                ..stretch.clone()
            };
            let later = Stretch {
                from: after.xact.saturating_add(1),
                ..stretch
            };
            vec![of_transaction, later]
        }
    }
}
