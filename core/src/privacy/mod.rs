//! Privacy.
mod keys;
pub use keys::{AddressKey, FingerprintKey, epoch_secret, key_id, network_prefix};
