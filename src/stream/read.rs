//! One page of the stream.

use super::everyone::EveryoneWalk;
use super::now::{self, Now, is_ancestor};
use super::retained;
use super::scan::IndexScan;
use super::tenant::{TenantWalk, lives_present};
use super::unseen::stretches;
use crate::access::{self, Purpose};
use crate::error::{self, Error};
use crate::home::{self, Lives};
use crate::read::EventRow;
use activity_log_core::registry::action::ActionPattern;
use activity_log_core::stream::{Base, Cursor, CursorWriter, Page, Point, Position, Scope};
use std::ops::ControlFlow;

/// What is asked for, checked.
pub(super) struct Request<'r> {
    pub(super) scope: Scope,
    pub(super) cursor: Cursor,
    pub(super) actions: &'r [ActionPattern],
    pub(super) page_size: usize,
}

/// The events of a page, each with its cursor, and the bookmark behind them.
pub(super) struct Batch {
    pub(super) rows: Vec<(EventRow, String)>,
    /// Where to go on when there is nothing more for now.
    pub(super) bookmark: Option<String>,
}

/// Rows that one call looks at before it returns, so that a filter that fits little ends as well.
const MOST_EXAMINED: usize = 200_000;

/// Reads the page that follows a cursor.
pub(super) fn read(mut request: Request<'_>) -> Result<Batch, Error> {
    let lives = home::lives()?;
    let now = Now::read(&lives);
    let log_id = home::log_id()?;
    let mut rows = Vec::new();
    loop {
        let Some(target) = target(&request.cursor, &now, &lives)? else {
            let bookmark = Some(request.cursor.encode(&log_id, request.scope));
            return Ok(Batch { rows, bookmark });
        };
        retained::check(&request.cursor)?;
        tell_of_copy(&request.cursor.base, &target);
        let writer = CursorWriter::new(&request.cursor.base, Some(&target), &log_id, request.scope);
        let end = collect(&request, &target, &lives, &writer, &mut rows)?;
        now::make_durable();
        let bookmark = match end {
            End::Full => None,
            End::Tired(_) if !rows.is_empty() => None,
            End::Tired(position) => Some(writer.at(&position)),
            End::Drained => {
                let was_in_midst = request.cursor.page.is_some();
                request.cursor = drained(&request.cursor.base, target);
                if was_in_midst {
                    // More may have become visible since those pages were begun.
                    continue;
                }
                Some(request.cursor.encode(&log_id, request.scope))
            }
        };
        return Ok(Batch { rows, bookmark });
    }
}

