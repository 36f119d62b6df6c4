//! What is counted. Each figure is an atomic in a stripe of its process, so that writers seldom
//! touch the same line of memory; without shared memory a process counts for itself.

use activity_log_core::record::{Source, Status};
use std::sync::atomic::{AtomicU64, Ordering};

/// A figure that only grows. Events by source and status stand before these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Bytes of the events written: texts and documents.
    Bytes = EVENTS,
    /// Events refused, by what was wrong.
    RejectedNotSetUp,
    RejectedNoPartition,
    RejectedMissingArgument,
    RejectedNoTenant,
    RejectedInvalidValue,
    RejectedTooLarge,
    RejectedUnknownAction,
    RejectedRetiredAction,
    RejectedSchema,
    RejectedDenied,
    RejectedByServer,
    RejectedOther,
    /// Events lost because `activity.on_error` is `warn`.
    Lost,
    /// Accesses refused.
    Denied,
    /// Doorbells by the worker, and by writing transactions.
    DoorbellsByWorker,
    DoorbellsByWriter,
    /// Events written by the worker for others.
    Durable,
    /// Events for the worker that were not written, by why.
    DroppedQueueFull,
    DroppedRateLimit,
    DroppedTooLarge,
    DroppedNoWorker,
    DroppedByError,
    /// Events for the worker that were added up into one.
    Coalesced,
    /// Rounds of the worker, its errors, and its starts.
    WorkerTicks,
    WorkerErrors,
    WorkerStarts,
    /// Captured rows without a tenant.
    CaptureMissingTenant,
    /// Captured values left out because of their size.
    CaptureOmittedValues,
    /// Events that each stand for the many rows of a statement.
    CaptureSummaries,
    /// Rules that could not be applied to a captured row.
    CaptureFailedRules,
}

/// Figures of events: source by status.
pub const EVENTS: usize = 16;
/// How many figures there are.
pub const COUNT: usize = Counter::CaptureFailedRules as usize + 1;
/// The figures that count at commit only: events and their bytes.
pub const AT_COMMIT: usize = EVENTS + 1;

pub const SOURCES: [&str; 4] = ["api", "capture", "import", "system"];
pub const STATUSES: [Status; 4] = [
    Status::Success,
    Status::Failure,
    Status::Error,
    Status::Denied,
];

/// Where events of this source and status are counted.
pub fn event_index(source: Source, status: Status) -> usize {
    let source = SOURCES.iter().position(|name| *name == source.name());
    let status = STATUSES.iter().position(|known| *known == status);
    source.unwrap_or(0) * STATUSES.len() + status.unwrap_or(0)
}

const STRIPES: usize = 8;

#[repr(C, align(64))]
struct Stripe([AtomicU64; COUNT]);

/// The figures of one database.
#[repr(C)]
pub struct Counters([Stripe; STRIPES]);

impl Counters {
    /// Adds to a figure.
    pub fn add(&self, index: usize, count: u64, process: i32) {
        let stripe = &self.0[process.unsigned_abs() as usize % STRIPES];
        if let Some(figure) = stripe.0.get(index) {
            figure.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// All figures as they are.
    pub fn read(&self) -> [u64; COUNT] {
        std::array::from_fn(|index| {
            self.0
                .iter()
                .map(|stripe| stripe.0[index].load(Ordering::Relaxed))
                .sum()
        })
    }

    /// Begins anew, for another database.
    pub fn clear(&self) {
        let figures = self.0.iter().flat_map(|stripe| &stripe.0);
        figures.for_each(|figure| figure.store(0, Ordering::Relaxed));
    }
}

static LOCAL: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];

/// Adds to a figure of this process, where there is no shared memory.
pub fn add_locally(index: usize, count: u64) {
    if let Some(figure) = LOCAL.get(index) {
        figure.fetch_add(count, Ordering::Relaxed);
    }
}

/// The figures of this process.
pub fn local() -> [u64; COUNT] {
    std::array::from_fn(|index| LOCAL[index].load(Ordering::Relaxed))
}
