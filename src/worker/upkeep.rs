//! What the worker looks after by itself: whether the log is here and at home, prepared
//! transactions, and windows whose time is over.

use super::process::transaction;
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::record::durable;
use crate::setup;
use crate::shared::{self, Database, Outcome, Ring, Shared};
use pgrx::{Uuid, pg_sys};
use std::sync::atomic::Ordering;

/// Whether there is something to do here. `Unknown` where even that could not be found out.
pub fn state() -> Outcome {
    let found = transaction(|| {
        db::accept_changes();
        // SAFETY: a look-up in the catalog.
        let extension = unsafe { pg_sys::get_extension_oid(c"activity_log".as_ptr(), true) };
        if extension == pg_sys::InvalidOid || db::find(Relation::Events).is_none() {
            return Ok(Outcome::NotSetUp);
        }
        Ok(match setup::at_home()? {
            None => Outcome::NotSetUp,
            Some(true) => Outcome::Running,
            Some(false) => Outcome::NotHome,
        })
    });
    found.unwrap_or_else(|failed| {
        failed.log("the log could not be looked at");
        Outcome::Unknown
    })
}

/// What has to be remembered from look to look.
#[derive(Default)]
pub struct Upkeep {
    /// Transactions that were prepared before this server started, of which nobody noted anything.
    unnoted: Vec<u32>,
}

impl Upkeep {
    /// Finds prepared transactions that nobody has noted: those from before the server started.
    pub fn find_prepared(&mut self, shared: &Shared, database: &Database) {
        let prepared = transaction(|| {
            db::query(
                Mode::Read,
                "SELECT transaction FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()",
                &[],
                |row| row.must::<pg_sys::TransactionId>(1, "pg_prepared_xacts"),
            )
        });
        let prepared = prepared.unwrap_or_else(|failed| {
            failed.log("prepared transactions could not be read");
            Vec::new()
        });
        let known = self.unnoted.len();
        for id in prepared.into_iter().map(pg_sys::TransactionId::into_inner) {
            if !shared.prepared.knows(database.oid(), id) && !self.unnoted.contains(&id) {
                self.unnoted.push(id);
            }
        }
        let found = self.unnoted.len() - known;
        database.prepared.fetch_add(found as u32, Ordering::AcqRel);
        shared.prepared.expect(found);
    }

    /// Who has news from prepared transactions that were committed.
    pub fn ended(&mut self, shared: &Shared, database: &Database) -> Ring {
        let mut ring = Ring::default();
        if database.unnoted.swap(false, Ordering::AcqRel) {
            self.find_prepared(shared, database);
        }
        if database.prepared.load(Ordering::Acquire) == 0 {
            return ring;
        }
        let fates = transaction(|| Ok(shared.prepared.take_ended(database.oid())));
        let fates = fates.unwrap_or_else(|failed| {
            failed.log("prepared transactions could not be looked at");
            Vec::new()
        });
        let mut ended = fates.len();
        for fate in fates.into_iter().filter(|fate| fate.is_committed) {
            shared::count(Some(database), &fate.counts);
            ring.absorb(fate.ring);
        }
        let (running, gone): (Vec<u32>, Vec<u32>) =
            self.unnoted.drain(..).partition(|id| is_running(*id));
        self.unnoted = running;
        ended += gone.len();
        shared.prepared.forget_expected(gone.len());
        for id in gone {
            ring.absorb(tenants_of(id));
        }
        database.prepared.fetch_sub(ended as u32, Ordering::AcqRel);
        ring
    }
}

/// Writes how often events have come again that were added up.
pub fn close_windows() -> Result<(), Error> {
    let (Some(shared), Some(database)) = (shared::get(), shared::database()) else {
        return Ok(());
    };
    for (parcel, repeats) in shared.windows.close_old(database.oid()) {
        let written = transaction(|| durable::write_repeated(&parcel, repeats));
        if let Err(failed) = written {
            failed.log("repeated events could not be written");
        }
    }
    Ok(())
}

fn is_running(transaction: u32) -> bool {
    // SAFETY: reads the list of running transactions, which prepared ones are in.
    unsafe { pg_sys::TransactionIdIsInProgress(pg_sys::TransactionId::from(transaction)) }
}

/// The tenants that a transaction has recorded for. Nobody noted them, so its events are looked
/// for, which takes a moment; this happens only to transactions that outlived a restart.
fn tenants_of(id: u32) -> Ring {
    let found = transaction(|| {
        db::query(
            Mode::Read,
            "SELECT DISTINCT tenant_id FROM activity.events WHERE xact::xid = $1",
            &[(
                pg_sys::XIDOID,
                Some(pg_sys::Datum::from(pg_sys::TransactionId::from(id))),
            )],
            |row| row.must::<Uuid>(1, "events").map(|id| *id.as_bytes()),
        )
    });
    match found {
        Ok(tenants) => Ring {
            tenants,
            everybody: false,
        },
        Err(failed) => {
            failed.log("the events of a prepared transaction could not be found");
            Ring {
                tenants: Vec::new(),
                everybody: true,
            }
        }
    }
}
