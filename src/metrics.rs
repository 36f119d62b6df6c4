//! The figures of this database: counters that all sessions add to, and gauges of the worker.
//!
//! Without preloading each session counts for itself, and the functions show its own figures.

#![allow(unsafe_code)]

use crate::db::{self, Mode};
use crate::error::Error;
use crate::shared::{self, COUNT, Database, EVENTS, SOURCES, STATUSES};
use crate::value::JsonbOut;
use crate::{clock, home};
use activity_log_core::metrics::{Kind, Metric, Sample, exposition};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Adds to a figure of this database at once, whatever becomes of the transaction.
pub use crate::shared::{Counter, add};

/// The figure that an error of recording counts in.
pub fn reason(error: &Error) -> Counter {
    match error {
        Error::NotSetUp => Counter::RejectedNotSetUp,
        Error::NoPartition => Counter::RejectedNoPartition,
        Error::Missing { .. } => Counter::RejectedMissingArgument,
        Error::NoTenant | Error::NoRowTenant => Counter::RejectedNoTenant,
        Error::Invalid { .. } => Counter::RejectedInvalidValue,
        Error::TooLarge { .. } | Error::TooLargeForQueue { .. } => Counter::RejectedTooLarge,
        Error::UnknownAction { .. } => Counter::RejectedUnknownAction,
        Error::RetiredAction { .. } => Counter::RejectedRetiredAction,
        Error::SchemaMismatch { .. } => Counter::RejectedSchema,
        Error::Denied { .. } => Counter::RejectedDenied,
        Error::Batch { problems, .. } => problems
            .first()
            .map_or(Counter::RejectedOther, |(_, error)| reason(error)),
        _ => Counter::RejectedOther,
    }
}

/// The name of an error's reason, as the metric and the event about it have it.
pub fn reason_name(error: &Error) -> &'static str {
    let counter = reason(error);
    REJECTIONS
        .iter()
        .find(|(known, _)| *known == counter)
        .map_or("other", |(_, name)| name)
}

const REJECTIONS: [(Counter, &str); 12] = [
    (Counter::RejectedNotSetUp, "not_set_up"),
    (Counter::RejectedNoPartition, "no_partition"),
    (Counter::RejectedMissingArgument, "missing_argument"),
    (Counter::RejectedNoTenant, "no_tenant"),
    (Counter::RejectedInvalidValue, "invalid_value"),
    (Counter::RejectedTooLarge, "too_large"),
    (Counter::RejectedUnknownAction, "unknown_action"),
    (Counter::RejectedRetiredAction, "retired_action"),
    (Counter::RejectedSchema, "schema"),
    (Counter::RejectedDenied, "denied"),
    (Counter::RejectedByServer, "server"),
    (Counter::RejectedOther, "other"),
];
const DOORBELLS: [(Counter, &str); 2] = [
    (Counter::DoorbellsByWorker, "worker"),
    (Counter::DoorbellsByWriter, "commit"),
];
const DROPPED: [(Counter, &str); 5] = [
    (Counter::DroppedQueueFull, "queue_full"),
    (Counter::DroppedRateLimit, "rate_limit"),
    (Counter::DroppedTooLarge, "too_large"),
    (Counter::DroppedNoWorker, "no_worker"),
    (Counter::DroppedByError, "error"),
];

/// A counter, or several that a label tells apart.
struct Family {
    name: &'static str,
    help: &'static str,
    label: Option<&'static str>,
    counters: &'static [(Counter, &'static str)],
}

const fn one(
    name: &'static str,
    help: &'static str,
    counter: &'static [(Counter, &'static str)],
) -> Family {
    Family {
        name,
        help,
        label: None,
        counters: counter,
    }
}

const FAMILIES: [Family; 15] = [
    one(
        "activity_log_event_bytes_total",
        "Bytes of texts and metadata of committed events.",
        &[(Counter::Bytes, "")],
    ),
    Family {
        name: "activity_log_rejections_total",
        help: "Events that were refused, by reason.",
        label: Some("reason"),
        counters: &REJECTIONS,
    },
    one(
        "activity_log_lost_events_total",
        "Events lost because activity.on_error is warn.",
        &[(Counter::Lost, "")],
    ),
    one(
        "activity_log_access_denied_total",
        "Accesses to a tenant that were refused.",
        &[(Counter::Denied, "")],
    ),
    Family {
        name: "activity_log_doorbells_total",
        help: "Notifications of tenants with new events, by who sent them.",
        label: Some("sender"),
        counters: &DOORBELLS,
    },
    one(
        "activity_log_durable_events_total",
        "Events that the worker wrote for others.",
        &[(Counter::Durable, "")],
    ),
    Family {
        name: "activity_log_durable_dropped_total",
        help: "Events for the worker that were not written, by reason.",
        label: Some("reason"),
        counters: &DROPPED,
    },
    one(
        "activity_log_durable_coalesced_total",
        "Events for the worker that were added up into a like one.",
        &[(Counter::Coalesced, "")],
    ),
    one(
        "activity_log_worker_ticks_total",
        "Rounds of the worker.",
        &[(Counter::WorkerTicks, "")],
    ),
    one(
        "activity_log_worker_errors_total",
        "Errors of the worker.",
        &[(Counter::WorkerErrors, "")],
    ),
    one(
        "activity_log_worker_starts_total",
        "Starts of the worker.",
        &[(Counter::WorkerStarts, "")],
    ),
    one(
        "activity_log_capture_missing_tenant_total",
        "Captured rows without a tenant.",
        &[(Counter::CaptureMissingTenant, "")],
    ),
    one(
        "activity_log_capture_omitted_values_total",
        "Captured values that were left out because of their size.",
        &[(Counter::CaptureOmittedValues, "")],
    ),
    one(
        "activity_log_capture_summaries_total",
        "Events that each stand for the many rows of a statement.",
        &[(Counter::CaptureSummaries, "")],
    ),
    one(
        "activity_log_capture_failed_rules_total",
        "Rules of on_change() that could not be applied to a row.",
        &[(Counter::CaptureFailedRules, "")],
    ),
];

