//! Real events of a cloud's audit trail: nothing secret is left in them.
//!
//! The file `cloudtrail.ndjson` is looked for in the directory `ACTIVITY_TEST_DATA`; without it
//! the test says so and ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here fails the test"
)]

mod privacy_support;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use activity_log_core::privacy::AddressMode;
use privacy_support::{fingerprints, scrub_with, scrubber};
use regex::Regex;
use serde_json::Value;

fn events() -> Option<Vec<Value>> {
    let near_the_repository = || {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join("shared/data")
    };
    let directory =
        std::env::var_os("ACTIVITY_TEST_DATA").map_or_else(near_the_repository, PathBuf::from);
    let text = std::fs::read_to_string(directory.join("cloudtrail.ndjson")).ok()?;
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

/// Adds the texts of all members with one of these keys, at any depth.
fn collect(value: &Value, keys: &[&str], found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let text = member.as_str().filter(|_| keys.contains(&key.as_str()));
                found.extend(text.map(str::to_owned));
                collect(member, keys, found);
            }
        }
        Value::Array(elements) => elements
            .iter()
            .for_each(|value| collect(value, keys, found)),
        _ => {}
    }
}

#[test]
fn no_secret_and_no_address_is_left_in_real_events() {
    let Some(events) = events() else {
        println!("skipped: no cloudtrail.ndjson; set ACTIVITY_TEST_DATA to its directory");
        return;
    };
    let (scrubber, key) = (scrubber(AddressMode::All), fingerprints());
    let scrub =
        |event| scrub_with(&scrubber, event, Some(&key)).unwrap_or_else(|| event.to_string());
    let scrubbed: Vec<String> = events.iter().map(scrub).collect();

    let mut addresses = BTreeSet::new();
    let mut secrets = BTreeSet::new();
    for event in &events {
        collect(event, &["sourceIPAddress"], &mut addresses);
        collect(
            event,
            &["sessionToken", "accessKeyId", "secretAccessKey"],
            &mut secrets,
        );
    }
    addresses.retain(|text| text.parse::<IpAddr>().is_ok());
    secrets.remove("");
    assert!(
        addresses.len() >= 6 && secrets.len() >= 3,
        "the file is another one"
    );

    let access_key = Regex::new("A[KS]IA[A-Z0-9]{16}").unwrap();
    for event in &scrubbed {
        assert!(!access_key.is_match(event), "{event}");
        for secret in &secrets {
            assert!(!event.contains(secret.as_str()), "{event}");
        }
    }
    for address in &addresses {
        let whole = Regex::new(&format!("(^|[^0-9.]){}([^0-9.]|$)", regex::escape(address)));
        let whole = whole.unwrap();
        // Networks of replacements end in a slash and are no address of a caller.
        let left = scrubbed.iter().find(|event| {
            whole
                .find_iter(event)
                .any(|found| !found.as_str().ends_with('/'))
        });
        assert_eq!(left, None, "{address}");
    }
}

#[test]
fn what_an_auditor_needs_is_left_in_real_events() {
    let Some(events) = events() else {
        println!("skipped: no cloudtrail.ndjson; set ACTIVITY_TEST_DATA to its directory");
        return;
    };
    let scrubber = scrubber(AddressMode::Keys);
    for event in &events {
        let scrubbed = scrub_with(&scrubber, event, None).unwrap_or_else(|| event.to_string());
        let scrubbed: Value = serde_json::from_str(&scrubbed).unwrap();
        for key in [
            "eventTime",
            "eventName",
            "eventID",
            "awsRegion",
            "recipientAccountId",
        ] {
            assert_eq!(scrubbed[key], event[key]);
        }
        assert_eq!(
            scrubbed["userIdentity"]["arn"],
            event["userIdentity"]["arn"]
        );
    }
}
