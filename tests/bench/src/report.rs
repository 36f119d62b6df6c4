//! The results as a table for people and as lines of JSON for programs.

use crate::capture::CaptureReport;
use crate::meter::Usage;
use crate::notification::Notification;
use crate::pages::{Depth, PageSample};
use crate::recording::Work;
use crate::retention::{self, Removal};
use crate::statistics::Spread;
use crate::{Outcome, WorkSample};
use activity_log_integration::Cluster;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Where it was measured.
pub struct Environment {
    server: String,
    /// How the installed extension was built: `release`, `dev` or `unknown`.
    build: String,
    cores: usize,
}

impl Environment {
    /// Asks the server; the build is what `tests/bench/run` found out.
    pub fn read(cluster: &Cluster) -> Outcome<Self> {
        let mut session = cluster.existing_database("postgres").superuser();
        Ok(Self {
            server: session.query_one("SHOW server_version", &[])?.get(0),
            build: std::env::var("BENCH_BUILD").unwrap_or_else(|_| "unknown".to_owned()),
            cores: std::thread::available_parallelism()?.get(),
        })
    }
}

/// One thing against another, each round by itself.
pub struct Ratio {
    pub name: String,
    pub spread: Spread,
    /// The most that it should be.
    pub budget: Option<f64>,
}

/// The works that are compared, and the budgets; that of record() will go down to 1.00.
const COMPARISONS: [(Work, Work, Option<f64>); 8] = [
    (Work::Record, Work::Insert, Some(1.3)),
    (Work::Record, Work::PlpgsqlRecord, Some(0.8)),
    (Work::PlpgsqlRecord, Work::Insert, None),
    (Work::RecordWithContext, Work::Insert, None),
    (Work::RecordWithKey, Work::Insert, None),
    (Work::RecordMany, Work::InsertMany, Some(0.6)),
    (Work::RecordMany, Work::CopyMany, None),
    (Work::RecordSelect, Work::InsertSelect, None),
];

/// What a page deep in the log may cost of the first.
const PAGE_BUDGET: f64 = 1.2;

/// Everything that is reported.
pub struct Report {
    environment: Environment,
    works: Vec<(Work, Vec<WorkSample>)>,
    pages: Vec<(Depth, Vec<PageSample>)>,
    capture: CaptureReport,
    notification: Notification,
    removals: Vec<Removal>,
}

impl Report {
    /// Orders the samples.
    pub fn new(
        environment: Environment,
        samples: &[WorkSample],
        pages: &[PageSample],
        capture: CaptureReport,
        notification: Notification,
        removals: Vec<Removal>,
    ) -> Self {
        let of_work = |work| samples.iter().copied().filter(|s| s.work == work).collect();
        let of_depth = |depth| pages.iter().copied().filter(|s| s.depth == depth).collect();
        Self {
            environment,
            works: Work::ALL.map(|work| (work, of_work(work))).into(),
            pages: Depth::ALL.map(|depth| (depth, of_depth(depth))).into(),
            capture,
            notification,
            removals,
        }
    }

    /// Prints it for people.
    pub fn print(&self) {
        let Environment {
            server,
            build,
            cores,
        } = &self.environment;
        println!("\nPostgreSQL {server}, {cores} cores, extension built as {build}\n");
        println!(
            "{:<34}{:>8}{:>16}{:>10}{:>8}{:>8}",
            "one event", "CPU us", "quartiles", "client us", "WAL B", "disk B"
        );
        for (work, samples) in &self.works {
            let Some(cpu) = spread(samples, WorkSample::cpu_micros) else {
                continue;
            };
            let median = |measure| spread(samples, measure).map_or(0.0, |spread| spread.median);
            println!(
                "{:<34}{:>8.1}{:>16}{:>10.1}{:>8.0}{:>8.0}",
                work.title(),
                cpu.median,
                format!("{:.1}-{:.1}", cpu.lower_quartile, cpu.upper_quartile),
                median(WorkSample::client_micros),
                median(WorkSample::wal_bytes),
                mean_disk_bytes(samples),
            );
        }
        println!(
            "\n{:<34}{:>8}{:>16}{:>10}",
            "one page of 50 in 24 months", "CPU us", "quartiles", "client us"
        );
        for (depth, samples) in &self.pages {
            let Some(cpu) = spread(samples, PageSample::cpu_micros) else {
                continue;
            };
            let client = spread(samples, PageSample::client_micros);
            println!(
                "{:<34}{:>8.0}{:>16}{:>10.0}",
                depth.title(),
                cpu.median,
                format!("{:.0}-{:.0}", cpu.lower_quartile, cpu.upper_quartile),
                client.map_or(0.0, |client| client.median),
            );
        }
        self.capture.print();
        println!(
            "\n{:<84}{:>6}{:>14}{:>8}",
            "ratio of CPU; with + of what is added to a statement without audit",
            "median",
            "quartiles",
            "budget"
        );
        for ratio in self.ratios() {
            println!("{}", ratio.line());
        }
        self.notification.print();
        retention::print(&self.removals);
    }

