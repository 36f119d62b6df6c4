//! What a backend has used, read by the backend itself.

use crate::Outcome;
use activity_log_integration::Session;
use postgres::Statement;
use std::time::{Duration, Instant};

/// What a piece of work took.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Time of the backend on a CPU, in user and in system mode.
    pub cpu: Duration,
    /// As the client saw it.
    pub elapsed: Duration,
    /// Bytes that the whole server has put into its write-ahead log.
    pub wal: u64,
    /// Bytes by which the table and its indexes have grown.
    pub disk: u64,
}

/// A prepared reading of the meters.
pub struct Meter {
    counters: Statement,
    size: Option<Statement>,
}

struct Reading {
    cpu_nanos: i64,
    wal: i64,
}

impl Meter {
    /// Prepares to measure in this session. `table` is the partitioned table that grows.
    pub fn new(session: &mut Session, table: Option<&str>) -> Outcome<Self> {
        // The scheduler counts nanoseconds; utime and stime of /proc/self/stat count hundredths
        // of a second.
        let counters = session.prepare(
            "SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint,
                    (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint",
        )?;
        let size = table
            .map(|table| {
                session.prepare(&format!(
                    "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('{table}')"
                ))
            })
            .transpose()?;
        Ok(Self { counters, size })
    }

    /// Runs a piece of work and says what it took.
    pub fn measure(
        &self,
        session: &mut Session,
        work: impl FnOnce(&mut Session) -> Outcome<()>,
    ) -> Outcome<Usage> {
        let size = self.size(session)?;
        let before = self.read(session)?;
        let started = Instant::now();
        work(session)?;
        let elapsed = started.elapsed();
        let after = self.read(session)?;
        let grown = self.size(session)?.saturating_sub(size);
        Ok(Usage {
            cpu: Duration::from_nanos(after.cpu_nanos.abs_diff(before.cpu_nanos)),
            elapsed,
            wal: after.wal.abs_diff(before.wal),
            disk: grown,
        })
    }

    fn read(&self, session: &mut Session) -> Outcome<Reading> {
        let row = session.query_one(&self.counters, &[])?;
        Ok(Reading {
            cpu_nanos: row.get(0),
            wal: row.get(1),
        })
    }

    fn size(&self, session: &mut Session) -> Outcome<u64> {
        let Some(statement) = &self.size else {
            return Ok(0);
        };
        let bytes: i64 = session.query_one(statement, &[])?.get(0);
        Ok(bytes.unsigned_abs())
    }
}
