//! Which log this is, and where it is at home: the cluster and the database that `setup()` or
//! `migrate()` ran in. Anywhere else it is a copy.

#![allow(unsafe_code)]

use crate::db::{self, Mode, Relation};
use crate::error::Error;
use activity_log_core::stream::life;
use activity_log_core::stream::{Life, Place};
use pgrx::{Uuid, pg_sys};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

thread_local! {
    static LIVES: RefCell<Option<(u64, Rc<Lives>)>> = const { RefCell::new(None) };
    static LOG_ID: Cell<(u64, [u8; 16])> = const { Cell::new((0, [0; 16])) };
}

/// The identity of this log, which dump and restore keep.
pub fn log_id() -> Result<[u8; 16], Error> {
    db::oid(Relation::Log)?;
    let at = db::changes(Relation::Log);
    let (seen, log_id) = LOG_ID.get();
    if seen == at {
        return Ok(log_id);
    }
    let log_id = db::value::<Uuid>(Mode::ReadLatest, "SELECT log_id FROM activity.log", &[])?
        .ok_or(Error::NotSetUp)?;
    LOG_ID.set((at, *log_id.as_bytes()));
    Ok(*log_id.as_bytes())
}

/// The number of the life of the database that is written now.
pub fn incarnation() -> Result<i32, Error> {
    Ok(lives()?.current(timeline()).number)
}

/// Writes down the life that the database is in, under the number that sessions work out for it.
pub fn persist_incarnation() -> Result<(), Error> {
    let life = lives()?.current(timeline());
    db::run(
        "INSERT INTO activity.incarnations (gen, home, timeline, system_identifier, database_oid) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (home, timeline) DO NOTHING",
        &[
            db::int(life.number),
            db::bigint(i64::from(life.place.home)),
            db::bigint(i64::from(life.place.timeline)),
            db::text(Some(&system_identifier())),
            (pg_sys::OIDOID, Some(pg_sys::Datum::from(database_oid()))),
        ],
    )
    .map(|_| ())
}

/// Writes the present life down if that has not been done. Looking first spares every session the
/// notice that the table has changed.
pub fn ensure_incarnation() -> Result<(), Error> {
    if lives()?.is_written(timeline()) {
        Ok(())
    } else {
        persist_incarnation()
    }
}

/// Timeline and number of a life.
type Written = (u32, i32);

/// A home of the log, and the lives in it that are written down.
struct Home {
    number: u32,
    system_identifier: String,
    database_oid: pg_sys::Oid,
    written: Vec<Written>,
}

impl Home {
    fn life(&self, timeline: u32) -> Life {
        let place = Place {
            home: self.number,
            timeline,
        };
        self.written
            .iter()
            .find(|(written, _)| *written == timeline)
            .map_or_else(
                || Life::derived(place, &self.system_identifier, self.database_oid.to_u32()),
                |(_, number)| Life {
                    place,
                    number: *number,
                },
            )
    }

    fn is_here(&self) -> bool {
        self.system_identifier == system_identifier() && self.database_oid == database_oid()
    }

    /// The first timeline that is written down, or `otherwise`.
    fn first_timeline(&self, otherwise: u32) -> u32 {
        self.written
            .first()
            .map_or(otherwise, |(timeline, _)| *timeline)
    }

    fn last_timeline(&self) -> u32 {
        self.written.last().map_or(0, |(timeline, _)| *timeline)
    }
}

/// The lives of this log: those that are written down, and those that follow from them.
pub struct Lives {
    /// In their order.
    earlier: Vec<Home>,
    present: Home,
}

/// How many timelines after the last one that is known are recognized.
const UNWRITTEN: u32 = 64;

impl Lives {
    fn read() -> Result<Self, Error> {
        let mut homes: Vec<Home> = Vec::new();
        for (home, life) in written_lives()? {
            match homes.last_mut().filter(|last| last.number == home.number) {
                Some(last) => last.written.push(life),
                None => homes.push(Home {
                    written: vec![life],
                    ..home
                }),
            }
        }
        let present = homes.pop_if(|home| home.is_here()).unwrap_or_else(|| Home {
            number: homes.last().map_or(1, |home| home.number.saturating_add(1)),
            system_identifier: system_identifier(),
            database_oid: database_oid(),
            written: Vec::new(),
        });
        Ok(Self {
            earlier: homes,
            present,
        })
    }

