//! Secrets and addresses: found in what callers hand over, and hidden before anything else
//! (validation, hashes, logs, storage) can see them.
//!
//! [`Scrubber`] replaces a secret by `[redacted:<rule>:<fingerprint>]` and an address by
//! `[address:<network>:<fingerprint>]`, where the fingerprint (16 hex digits, under a
//! [`FingerprintKey`]) lets equal secrets of a tenant compare equal. Without a key the
//! fingerprint and its colon are left out. What already is such a replacement stays as it is.
//!
//! How something is found: by the name of its key (`names`), by its shape (`patterns`, `cards`,
//! `addresses`), by an assignment inside text (`assignments`), and by all of these again inside
//! JSON that is kept in a string (`embedded`).

mod addresses;
mod assignments;
mod cards;
mod document;
mod embedded;
mod keys;
mod names;
mod patterns;
mod replacement;
mod rule;
mod scrubber;
mod suffixes;
mod vocabulary;

pub use keys::{AddressKey, FingerprintKey, epoch_secret, key_id, network_prefix};
pub use replacement::holds_replacement;
pub use scrubber::{AddressMode, MemberClass, ScrubOptions, Scrubber, ScrubberError, TextKind};
