//! What an event and a captured change cost: CPU time of the backend, bytes of WAL and of disk, as ratios to plain SQL
//! in interleaved rounds of one run. `tests/bench/run` starts it.

mod capture;
mod event;
mod meter;
mod notification;
mod pages;
mod recording;
mod report;
mod retention;
mod statistics;

use activity_log_integration::{Cluster, Options, Session};
use capture::{CaptureExtent, CaptureReport};
use event::Event;
use meter::{Meter, Usage};
use pages::Extent;
use recording::{Recorder, Work};
use report::{Environment, Report};
use std::collections::HashMap;
use std::process::ExitCode;

/// What a step gives, or why it could not be done.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What would disturb the measurement is off; the rest is as installed.
const SETTINGS: [(&str, &str); 7] = [
    ("shared_buffers", "512MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "1h"),
    ("full_page_writes", "off"),
    ("autovacuum", "off"),
    ("jit", "off"),
    ("activity.maintenance_interval", "0"),
];

/// One way of writing in one round.
#[derive(Clone, Copy)]
pub struct WorkSample {
    work: Work,
    round: usize,
    events: usize,
    usage: Usage,
}

/// How much is measured.
struct Plan {
    rounds: usize,
    events: usize,
    extent: Extent,
    capture: CaptureExtent,
    notification: notification::Extent,
    /// Events of the month that is removed.
    month: u64,
}

impl Plan {
    fn from_environment() -> Self {
        if std::env::var_os("QUICK").is_some_and(|quick| !quick.is_empty() && quick != "0") {
            let extent = Extent {
                events: 20_000,
                rounds: 2,
                pages: 10,
            };
            return Self {
                rounds: 2,
                events: recording::BATCH,
                extent,
                capture: CaptureExtent {
                    single_rounds: 2,
                    single_rows: 50,
                    bulk_rounds: 2,
                    bulk_rows: 1_000,
                },
                notification: notification::Extent {
                    rounds: 1,
                    seconds: 0.3,
                    listeners: 20,
                    deliveries: 20,
                },
                month: month().unwrap_or(20_000),
            };
        }
        let extent = Extent {
            events: 200_000,
            rounds: 20,
            pages: 100,
        };
        Self {
            rounds: 30,
            events: 2 * recording::BATCH,
            extent,
            capture: CaptureExtent {
                single_rounds: 20,
                single_rows: 1_000,
                bulk_rounds: 5,
                bulk_rows: 100_000,
            },
            notification: notification::Extent {
                rounds: 5,
                seconds: 4.0,
                listeners: 1_000,
                deliveries: 500,
            },
            month: month().unwrap_or(10_000_000),
        }
    }
}

/// What `RETENTION_EVENTS` asks for.
fn month() -> Option<u64> {
    std::env::var("RETENTION_EVENTS").ok()?.parse().ok()
}

fn main() -> ExitCode {
    match run(&Plan::from_environment()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem:?}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan) -> Outcome<()> {
    let cluster = Cluster::start(&Options {
        settings: &SETTINGS,
        ..Options::default()
    });
    let environment = Environment::read(&cluster)?;
    eprintln!("measuring {} rounds of {} events", plan.rounds, plan.events);
    let samples = record(&cluster, plan)?;
    eprintln!("measuring pages of {} events", plan.extent.events);
    let pages = pages::measure(&cluster, &plan.extent)?;
    eprintln!("measuring changes of {} rows", plan.capture.bulk_rows);
    let captured = CaptureReport::new(capture::measure(&cluster, &plan.capture)?);
    eprintln!(
        "measuring notification beside {} idle listeners",
        plan.notification.listeners
    );
    let notification = notification::measure(&plan.notification)?;
    eprintln!("measuring the removal of {} events", plan.month);
    let removals = retention::measure(&cluster, plan.month)?;
    let report = Report::new(
        environment,
        &samples,
        &pages,
        captured,
        notification,
        removals,
    );
    report.print();
    match std::env::var_os("BENCH_JSON") {
        Some(path) => report.write_json(path.as_ref()),
        None => Ok(()),
    }
}

/// Measures every way of writing once a round; each round begins with another one.
fn record(cluster: &Cluster, plan: &Plan) -> Outcome<Vec<WorkSample>> {
    let database = cluster.database();
    let mut superuser = database.superuser();
    superuser.batch_execute(include_str!("../sql/plain.sql"))?;
    superuser.batch_execute(include_str!("../sql/application.sql"))?;
    let mut session = database.connect_as("bench_application");
    let recorder = Recorder::new(&mut session)?;
    let mut meters = HashMap::new();
    for table in Work::ALL.map(Work::table) {
        if !meters.contains_key(table) {
            meters.insert(table, Meter::new(&mut session, Some(table))?);
        }
    }
    let mut samples = Vec::new();
    let mut numbers = 0..;
    // The first round fills caches and lets the server choose its plans.
    for round in 0..=plan.rounds {
        let mut works = Work::ALL;
        works.rotate_left(round % Work::ALL.len());
        for work in works {
            let events: Vec<Event> = numbers.by_ref().take(plan.events).map(Event::new).collect();
            recorder.stage(&mut session, work, &events)?;
            let usage = meters[work.table()]
                .measure(&mut session, |session| recorder.run(session, work, &events))?;
            if round > 0 {
                samples.push(WorkSample {
                    work,
                    round,
                    events: events.len(),
                    usage,
                });
            }
        }
    }
    check_counts(&mut superuser, plan)?;
    Ok(samples)
}

/// A work that writes nothing would be the fastest of all.
fn check_counts(session: &mut Session, plan: &Plan) -> Outcome<()> {
    for table in ["bench.events", "activity.events"] {
        let works = Work::ALL
            .iter()
            .filter(|work| work.table() == table)
            .count();
        let expected = works * plan.events * (plan.rounds + 1);
        let query = format!(
            "SELECT count(*) FROM {table} WHERE action = $1 AND tenant_id = $2
             AND ip_hash IS NOT NULL AND request_id IS NOT NULL AND actor_id = $3"
        );
        let row = session.query_one(&query, &[&event::ACTION, &event::TENANT, &event::ACTOR.1])?;
        let found: i64 = row.get(0);
        if usize::try_from(found)? != expected {
            return Err(format!("{table} holds {found} events instead of {expected}").into());
        }
    }
    Ok(())
}