/// Adds the events up to the target, as far as the page has room for them.
fn collect(
    request: &Request<'_>,
    target: &Point,
    lives: &Lives,
    writer: &CursorWriter,
    rows: &mut Vec<(EventRow, String)>,
) -> Result<End, Error> {
    walk(request, target, lives, |scan, position| {
        rows.push((scan.row()?, writer.at(&position)));
        Ok(if rows.len() == request.page_size {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })
}

/// Says once, where a reader comes from another home of the log, what can't be here.
fn tell_of_copy(base: &Base, target: &Point) {
    if matches!(base, Base::Seen(point) if point.life.place.home != target.life.place.home) {
        error::notice(
            "this log is a copy of the one that the cursor comes from".into(),
            "What was recorded there after the copy was made is not here.",
        );
    }
}

/// How many events there are to read, up to a limit, and when the oldest of them was recorded.
pub(super) fn count(request: &Request<'_>, limit: i64) -> Result<(i64, Option<i64>), Error> {
    let lives = home::lives()?;
    let now = Now::read(&lives);
    // In the midst of pages, what has become visible before their place is not counted yet.
    let Some(_) = target(&request.cursor, &now, &lives)? else {
        return Ok((0, None));
    };
    retained::check(&request.cursor)?;
    let target = now.point(&request.cursor.base, &lives)?;
    let (mut count, mut oldest) = (0, None);
    walk(request, &target, &lives, |scan, _| {
        count += 1;
        let recorded_at = scan.recorded_at()?;
        oldest = Some(oldest.map_or(recorded_at, |oldest: i64| oldest.min(recorded_at)));
        Ok(if count < limit {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    })?;
    Ok((count, oldest))
}

/// Where a reader stands who has come to the end of its pages.
fn drained(base: &Base, target: Point) -> Cursor {
    let seen = match base {
        Base::Seen(point) => point.advanced_to(&target),
        Base::Beginning { .. } => target,
    };
    Cursor {
        base: Base::Seen(seen),
        page: None,
    }
}

/// A cursor for what comes from now on, or for what was recorded from a time on.
pub(super) fn start(since: Option<i64>) -> Result<Cursor, Error> {
    let nothing = Base::Beginning { since };
    if since.is_some() {
        return Ok(Cursor {
            base: nothing,
            page: None,
        });
    }
    let lives = home::lives()?;
    let point = Now::read(&lives).point(&nothing, &lives)?;
    now::make_durable();
    Ok(drained(&nothing, point))
}

/// Where the pages of this cursor end; `None` if this server can't yet see all of it, so that
/// there is nothing new to read.
fn target(cursor: &Cursor, now: &Now, lives: &Lives) -> Result<Option<Point>, Error> {
    let points = [
        match &cursor.base {
            Base::Seen(point) => Some(point),
            Base::Beginning { .. } => None,
        },
        cursor.page.as_ref().map(|page| &page.target),
    ];
    for point in points.into_iter().flatten() {
        if is_ahead(point, now, lives)? {
            return Ok(None);
        }
    }
    if now.is_outlived {
        return Ok(None);
    }
    match &cursor.page {
        None => now.point(&cursor.base, lives).map(Some),
        Some(Page { target, .. }) => {
            let is_covered = target.life != now.life || now.snapshot.covers(&target.snapshot);
            Ok(is_covered.then(|| target.clone()))
        }
    }
}

/// Whether the server lags behind a point.
///
/// # Errors
/// If it will never come to it.
fn is_ahead(point: &Point, now: &Now, lives: &Lives) -> Result<bool, Error> {
    let (there, here) = (point.life.place, now.life.place);
    if !lives.knows(point.life) {
        return Err(Error::LostPlace {
            problem: "it comes from a life of the log that this copy does not know",
        });
    }
    if there > here && now.is_standby {
        return Ok(true);
    }
    let has_grown_apart = there.home == here.home
        && (there.timeline > here.timeline || !is_ancestor(there.timeline, here.timeline));
    if there > here || has_grown_apart {
        return Err(Error::LostPlace {
            problem: "it comes from a timeline that this server has not grown out of",
        });
    }
    if point.life == now.life && !now.is_standby && point.snapshot.xmax() > now.next {
        return Err(Error::LostPlace {
            problem: "it is ahead of this server, which must have been set back",
        });
    }
    Ok(false)
}

/// Why a walk has ended.
pub(super) enum End {
    /// The caller had enough.
    Full,
    /// So much was passed over that it had better go on in another call, behind this event.
    Tired(Position),
    /// There is nothing more.
    Drained,
}

/// Hands every event between the cursor and the target to `each`, in the order of the stream.
pub(super) fn walk(
    request: &Request<'_>,
    target: &Point,
    lives: &Lives,
    mut each: impl FnMut(&IndexScan, Position) -> Result<ControlFlow<()>, Error>,
) -> Result<End, Error> {
    let base = &request.cursor.base;
    let after = request.cursor.page.as_ref().map(|page| &page.after);
    let mut sieve = Sieve {
        request,
        examined: 0,
        each: &mut each,
    };
    match request.scope {
        Scope::Tenant(tenant_id) => {
            let since = since(base);
            let present = || lives_present(&tenant_id, since);
            let stretches = stretches(base, target, after, lives, present)?;
            let mut walk = TenantWalk::begin(tenant_id, &stretches, target, since)?;
            while let Some(scan) = walk.next()? {
                if let Some(end) = sieve.take(scan, true)? {
                    return Ok(end);
                }
            }
        }
        Scope::All | Scope::Any => {
            let mut walk = EveryoneWalk::begin(base, target, after, lives)?;
            while let Some((scan, is_wanted)) = walk.next()? {
                if let Some(end) = sieve.take(scan, is_wanted)? {
                    return Ok(end);
                }
            }
        }
    }
    Ok(End::Drained)
}

fn since(base: &Base) -> Option<i64> {
    match base {
        Base::Beginning { since } => *since,
        Base::Seen(_) => None,
    }
}

/// What lets through the events that were asked for.
struct Sieve<'s, F> {
    request: &'s Request<'s>,
    examined: usize,
    each: &'s mut F,
}

impl<F> Sieve<'_, F>
where
    F: FnMut(&IndexScan, Position) -> Result<ControlFlow<()>, Error>,
{
    fn take(&mut self, scan: &IndexScan, is_wanted: bool) -> Result<Option<End>, Error> {
        self.examined += 1;
        let is_wanted = is_wanted && self.fits(scan)?;
        if !is_wanted && self.examined < MOST_EXAMINED {
            return Ok(None);
        }
        let (life, xact, event_id) = scan.key()?;
        let position = Position {
            life,
            xact,
            event_id,
        };
        if is_wanted && (self.each)(scan, position)?.is_break() {
            return Ok(Some(End::Full));
        }
        let is_tired = self.examined >= MOST_EXAMINED;
        Ok(is_tired.then_some(End::Tired(position)))
    }

    fn fits(&self, scan: &IndexScan) -> Result<bool, Error> {
        if let Some(since) = since(&self.request.cursor.base)
            && scan.recorded_at()? < since
        {
            return Ok(false);
        }
        if !self.request.actions.is_empty() {
            let action = scan.action()?;
            if !self
                .request
                .actions
                .iter()
                .any(|wanted| wanted.matches(&action))
            {
                return Ok(false);
            }
        }
        match self.request.scope {
            Scope::Tenant(_) => Ok(true),
            Scope::All | Scope::Any => access::may_reach(&scan.tenant()?, Purpose::Read),
        }
    }
}
