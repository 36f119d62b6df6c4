//! Names of durable consumers, and the number of the lock that one process at a time holds.

use sha2::{Digest, Sha256};

/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 63;

/// Whether a text may name a consumer: lower-case letters, digits, underscores, dots and hyphens,
/// a letter first.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
    text.len() <= MAX_NAME_BYTES
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && text.bytes().all(is_allowed)
}

/// The two halves of the lock's number.
#[must_use]
pub fn lock_key(name: &str) -> (u32, u32) {
    let digest = Sha256::new()
        .chain_update(b"activity_log/consumer/v1\n")
        .chain_update(name)
        .finalize();
    let half = |at: usize| {
        u32::from_be_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]])
    };
    (half(0), half(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for good in ["a", "billing", "web-feed.v2", "a_1", &"x".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            "Billing",
            "1a",
            "_a",
            "a b",
            "a'",
            "ä",
            "a\n",
            &"x".repeat(64),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn each_name_has_a_lock_of_its_own() {
        let keys: std::collections::BTreeSet<_> = (0..1_000)
            .map(|n| lock_key(&format!("consumer-{n}")))
            .collect();
        assert_eq!(keys.len(), 1_000);
    }
}
