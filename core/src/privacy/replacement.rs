//! What stands where a secret or an address was, and recognising it later.

use std::fmt::Write;
use std::net::IpAddr;
use std::ops::Range;

use super::keys::{FingerprintKey, mapped_bytes, network_prefix};
use super::rule::Rule;

/// What is found in a part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Secret(Rule),
    Address(IpAddr),
}

/// A part of a text that must be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) range: Range<usize>,
    pub(super) finding: Finding,
}

const SECRET_START: &str = "[redacted:";
const ADDRESS_START: &str = "[address:";
/// Longer than every replacement: a rule or a network, a fingerprint, punctuation.
const MAXIMUM_LENGTH: usize = 96;

/// The replacement of `secret`, which is text or the bytes of a value.
pub(super) fn replacement(
    finding: Finding,
    secret: &[u8],
    fingerprints: Option<&FingerprintKey>,
) -> String {
    let mut output = String::with_capacity(MAXIMUM_LENGTH);
    push(&mut output, finding, secret, fingerprints);
    output
}

/// Appends the replacement of `secret` to `output`.
pub(super) fn push(
    output: &mut String,
    finding: Finding,
    secret: &[u8],
    fingerprints: Option<&FingerprintKey>,
) {
    let fingerprint = |bytes: &[u8]| fingerprints.map(|key| key.fingerprint(bytes));
    // Writing to a String cannot fail.
    let fingerprint = match finding {
        Finding::Secret(rule) => {
            let _ = write!(output, "{SECRET_START}{}", rule.name());
            fingerprint(secret)
        }
        Finding::Address(address) => {
            let (network, length) = network_prefix(address);
            let _ = write!(output, "{ADDRESS_START}{network}/{length}");
            fingerprint(&mapped_bytes(address))
        }
    };
    if let Some(fingerprint) = fingerprint {
        let _ = write!(output, ":{:016x}", u64::from_be_bytes(fingerprint));
    }
    output.push(']');
}

/// The places of all replacements that `text` holds already, in order.
pub(super) fn existing(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut position = 0;
    while let Some(offset) = text.get(position..).and_then(|rest| rest.find('[')) {
        let start = position + offset;
        position = match text.get(start..).and_then(length_at_start) {
            Some(length) => {
                ranges.push(start..start + length);
                start + length
            }
            None => start + 1,
        };
    }
    ranges
}

/// Whether a secret or an address in `text` was replaced.
#[must_use]
pub fn holds_replacement(text: &str) -> bool {
    !existing(text).is_empty()
}

/// Whether `text` is one replacement and nothing else.
pub(super) fn is_replacement(text: &str) -> bool {
    length_at_start(text) == Some(text.len())
}

/// The length of the replacement that `text` begins with.
pub(super) fn length_at_start(text: &str) -> Option<usize> {
    let (start, is_body): (&str, fn(&str) -> bool) = if text.starts_with(SECRET_START) {
        (SECRET_START, is_secret_body)
    } else if text.starts_with(ADDRESS_START) {
        (ADDRESS_START, is_address_body)
    } else {
        return None;
    };
    let end = text
        .bytes()
        .take(MAXIMUM_LENGTH)
        .position(|byte| byte == b']')?;
    is_body(text.get(start.len()..end)?).then_some(end + 1)
}

/// Without a fingerprint only the rules that exist are taken, so that `[redacted:hunter2]`,
/// which is somebody else's, hides nothing from the other rules.
fn is_secret_body(body: &str) -> bool {
    match body.split_once(':') {
        None => Rule::NAMES.contains(&body),
        Some((rule, fingerprint)) => {
            let is_rule_byte = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
            !rule.is_empty() && rule.bytes().all(is_rule_byte) && is_fingerprint(fingerprint)
        }
    }
}

/// Only a network of the right length is taken: a host's address is no replacement.
fn is_address_body(body: &str) -> bool {
    let Some((address, rest)) = body.split_once('/') else {
        return false;
    };
    let (length, fingerprint) = match rest.split_once(':') {
        Some((length, fingerprint)) => (length, Some(fingerprint)),
        None => (rest, None),
    };
    let is_network = address.parse().is_ok_and(|address: IpAddr| {
        let (network, bits) = network_prefix(address);
        network == address && length == bits.to_string()
    });
    is_network && fingerprint.is_none_or(is_fingerprint)
}

fn is_fingerprint(text: &str) -> bool {
    text.len() == 16
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
