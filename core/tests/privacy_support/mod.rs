//! What the tests of the scrubber share.
#![allow(dead_code, reason = "every test file uses a part of it")]

use activity_log_core::jsonb::{Jsonb, from_json, to_json};
use activity_log_core::privacy::{AddressMode, FingerprintKey, ScrubOptions, Scrubber, TextKind};
use serde_json::Value;

pub fn scrubber(addresses: AddressMode) -> Scrubber {
    let options = ScrubOptions {
        extra_keys: &["Internal-Note", "gehäuse"],
        addresses,
    };
    Scrubber::new(&options).unwrap()
}

pub fn fingerprints() -> FingerprintKey {
    FingerprintKey::derive(&[7; 32], &[9; 16])
}

/// The text without its secrets and without fingerprints.
pub fn scrub_text(addresses: AddressMode, text: &str) -> String {
    scrubber(addresses)
        .scrub_text(text, TextKind::Free, None)
        .into_owned()
}

/// The document without its secrets, or `None` if it stays as it is.
pub fn scrub_with(
    scrubber: &Scrubber,
    document: &Value,
    key: Option<&FingerprintKey>,
) -> Option<String> {
    let bytes = from_json(document).unwrap();
    let scrubbed = scrubber
        .scrub_jsonb(Jsonb::new(&bytes).unwrap(), key)
        .unwrap()?;
    Some(to_json(Jsonb::new(&scrubbed).unwrap().root()))
}

/// The document without its secrets and without fingerprints.
pub fn scrub(addresses: AddressMode, document: &Value) -> Option<Value> {
    let scrubbed = scrub_with(&scrubber(addresses), document, None)?;
    Some(serde_json::from_str(&scrubbed).unwrap())
}

/// One secret of every kind, in the form in which it stands in text, and its secret part.
pub const SECRETS: &[(&str, &str)] = &[
    ("AKIAQ7EXAMPLEX2YZ345", "AKIAQ7EXAMPLEX2YZ345"),
    ("ASIAQ7EXAMPLEX2YZ345", "ASIAQ7EXAMPLEX2YZ345"),
    (
        "AKIAQ7EXAMPLEX2YZ345,wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ),
    (
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ),
    (
        "IQoJb3JpZ2luX2VjEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE123",
        "b3JpZ2luX2VjEXAMPLE",
    ),
    (
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "16C7e42F292c6912E7710c838347Ae178B4a",
    ),
    (
        "github_pat_11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ",
        "11ABCDEFG0aBcDeFgHiJkL",
    ),
    ("glpat-xYz1234567890AbCdEfG", "xYz1234567890AbCdEfG"),
    // Put together here, since scanners of source code take them for real ones.
    (
        concat!("xox", "b-123456789012-AbCdEfGhIjKl"),
        "123456789012-AbCdEfGhIjKl",
    ),
    (
        concat!("sk_", "live_4eC39HqLyjWDarjtT1zdp7dc"),
        "4eC39HqLyjWDarjtT1zdp7dc",
    ),
    (
        concat!("AIza", "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"),
        "9tSrke72PouQMnMX",
    ),
    (
        "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWx",
        "AbCdEfGhIjKlMnOpQrStUvWx",
    ),
    (
        "sk-proj-AbCdEfGhIjKlMnOpQrStUvWx",
        "AbCdEfGhIjKlMnOpQrStUvWx",
    ),
    (
        "npm_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
        "AbCdEfGhIjKlMnOpQrStUvWxYz",
    ),
    (
        "pypi-AgEIcHlwaS5vcmcCJDEyMzQ1Njc4",
        "IcHlwaS5vcmcCJDEyMzQ1Njc4",
    ),
    (
        concat!(
            "SG",
            ".ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf09kqeF8tAmbihYzrnopKc1s5cr"
        ),
        "TwL2iGABf9DHoTf09kqeF8tAmbihYzrnopKc1s5cr",
    ),
    (
        concat!("SK", "0123456789abcdef0123456789abcdef"),
        "0123456789abcdef0123456789abcdef",
    ),
    (
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9",
        "eyJzdWIiOiIxMjM0In0",
    ),
    (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\n-----END RSA PRIVATE KEY-----",
        "MIIEowIBAAKCAQEA7",
    ),
    ("Authorization: Bearer a1b2c3d4e5f6g7h8", "a1b2c3d4e5f6g7h8"),
    (
        "Authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l",
        "YWxhZGRpbjpvcGVuc2VzYW1l",
    ),
    (
        "postgres://app:s3cr3t-Pa55@db.internal/orders",
        "s3cr3t-Pa55",
    ),
    ("redis://:s3cr3t-Pa55@cache:6379", "s3cr3t-Pa55"),
    (
        "host=db user=app password='s3cr3t Pa55' dbname=x",
        "s3cr3t Pa55",
    ),
    (
        "Server=db;User Id=app;Password=s3cr3t Pa55;Timeout=5",
        "s3cr3t Pa55",
    ),
    (
        "https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIA&X-Amz-Signature=deadbeef99&y=1",
        "deadbeef99",
    ),
    (
        "https://x.blob.core.windows.net/c?sv=2020&sig=deadbeef99%3D",
        "deadbeef99",
    ),
    ("a=b&user%5Bpassword%5D=s3cr3tPa55&c=d", "s3cr3tPa55"),
    (
        "payload=%7B%22password%22%3A%22s3cr3tPa55%22%7D",
        "s3cr3tPa55",
    ),
    ("4111 1111 1111 1111", "4111 1111 1111 1111"),
    ("378282246310005", "378282246310005"),
    ("{\"password\":\"s3cr3tPa55\",\"cut\":\"of", "s3cr3tPa55"),
];
