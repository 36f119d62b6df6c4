//! Removing single rows from a partition, in bounded batches.

use super::expiry::{Exam, Leaving};
use super::{hold, ledger};
use crate::db::{self, Mode};
use crate::error::Error;
use crate::record::guard::{Change, through_door};
use pgrx::pg_sys;

/// Pages of the table that one transaction goes through: at most some ten thousand rows.
const PAGES: i64 = 500;

/// A removal that is under way.
pub struct Sweep {
    /// The rules that it follows; when they change it is begun anew.
    pub digest: String,
    pub partition: String,
    relation: pg_sys::Oid,
    table: String,
    leaving: Leaving,
    next_page: i64,
    removed: u64,
    /// Whether something would go but for a hold.
    pub is_held: bool,
}

impl Sweep {
    pub fn new(
        digest: &str,
        partition: &str,
        relation: pg_sys::Oid,
        exam: Exam,
    ) -> Result<Self, Error> {
        Ok(Self {
            digest: digest.to_owned(),
            partition: partition.to_owned(),
            relation,
            table: db::qualified_name(relation).ok_or(Error::Internal { place: "partition" })?,
            is_held: exam.share.held > 0,
            leaving: exam.leaving,
            next_page: 0,
            removed: 0,
        })
    }

    /// How many rows the batches so far have removed.
    pub fn removed(&self) -> u64 {
        self.removed
    }

    /// Removes the next batch, of which nothing is held; how many rows all batches have removed if
    /// it was the last.
    pub fn step(&mut self) -> Result<Option<u64>, Error> {
        hold::lock()?;
        let until = self.next_page.saturating_add(PAGES);
        let sql = format!(
            "DELETE FROM ONLY {} e WHERE e.ctid >= '({},0)'::tid AND e.ctid < '({until},0)'::tid AND {}",
            self.table,
            self.next_page,
            Leaving::goes()
        );
        let removed = through_door(self.relation, Change::Delete, || {
            db::run(&sql, &self.leaving.parameters()?)
        })?;
        if removed > 0 {
            ledger::subtract_rows(&self.partition, removed)?;
            self.removed += removed;
        }
        self.next_page = until;
        let pages: i64 = db::value(
            Mode::ReadLatest,
            "SELECT pg_relation_size($1) / current_setting('block_size')::bigint",
            &[(
                pg_sys::REGCLASSOID,
                Some(pg_sys::Datum::from(self.relation)),
            )],
        )?
        .unwrap_or_default();
        Ok((until >= pages).then_some(self.removed))
    }
}
