//! `make bench` works: a run of a few seconds that measures nothing of worth.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

#[test]
fn the_benchmark_measures_every_way_of_writing_every_depth_and_every_audit() {
    let results = tempfile::NamedTempFile::new().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/run");
    let output = Command::new(script)
        .env("QUICK", "1")
        .env("BENCH_JSON", results.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{errors}");
    assert!(
        printed.contains("record() : prepared INSERT of the row"),
        "{printed}"
    );

    let lines = std::fs::read_to_string(results.path()).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events = lines.iter().filter(|line| line["kind"] == "events");
    let works: BTreeSet<&str> = events
        .clone()
        .filter_map(|line| line["work"].as_str())
        .collect();
    assert_eq!(works.len(), 10);
    for sample in events {
        assert!(sample["cpu_us"].as_f64().unwrap() > 0.0, "{sample}");
        assert!(sample["wal_bytes"].as_u64().unwrap() > 0, "{sample}");
    }
    let depths = lines.iter().filter(|line| line["kind"] == "pages");
    let depths: BTreeSet<u64> = depths
        .filter_map(|line| line["depth_percent"].as_u64())
        .collect();
    assert_eq!(depths, BTreeSet::from([0, 50, 99]));
    let captured = lines.iter().filter(|line| line["kind"] == "capture");
    let kinds: BTreeSet<String> = captured
        .clone()
        .map(|line| format!("{} {} {}", line["way"], line["operation"], line["size"]))
        .collect();
    assert_eq!(kinds.len(), 5 * 3 * 2);
    for sample in captured {
        assert!(sample["cpu_us"].as_f64().unwrap() > 0.0, "{sample}");
    }
    let throughput = lines.iter().filter(|line| line["kind"] == "throughput");
    let modes: BTreeSet<&str> = throughput
        .clone()
        .filter_map(|line| line["notify"].as_str())
        .collect();
    assert_eq!(modes, BTreeSet::from(["commit", "off", "worker"]));
    assert!(
        throughput
            .clone()
            .all(|line| line["tps"].as_f64().unwrap() > 1.0)
    );
    let deliveries = lines.iter().filter(|line| line["kind"] == "delivery");
    assert_eq!(deliveries.count(), 2);
    let removals = lines.iter().filter(|line| line["kind"] == "removal");
    let removals: Vec<&Value> = removals.collect();
    assert_eq!(removals.len(), 2);
    assert_eq!(removals[0]["left_bytes"], 0, "the month is gone");
    assert!(removals[0]["wal_bytes"].as_i64() < removals[1]["wal_bytes"].as_i64());
    let ratios = lines.iter().filter(|line| line["kind"] == "ratio");
    assert!(ratios.clone().count() > 8 + 12);
    assert!(
        ratios
            .clone()
            .all(|ratio| ratio["median"].as_f64().unwrap().is_finite())
    );
}
