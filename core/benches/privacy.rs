//! What privacy costs: `cargo bench -p activity_log_core --bench privacy` prints nanoseconds for
//! each call. Rounds are short and many, and the lowest is printed beside the median: it is what
//! the call costs where no other process is in the way.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use activity_log_core::jsonb::{Jsonb, from_json};
use activity_log_core::privacy::{
    AddressKey, AddressMode, FingerprintKey, ScrubOptions, Scrubber, TextKind, epoch_secret,
};
use serde_json::{Value, json};

const ROUNDS: usize = 2_000;

fn main() {
    let document = |value: &Value| from_json(value).unwrap_or_default();
    let clean = document(&json!({
        "plan": "enterprise", "seats": 25, "method": "sso", "region": "eu-central-1",
        "user_id": "usr_01HZX3K9", "is_trial": false, "source": "billing portal",
        "invoice": "INV-2024-000117",
    }));
    let dirty = document(&json!({
        "plan": "enterprise", "seats": 25, "method": "sso", "password": "hunter2",
        "user_id": "usr_01HZX3K9", "is_trial": false, "source": "billing portal",
        "note": "sent Bearer a1b2c3d4e5f6g7h8 on",
    }));
    let key = FingerprintKey::derive(&[1; 32], &[2; 16]);
    println!("bytes of the clean document: {}", clean.len());
    for mode in [AddressMode::Off, AddressMode::Keys, AddressMode::All] {
        let options = ScrubOptions {
            extra_keys: &["internal_note"],
            addresses: mode,
        };
        let Ok(scrubber) = Scrubber::new(&options) else {
            return;
        };
        for (name, bytes) in [("clean", &clean), ("dirty", &dirty)] {
            let Ok(document) = Jsonb::new(bytes) else {
                return;
            };
            measure(
                &format!("scrub {name} document, addresses {mode:?}"),
                || scrubber.scrub_jsonb(black_box(document), Some(&key)),
            );
        }
    }
    measure_texts(&key);
    measure_keys();
}

fn measure_texts(key: &FingerprintKey) {
    let options = ScrubOptions {
        extra_keys: &[],
        addresses: AddressMode::Off,
    };
    let Ok(scrubber) = Scrubber::new(&options) else {
        return;
    };
    for (name, text, kind) in [
        (
            "identifier of 36 bytes",
            "0190b2c3-d4e5-7f60-a1b2-c3d4e5f60718",
            TextKind::Identifier,
        ),
        (
            "text of 38 bytes",
            "invoice paid by the customer on Friday",
            TextKind::Free,
        ),
        (
            "user agent of 68 bytes",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128",
            TextKind::Free,
        ),
    ] {
        measure(name, || {
            scrubber.scrub_text(black_box(text), kind, Some(key))
        });
    }
    measure("compile a scrubber", || Scrubber::new(&options));
}

fn measure_keys() {
    let secret = epoch_secret(&[1; 32], 1);
    let addresses = AddressKey::derive(&secret, &[2; 16], 1);
    let host = IpAddr::from([203, 0, 113, 9]);
    measure("hash an address", || addresses.hash(black_box(host)));
    measure("derive an address key", || {
        AddressKey::derive(black_box(&secret), &[2; 16], 1)
    });
}

/// Prints the lowest and the median time of a call.
fn measure<T>(name: &str, call: impl Fn() -> T) {
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(&call)).collect();
    rounds.sort_by(f64::total_cmp);
    let lowest = rounds.first().copied().unwrap_or_default();
    let median = rounds.get(ROUNDS / 2).copied().unwrap_or_default();
    println!("{name:<45} {lowest:>9.0} ns, median {median:>9.0} ns");
}

/// Nanoseconds for a call, over about a tenth of a millisecond: shorter than a time slice.
fn round<T>(call: &impl Fn() -> T) -> f64 {
    let once = Instant::now();
    black_box(call());
    let calls = (100_000 / (once.elapsed().as_nanos() + 1)).clamp(1, 1_000);
    let start = Instant::now();
    for _ in 0..calls {
        black_box(call());
    }
    start.elapsed().as_secs_f64() * 1e9 / calls as f64
}
