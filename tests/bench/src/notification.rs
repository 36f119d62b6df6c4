//! What it costs to tell readers: transactions per second of many writers under each value of
//! `activity.notify`, the time from commit to delivery, and the same beside idle listeners.

use crate::Outcome;
use crate::statistics::Spread;
use activity_log_integration::{Cluster, Database, Options, Session};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Commits are flushed, so that what makes them wait for each other shows.
const SETTINGS: [(&str, &str); 5] = [
    ("fsync", "on"),
    ("max_connections", "1200"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "1h"),
];

const MODES: [&str; 3] = ["off", "worker", "commit"];
const WRITERS: usize = 32;
/// What writing with the worker may cost of the transactions per second.
const BUDGET: f64 = 0.97;

/// How much is measured.
pub struct Extent {
    pub rounds: usize,
    pub seconds: f64,
    pub listeners: usize,
    pub deliveries: usize,
}

/// Transactions per second of one mode in each round.
struct Throughput {
    mode: &'static str,
    listeners: usize,
    rounds: Vec<f64>,
}

/// Microseconds from commit to delivery, sorted.
struct Delay {
    listeners: usize,
    micros: Vec<f64>,
}

/// Everything that was measured.
pub struct Notification {
    throughput: Vec<Throughput>,
    delays: Vec<Delay>,
}

/// Measures all modes in each round, in changing order.
pub fn measure(extent: &Extent) -> Outcome<Notification> {
    let cluster = Cluster::start(&Options {
        settings: &SETTINGS,
        ..Options::default()
    });
    let database = cluster.database();
    database
        .superuser()
        .batch_execute("SELECT activity.register_action('bench.notified')")?;
    let mut throughput: Vec<Throughput> =
        MODES.iter().map(|mode| Throughput::new(mode, 0)).collect();
    // The first round fills caches.
    for round in 0..=extent.rounds {
        let mut order: Vec<usize> = (0..MODES.len()).collect();
        order.rotate_left(round % MODES.len());
        for index in order {
            let rate = transactions_per_second(&database, MODES[index], extent.seconds)?;
            if round > 0 {
                throughput[index].rounds.push(rate);
            }
        }
    }
    let mut delays = vec![Delay::measure(&database, extent.deliveries, 0)?];
    let idle = idle_listeners(&database, extent.listeners)?;
    let mut beside = Throughput::new("worker", idle.len());
    for _ in 0..extent.rounds {
        beside.rounds.push(transactions_per_second(
            &database,
            "worker",
            extent.seconds,
        )?);
    }
    delays.push(Delay::measure(&database, extent.deliveries, idle.len())?);
    throughput.push(beside);
    Ok(Notification { throughput, delays })
}

fn idle_listeners(database: &Database<'_>, number: usize) -> Outcome<Vec<Session>> {
    (0..number)
        .map(|_| {
            let mut session = database.superuser();
            session.batch_execute("SELECT activity.listen(gen_random_uuid())")?;
            Ok(session)
        })
        .collect()
}

/// Many writers, each with a tenant of its own, commit one event after the other.
fn transactions_per_second(database: &Database<'_>, mode: &str, seconds: f64) -> Outcome<f64> {
    let set = format!("SET activity.notify = {mode}");
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    let done: Result<Vec<u64>, postgres::Error> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut session = database.superuser();
                    session.batch_execute(&set)?;
                    let tenant = uuid::Uuid::now_v7();
                    let record = session
                        .prepare("SELECT activity.record('bench.notified', tenant_id => $1)")?;
                    let mut transactions = 0;
                    while !over.load(Ordering::Relaxed) {
                        session.execute(&record, &[&tenant])?;
                        transactions += 1;
                    }
                    Ok(transactions)
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        over.store(true, Ordering::Relaxed);
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap_or(Ok(0)))
            .collect()
    });
    let total: u64 = done?.iter().sum();
    Ok(total as f64 / begun.elapsed().as_secs_f64())
}

impl Throughput {
    fn new(mode: &'static str, listeners: usize) -> Self {
        Self {
            mode,
            listeners,
            rounds: Vec::new(),
        }
    }

    fn title(&self) -> String {
        match self.listeners {
            0 => format!("notify = {}", self.mode),
            number => format!("notify = {}, {number} idle listeners", self.mode),
        }
    }
}

impl Delay {
    /// One writer commits now and then; a reader who listens reads what is new.
    fn measure(database: &Database<'_>, deliveries: usize, listeners: usize) -> Outcome<Self> {
        let tenant = uuid::Uuid::now_v7();
        let mut reader = database.superuser();
        reader.execute("SELECT activity.listen($1)", &[&tenant])?;
        let (sender, receiver) = mpsc::channel();
        let mut writer = database.superuser();
        let writing = std::thread::spawn(move || -> Result<(), postgres::Error> {
            let record =
                writer.prepare("SELECT activity.record('bench.notified', tenant_id => $1)")?;
            for number in 0..deliveries {
                // Out of step with the worker's rounds.
                std::thread::sleep(Duration::from_micros(
                    11_000 + (number as u64 * 7_919) % 23_000,
                ));
                let row = writer.query_one(&record, &[&tenant])?;
                let _ = sender.send((row.get::<_, uuid::Uuid>(0), Instant::now()));
            }
            Ok(())
        });
        let delivered = follow(&mut reader, &tenant, deliveries)?;
        writing.join().map_err(|_| "the writer broke off")??;
        let committed: std::collections::HashMap<_, _> = receiver.into_iter().collect();
        let mut micros: Vec<f64> = delivered
            .iter()
            .filter_map(|(id, at)| {
                let since = committed.get(id)?;
                Some(at.saturating_duration_since(*since).as_secs_f64() * 1e6)
            })
            .collect();
        micros.sort_by(f64::total_cmp);
        if micros.len() != deliveries {
            return Err(format!("{} of {deliveries} events were delivered", micros.len()).into());
        }
        Ok(Self { listeners, micros })
    }