    /// Writes it for programs: every sample, then every ratio, one JSON object a line.
    pub fn write_json(&self, path: &Path) -> Outcome<()> {
        let mut file = BufWriter::new(File::create(path)?);
        let works = self
            .works
            .iter()
            .flat_map(|(_, samples)| samples)
            .map(WorkSample::json);
        let pages = self
            .pages
            .iter()
            .flat_map(|(_, samples)| samples)
            .map(PageSample::json);
        let ratios = self.ratios().into_iter().map(|ratio| ratio.json());
        let told = self.notification.json();
        let captured = self.capture.lines();
        let removals = self.removals.iter().map(retention::json);
        let measured = works.chain(pages).chain(captured).chain(ratios);
        for mut line in measured.chain(told).chain(removals) {
            let Environment {
                server,
                build,
                cores,
            } = &self.environment;
            line["server"] = json!(server);
            line["build"] = json!(build);
            line["cores"] = json!(cores);
            writeln!(file, "{line}")?;
        }
        Ok(file.flush()?)
    }

    fn ratios(&self) -> Vec<Ratio> {
        let works = COMPARISONS.iter().filter_map(|(work, against, budget)| {
            let name = format!("{} : {}", work.title(), against.title());
            let spread = round_ratios(
                self.work(*work)?,
                self.work(*against)?,
                WorkSample::cpu_micros,
            )?;
            Some(Ratio {
                name,
                spread,
                budget: *budget,
            })
        });
        let first = self.pages.first().map_or(&[][..], |(_, samples)| samples);
        let pages = self.pages.iter().skip(1).filter_map(|(depth, samples)| {
            let name = format!("list(): {} : first page", depth.title());
            let spread = round_ratios(samples, first, PageSample::cpu_micros)?;
            Some(Ratio {
                name,
                spread,
                budget: Some(PAGE_BUDGET),
            })
        });
        works.chain(pages).chain(self.capture.ratios()).collect()
    }

    fn work(&self, work: Work) -> Option<&[WorkSample]> {
        self.works
            .iter()
            .find(|(other, _)| *other == work)
            .map(|(_, samples)| &samples[..])
    }
}

impl Ratio {
    fn line(&self) -> String {
        let Spread {
            lower_quartile,
            median,
            upper_quartile,
        } = self.spread;
        let quartiles = format!("{lower_quartile:.2}-{upper_quartile:.2}");
        let budget = self.budget.map_or(String::new(), |budget| {
            format!(
                "{budget:>8.2}{}",
                if median <= budget { "" } else { "  over" }
            )
        });
        format!("{:<84}{median:>6.2}{quartiles:>14}{budget}", self.name)
    }

    fn json(&self) -> Value {
        json!({
            "kind": "ratio", "name": self.name, "budget": self.budget,
            "median": self.spread.median,
            "lower_quartile": self.spread.lower_quartile,
            "upper_quartile": self.spread.upper_quartile,
        })
    }
}

impl WorkSample {
    fn cpu_micros(&self) -> f64 {
        micros(self.usage.cpu) / self.events as f64
    }

    fn client_micros(&self) -> f64 {
        micros(self.usage.elapsed) / self.events as f64
    }

    fn wal_bytes(&self) -> f64 {
        self.usage.wal as f64 / self.events as f64
    }

    fn json(&self) -> Value {
        with_usage(
            &self.usage,
            json!({
                "kind": "events", "work": self.work.name(), "round": self.round, "events": self.events,
            }),
        )
    }
}

impl PageSample {
    fn cpu_micros(&self) -> f64 {
        micros(self.usage.cpu) / self.pages as f64
    }

    fn client_micros(&self) -> f64 {
        micros(self.usage.elapsed) / self.pages as f64
    }

    fn json(&self) -> Value {
        with_usage(
            &self.usage,
            json!({
                "kind": "pages", "depth_percent": self.depth.0, "round": self.round, "pages": self.pages,
            }),
        )
    }
}

/// A line of JSON with what was used.
pub fn with_usage(usage: &Usage, mut line: Value) -> Value {
    line["cpu_us"] = json!(micros(usage.cpu));
    line["client_us"] = json!(micros(usage.elapsed));
    line["wal_bytes"] = json!(usage.wal);
    line["disk_bytes"] = json!(usage.disk);
    line
}

/// A duration in microseconds.
pub fn micros(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn spread<S>(samples: &[S], measure: fn(&S) -> f64) -> Option<Spread> {
    Spread::of(samples.iter().map(measure).collect())
}

/// Files grow by whole pages, and by many at once, so only the sum over all rounds means anything.
fn mean_disk_bytes(samples: &[WorkSample]) -> f64 {
    let events: usize = samples.iter().map(|sample| sample.events).sum();
    let bytes: u64 = samples.iter().map(|sample| sample.usage.disk).sum();
    bytes as f64 / events as f64
}

/// Both were measured in every round, in the same order.
fn round_ratios<S>(samples: &[S], against: &[S], measure: fn(&S) -> f64) -> Option<Spread> {
    let pairs = samples.iter().zip(against);
    Spread::of(
        pairs
            .map(|(one, other)| measure(one) / measure(other))
            .collect(),
    )
}
