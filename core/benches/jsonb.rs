//! Nanoseconds for reading and writing the documents of the hot paths.
#![allow(clippy::unwrap_used, reason = "a benchmark stops at its first failure")]

use std::hint::black_box;
use std::time::Instant;

use activity_log_core::jsonb::{Builder, Jsonb, Numeric, OwnedNumeric, Value, to_json};

const ROUNDS: u32 = 200_000;
const SAMPLES: u32 = 15;

/// Prints the fastest of some samples: what disturbs a measurement only adds to it.
fn measure<T>(name: &str, mut work: impl FnMut() -> T) {
    let sample = |_| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| drop(black_box(work())));
        start.elapsed().as_nanos() / u128::from(ROUNDS)
    };
    println!(
        "{name:48} {:>6} ns",
        (0..SAMPLES).map(sample).min().unwrap()
    );
}

/// A captured row of twelve columns.
fn write_row(builder: &mut Builder, keys: &[&str; 12], balance: Numeric<'_>) {
    builder.begin_object();
    for (index, key) in keys.iter().enumerate() {
        builder.key(key);
        match index {
            0..3 => builder.integer(black_box(1_234_567)),
            3 => builder.number(balance),
            4 => builder.bool(true),
            5 => builder.null(),
            6 => builder.string("0190c1b2-7a5f-7c3e-9d21-0a1b2c3d4e5f"),
            7 | 8 => builder.string("2026-01-01T00:00:00.123456+00:00"),
            _ => builder.string("some words of text"),
        }
    }
    builder.end();
}

/// Reads every value and writes it again, as scrubbing does to a document with a hit.
fn rewrite(builder: &mut Builder, value: Value<'_>) {
    match value {
        Value::Object(object) => {
            builder.begin_object();
            object.iter().for_each(|(key, member)| {
                builder.key(key);
                rewrite(builder, member);
            });
            builder.end();
        }
        Value::Array(array) => {
            builder.begin_array();
            array.iter().for_each(|element| rewrite(builder, element));
            builder.end();
        }
        scalar => builder.value(scalar),
    }
}

fn typical_document() -> Vec<u8> {
    let document = serde_json::json!({
        "method": "password", "mfa": true, "attempt": 1,
        "client": {"name": "web", "version": "4.12.0"}, "session": "b1946ac92492d2347c62", "ms": 12
    });
    activity_log_core::jsonb::from_json(&document).unwrap()
}

fn writing() {
    let columns = [
        "id",
        "age",
        "count",
        "balance",
        "is_active",
        "parent_id",
        "external_id",
        "created_at",
        "updated_at",
        "name",
        "title",
        "description",
    ];
    let mut sorted = columns;
    sorted.sort_by_key(|key| (key.len(), *key));
    let balance = OwnedNumeric::from_decimal("1024.50").unwrap();
    for (order, keys) in [("sorted", sorted), ("column order", columns)] {
        measure(&format!("write a row of 12, keys in {order}"), || {
            let mut builder = Builder::new();
            write_row(&mut builder, &keys, balance.as_numeric());
            builder.finish().unwrap()
        });
        let (mut builder, mut out) = (Builder::new(), Vec::new());
        measure(&format!("the same, memory reused, keys in {order}"), || {
            out.clear();
            write_row(&mut builder, &keys, balance.as_numeric());
            builder.finish_into(&mut out).unwrap();
        });
    }
}

fn reading() {
    let bytes = typical_document();
    println!("typical document: {} bytes", bytes.len());
    let root = Jsonb::new(&bytes).unwrap().root();
    measure("check", || Jsonb::new(black_box(&bytes)).unwrap());
    let Value::Object(object) = root else { return };
    measure("iterate over the members", || {
        black_box(object).iter().count()
    });
    measure("get a member", || {
        black_box(object).get("attempt").is_some()
    });
    let mut builder = Builder::new();
    let mut out = Vec::new();
    measure("copy as one block, memory reused", || {
        out.clear();
        builder.value(black_box(root));
        builder.finish_into(&mut out).unwrap();
    });
    measure("copy as one block", || {
        let mut builder = Builder::new();
        builder.value(black_box(root));
        builder.finish().unwrap()
    });
    measure("rewrite value by value", || {
        let mut builder = Builder::new();
        rewrite(&mut builder, black_box(root));
        builder.finish().unwrap()
    });
    measure("rewrite value by value, memory reused", || {
        out.clear();
        rewrite(&mut builder, black_box(root));
        builder.finish_into(&mut out).unwrap();
    });
    measure("print as JSON text", || to_json(black_box(root)));
}

fn main() {
    writing();
    reading();
}
