//! What capture costs, as a table and as ratios.

use super::{CaptureSample, Operation, Size, Way};
use crate::report::{Ratio, micros, with_usage};
use crate::statistics::Spread;
use serde_json::{Value, json};

type Measure = fn(&CaptureSample) -> f64;

/// What a way adds to the statement, against what another way adds.
struct Comparison {
    size: Size,
    operation: Operation,
    way: Way,
    against: Way,
    what: &'static str,
    measure: Measure,
    budget: Option<f64>,
}

/// Everything about capture that is reported.
pub struct CaptureReport {
    samples: Vec<CaptureSample>,
}

impl CaptureReport {
    /// Of these samples.
    pub fn new(samples: Vec<CaptureSample>) -> Self {
        Self { samples }
    }

    /// Prints the table for people.
    pub fn print(&self) {
        for size in Size::ALL {
            let rows = self
                .samples
                .iter()
                .find(|s| s.size == size)
                .map_or(0, |s| s.rows);
            let title = match size {
                Size::Single => "one row a statement".to_owned(),
                Size::Bulk => format!("{rows} rows in one statement"),
            };
            println!(
                "\n{:<34}{:>8}{:>16}{:>10}{:>8}{:>8}",
                title, "CPU us", "quartiles", "client us", "WAL B", "log B"
            );
            for operation in Operation::ALL {
                for way in Way::ALL {
                    self.print_line(size, operation, way);
                }
            }
        }
    }

    fn print_line(&self, size: Size, operation: Operation, way: Way) {
        let samples = self.of(size, operation, way);
        let spread = |measure: Measure| Spread::of(samples.iter().copied().map(measure).collect());
        let Some(cpu) = spread(CaptureSample::cpu) else {
            return;
        };
        let median = |measure| spread(measure).map_or(0.0, |spread| spread.median);
        // Files grow by many pages at once, so only the sum over all rounds means anything.
        let rows: u32 = samples.iter().map(|sample| sample.rows).sum();
        let disk: u64 = samples.iter().map(|sample| sample.usage.disk).sum();
        println!(
            "{:<34}{:>8.1}{:>16}{:>10.1}{:>8.0}{:>8.0}",
            format!("{} {}", operation.name(), way.title()),
            cpu.median,
            format!("{:.1}-{:.1}", cpu.lower_quartile, cpu.upper_quartile),
            median(CaptureSample::client),
            median(CaptureSample::wal),
            disk as f64 / f64::from(rows),
        );
    }

    /// The comparisons, as far as there are samples.
    pub fn ratios(&self) -> Vec<Ratio> {
        comparisons().iter().filter_map(|c| self.ratio(c)).collect()
    }

    /// Every sample for programs.
    pub fn lines(&self) -> impl Iterator<Item = Value> {
        self.samples.iter().map(CaptureSample::json)
    }

    fn ratio(&self, comparison: &Comparison) -> Option<Ratio> {
        let of = |way| self.of(comparison.size, comparison.operation, way);
        let (ours, theirs, none) = (
            of(comparison.way),
            of(comparison.against),
            of(Way::Unaudited),
        );
        let added = |sample: &CaptureSample, none: &CaptureSample| {
            (comparison.measure)(sample) - (comparison.measure)(none)
        };
        let ratios = ours.iter().zip(&theirs).zip(&none);
        let ratios = ratios.map(|((ours, theirs), none)| added(ours, none) / added(theirs, none));
        let size = match comparison.size {
            Size::Single => "single",
            Size::Bulk => "bulk",
        };
        Some(Ratio {
            name: format!(
                "{size} {} +{}: {} : {}",
                comparison.operation.name(),
                comparison.what,
                comparison.way.title(),
                comparison.against.title()
            ),
            spread: Spread::of(ratios.collect())?,
            budget: comparison.budget,
        })
    }

    /// The samples of one operation of one way, round by round.
    fn of(&self, size: Size, operation: Operation, way: Way) -> Vec<&CaptureSample> {
        let wanted = |s: &&CaptureSample| (s.size, s.operation, s.way) == (size, operation, way);
        self.samples.iter().filter(wanted).collect()
    }
}

/// CPU for every size and operation, each level against the trigger of the same level; WAL for
/// the UPDATE of one column.
fn comparisons() -> Vec<Comparison> {
    let levels = [
        (Way::Row, Way::PlpgsqlRow),
        (Way::Statement, Way::PlpgsqlStatement),
    ];
    let mut all = Vec::new();
    for size in Size::ALL {
        for operation in Operation::ALL {
            for (way, against) in levels {
                all.push(Comparison {
                    size,
                    operation,
                    way,
                    against,
                    what: "CPU",
                    measure: CaptureSample::cpu,
                    budget: cpu_budget(size, operation, way),
                });
            }
        }
        for (way, against) in levels {
            all.push(Comparison {
                size,
                operation: Operation::Update,
                way,
                against,
                what: "WAL",
                measure: CaptureSample::wal,
                budget: Some(0.5),
            });
        }
    }
    all
}

fn cpu_budget(size: Size, operation: Operation, way: Way) -> Option<f64> {
    match (size, operation, way) {
        (Size::Single, Operation::Update, Way::Row) => Some(0.25),
        (Size::Bulk, Operation::Update, Way::Statement) => Some(0.2),
        _ => None,
    }
}

impl CaptureSample {
    fn cpu(&self) -> f64 {
        micros(self.usage.cpu) / f64::from(self.rows)
    }

    fn client(&self) -> f64 {
        micros(self.usage.elapsed) / f64::from(self.rows)
    }

    fn wal(&self) -> f64 {
        self.usage.wal as f64 / f64::from(self.rows)
    }

    fn json(&self) -> Value {
        with_usage(
            &self.usage,
            json!({
                "kind": "capture", "way": self.way.name(), "operation": self.operation.name(),
                "size": self.size.name(), "round": self.round, "rows": self.rows,
            }),
        )
    }
}