    /// The life of the present home on a timeline of the server.
    pub fn current(&self, timeline: u32) -> Life {
        let life = self.present.life(timeline);
        let is_first = self.earlier.is_empty() && self.present.written.is_empty();
        Life {
            number: if is_first { life::FIRST } else { life.number },
            ..life
        }
    }

    /// Whether no life of the present home came before this timeline.
    pub fn is_first(&self, timeline: u32) -> bool {
        self.present.first_timeline(timeline) >= timeline
    }

    /// Whether the present home's life on a timeline is written down.
    fn is_written(&self, timeline: u32) -> bool {
        self.present
            .written
            .iter()
            .any(|(written, _)| *written == timeline)
    }

    /// Whether a life is one of this log's, and not one of another copy.
    pub fn knows(&self, life: Life) -> bool {
        self.homes()
            .filter(|home| home.number == life.place.home)
            .any(|home| home.life(life.place.timeline) == life)
    }

    /// The lives of the present home before a timeline, oldest first.
    pub fn earlier_of_present_home(&self, timeline: u32) -> Vec<Life> {
        (self.present.first_timeline(timeline)..timeline)
            .map(|timeline| self.current(timeline))
            .collect()
    }

    /// Where the life of that number stands. One that nobody knows was a copy's that was itself
    /// copied before `migrate()` had written it down: just before the present home.
    pub fn place(&self, number: i32, timeline: u32) -> Place {
        self.homes()
            .flat_map(|home| {
                let last = home.last_timeline().max(timeline).saturating_add(UNWRITTEN);
                (home.first_timeline(1)..=last).map(|timeline| home.life(timeline))
            })
            .find(|life| life.number == number)
            .map_or(self.before_present_home(), |life| life.place)
    }

    fn before_present_home(&self) -> Place {
        Place {
            home: self.present.number - 1,
            timeline: u32::MAX,
        }
    }

    fn homes(&self) -> impl Iterator<Item = &Home> {
        self.earlier.iter().chain(std::iter::once(&self.present))
    }
}

/// The lives that are written down, in their order, each with its home.
fn written_lives() -> Result<Vec<(Home, Written)>, Error> {
    const PLACE: &str = "incarnations";
    db::query(
        Mode::ReadLatest,
        "SELECT home, timeline, gen, system_identifier, database_oid \
         FROM activity.incarnations ORDER BY home, timeline",
        &[],
        |row| {
            let home = Home {
                number: row.must::<i32>(1, PLACE)?.unsigned_abs(),
                system_identifier: row.must(4, PLACE)?,
                database_oid: row.must(5, PLACE)?,
                written: Vec::new(),
            };
            Ok((
                home,
                (row.must::<i64>(2, PLACE)? as u32, row.must(3, PLACE)?),
            ))
        },
    )
}

/// The lives of this log.
pub fn lives() -> Result<Rc<Lives>, Error> {
    db::oid(Relation::Incarnations)?;
    let at = db::changes(Relation::Incarnations);
    let kept = LIVES.with_borrow(|kept| {
        kept.as_ref()
            .filter(|(seen, _)| *seen == at)
            .map(|(_, lives)| Rc::clone(lives))
    });
    if let Some(lives) = kept {
        return Ok(lives);
    }
    let lives = Rc::new(Lives::read()?);
    LIVES.set(Some((at, Rc::clone(&lives))));
    Ok(lives)
}

/// The timeline that the server writes to or, on a standby, replays.
pub fn timeline_of_server() -> u32 {
    // SAFETY: both read variables of the server.
    unsafe {
        if pg_sys::RecoveryInProgress() {
            let mut replayed = 0;
            pg_sys::GetXLogReplayRecPtr(&raw mut replayed);
            replayed
        } else {
            timeline()
        }
    }
}

pub fn system_identifier() -> String {
    // SAFETY: reads a constant of the cluster.
    unsafe { pg_sys::GetSystemIdentifier() }.to_string()
}

pub fn database_oid() -> pg_sys::Oid {
    // SAFETY: a constant of the session.
    unsafe { pg_sys::MyDatabaseId }
}

/// The timeline that is written to. Called by writers only, so recovery is over.
fn timeline() -> u32 {
    // SAFETY: a session that writes runs after recovery, when the timeline no longer changes.
    #[cfg(not(feature = "pg14"))]
    unsafe {
        pg_sys::GetWALInsertionTimeLine()
    }
    // SAFETY: as above; this server keeps the timeline in a variable of each process.
    #[cfg(feature = "pg14")]
    unsafe {
        pg_sys::ThisTimeLineID
    }
}