    fn at(&self, share: f64) -> f64 {
        let last = self.micros.len().saturating_sub(1);
        self.micros
            .get((last as f64 * share).round() as usize)
            .copied()
            .unwrap_or(0.0)
    }
}

type Delivered = Vec<(uuid::Uuid, Instant)>;

/// Reads after each notification until so many events have come.
fn follow(reader: &mut Session, tenant: &uuid::Uuid, deliveries: usize) -> Outcome<Delivered> {
    use postgres::fallible_iterator::FallibleIterator;
    let read = reader.prepare(
        "SELECT event_id FROM activity.events WHERE tenant_id = $1 AND event_id > $2 ORDER BY event_id",
    )?;
    let mut delivered = Delivered::new();
    while delivered.len() < deliveries {
        let told = reader
            .notifications()
            .timeout_iter(Duration::from_secs(10))
            .next()?;
        if told.is_none() {
            return Err("no notification for ten seconds".into());
        }
        let last = delivered.last().map_or(uuid::Uuid::nil(), |(id, _)| *id);
        let rows = reader.query(&read, &[tenant, &last])?;
        let now = Instant::now();
        delivered.extend(rows.iter().map(|row| (row.get(0), now)));
    }
    Ok(delivered)
}

impl Notification {
    /// Prints it for people.
    pub fn print(&self) {
        println!(
            "\n{:<62}{:>8}{:>16}",
            format!("{WRITERS} writers"),
            "tps",
            "quartiles"
        );
        for throughput in &self.throughput {
            if let Some(spread) = Spread::of(throughput.rounds.clone()) {
                let quartiles =
                    format!("{:.0}-{:.0}", spread.lower_quartile, spread.upper_quartile);
                println!(
                    "{:<62}{:>8.0}{quartiles:>16}",
                    throughput.title(),
                    spread.median
                );
            }
        }
        println!(
            "\n{:<62}{:>8}{:>8}",
            "from commit to delivery, ms", "p50", "p99"
        );
        for delay in &self.delays {
            let title = format!("notify = worker, {} idle listeners", delay.listeners);
            println!(
                "{title:<62}{:>8.1}{:>8.1}",
                delay.at(0.5) / 1e3,
                delay.at(0.99) / 1e3
            );
        }
        println!(
            "\n{:<62}{:>6}{:>14}{:>8}",
            "ratio of tps", "median", "quartiles", "at least"
        );
        for (title, spread, budget) in self.ratios() {
            let quartiles = format!("{:.2}-{:.2}", spread.lower_quartile, spread.upper_quartile);
            let budget = budget.map_or(String::new(), |budget| {
                let verdict = if spread.median >= budget {
                    ""
                } else {
                    "  under"
                };
                format!("{budget:>8.2}{verdict}")
            });
            println!("{title:<62}{:>6.2}{quartiles:>14}{budget}", spread.median);
        }
    }

    /// Every mode against none, each round by itself.
    fn ratios(&self) -> Vec<(String, Spread, Option<f64>)> {
        let Some(off) = self.throughput.iter().find(|one| one.mode == "off") else {
            return Vec::new();
        };
        let others = self.throughput.iter().filter(|one| one.mode != "off");
        others
            .filter_map(|one| {
                let pairs = one.rounds.iter().zip(&off.rounds);
                let spread = Spread::of(pairs.map(|(one, off)| one / off).collect())?;
                let budget = (one.mode == "worker" && one.listeners == 0).then_some(BUDGET);
                Some((format!("{} : off", one.title()), spread, budget))
            })
            .collect()
    }

    /// For programs: one object for each figure.
    pub fn json(&self) -> Vec<Value> {
        let throughput = self.throughput.iter().flat_map(|one| {
            let (mode, listeners) = (one.mode, one.listeners);
            let rounds = one.rounds.iter().enumerate();
            rounds.map(move |(round, tps)| {
                json!({"kind": "throughput", "notify": mode, "listeners": listeners,
                       "writers": WRITERS, "round": round + 1, "tps": tps})
            })
        });
        let delays = self.delays.iter().map(|delay| {
            json!({"kind": "delivery", "listeners": delay.listeners, "events": delay.micros.len(),
                   "p50_us": delay.at(0.5), "p99_us": delay.at(0.99)})
        });
        throughput.chain(delays).collect()
    }
}