/// All metrics of this database.
fn collect() -> Result<Vec<Metric>, Error> {
    let name = db::value::<String>(Mode::Read, "SELECT current_database()::text", &[])?;
    let name = name.unwrap_or_default();
    let database = shared::database();
    let figures = database.map_or_else(shared::local, |database| database.counters.read());
    let mut metrics = vec![events(&figures, &name)];
    metrics.extend(FAMILIES.iter().map(|family| family.metric(&figures, &name)));
    metrics.extend(
        gauges(database)
            .into_iter()
            .map(|(metric, help, value)| Metric {
                name: metric,
                kind: Kind::Gauge,
                help,
                samples: vec![sample(&name, &[], value)],
            }),
    );
    Ok(metrics)
}

fn sample(database: &str, labels: &[(&'static str, &str)], value: f64) -> Sample {
    let own = [("database", database)];
    let labels = own.iter().chain(labels);
    Sample {
        labels: labels
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        value,
    }
}

fn events(figures: &[u64; COUNT], database: &str) -> Metric {
    let samples = figures
        .iter()
        .take(EVENTS)
        .enumerate()
        .map(|(index, figure)| {
            let source = SOURCES[index / STATUSES.len()];
            let status = STATUSES[index % STATUSES.len()].name();
            sample(
                database,
                &[("source", source), ("status", status)],
                *figure as f64,
            )
        });
    Metric {
        name: "activity_log_events_total",
        kind: Kind::Counter,
        help: "Committed events, by source and status.",
        samples: samples.collect(),
    }
}

impl Family {
    fn metric(&self, figures: &[u64; COUNT], database: &str) -> Metric {
        let samples = self.counters.iter().map(|(counter, value)| {
            let label = self.label.map(|label| (label, *value));
            sample(
                database,
                label.as_slice(),
                figures[*counter as usize] as f64,
            )
        });
        Metric {
            name: self.name,
            kind: Kind::Counter,
            help: self.help,
            samples: samples.collect(),
        }
    }
}

type Gauge = (&'static str, &'static str, f64);

fn gauges(database: Option<&Database>) -> Vec<Gauge> {
    let preloaded = shared::get();
    let mut gauges: Vec<Gauge> = vec![(
        "activity_log_preloaded",
        "Whether the library is preloaded; without it these are the figures of one session.",
        f64::from(u8::from(preloaded.is_some())),
    )];
    let (Some(shared), Some(database)) = (preloaded, database) else {
        return gauges;
    };
    let seconds = |at: i64| (at.saturating_add(clock::SERVER_EPOCH)) as f64 / 1e6;
    let lag = database
        .news_since()
        .map_or(0.0, |since| (clock::now() - since).max(0) as f64 / 1e6);
    gauges.push((
        "activity_log_worker_up",
        "Whether the worker of this database runs.",
        f64::from(u8::from(database.worker() != 0)),
    ));
    gauges.push((
        "activity_log_stream_lag_seconds",
        "Age of the oldest commit that nobody was notified of.",
        lag,
    ));
    gauges.push((
        "activity_log_durable_queue_events",
        "Events that wait for the worker.",
        shared.queue.depth(home::database_oid().to_u32()) as f64,
    ));
    if database.last_tick() != 0 {
        gauges.push((
            "activity_log_worker_last_tick_timestamp_seconds",
            "When the worker's last round began, in seconds since 1970.",
            seconds(database.last_tick()),
        ));
    }
    gauges
}

/// The figures of this database, one row each.
#[expect(
    clippy::type_complexity,
    reason = "pgrx reads the columns from the type"
)]
#[pg_extern(stable, parallel_unsafe)]
fn metrics() -> Result<
    TableIterator<
        'static,
        (
            name!(name, String),
            name!(kind, String),
            name!(help, String),
            name!(labels, JsonbOut),
            name!(value, f64),
        ),
    >,
    ErrorReport,
> {
    let mut rows = Vec::new();
    for metric in collect()? {
        for sample in metric.samples {
            let labels = sample
                .labels
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()));
            rows.push((
                metric.name.to_owned(),
                metric.kind.name().to_owned(),
                metric.help.to_owned(),
                JsonbOut::from_json(&serde_json::Value::Object(labels.collect()))?,
                sample.value,
            ));
        }
    }
    Ok(TableIterator::new(rows))
}

/// The same as text that Prometheus scrapes.
#[pg_extern(stable, parallel_unsafe)]
fn prometheus() -> Result<String, ErrorReport> {
    Ok(exposition(&collect()?))
}
