//! Keys: fingerprints of secrets, hashes of addresses, and how they derive from a master key.
//!
//! Every key derives by HKDF-SHA256 (RFC 5869, no salt) under a label of its own, so that no
//! purpose can be computed from another one and no tenant from another tenant.

use std::fmt;
use std::net::IpAddr;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const FINGERPRINT_LABEL: &[u8] = b"activity_log/fingerprint/v1\0";
const ADDRESS_LABEL: &[u8] = b"activity_log/address/v1\0";
const EPOCH_LABEL: &[u8] = b"activity_log/epoch/v1\0";
const IDENTIFIER_LABEL: &[u8] = b"activity_log/key_id/v1\0";

/// The key of one tenant under which secrets and addresses in documents get fingerprints.
#[derive(Clone)]
pub struct FingerprintKey(Hmac<Sha256>);

impl FingerprintKey {
    /// Derives the key of `tenant` (the 16 bytes of its UUID) from the 32-byte master key.
    pub fn derive(master: &[u8; 32], tenant: &[u8; 16]) -> Self {
        Self(keyed(&expand(master, &[FINGERPRINT_LABEL, tenant])))
    }

    /// The first 8 bytes of HMAC-SHA256 over `secret`.
    ///
    /// The rule that found the secret is not part of it: equal secrets of one tenant compare
    /// equal wherever they stand.
    pub fn fingerprint(&self, secret: &[u8]) -> [u8; 8] {
        truncate(&authenticate(&self.0, secret))
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FingerprintKey")
            .finish_non_exhaustive()
    }
}

/// The key of one tenant and key epoch under which addresses of callers are hashed.
#[derive(Clone)]
pub struct AddressKey {
    state: Hmac<Sha256>,
    epoch: u32,
}

impl AddressKey {
    /// Derives the key of `tenant` (the 16 bytes of its UUID) from the secret of `epoch`.
    pub fn derive(epoch_secret: &[u8; 32], tenant: &[u8; 16], epoch: u32) -> Self {
        let key = expand(epoch_secret, &[ADDRESS_LABEL, tenant, &epoch.to_be_bytes()]);
        Self {
            state: keyed(&key),
            epoch,
        }
    }

    /// The hash of an address: the key epoch (4 bytes, big-endian), then the first 16 bytes of
    /// HMAC-SHA256 over the 16-byte form of the address, where IPv4 is IPv4-mapped.
    ///
    /// So `1.2.3.4` and `::ffff:1.2.3.4` hash alike.
    pub fn hash(&self, address: IpAddr) -> [u8; 20] {
        let code: [u8; 16] = truncate(&authenticate(&self.state, &mapped_bytes(address)));
        let mut hash = [0; 20];
        let (epoch, rest) = hash.split_at_mut(4);
        epoch.copy_from_slice(&self.epoch.to_be_bytes());
        rest.copy_from_slice(&code);
        hash
    }

    /// The key epoch that begins every hash.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }
}

impl fmt::Debug for AddressKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AddressKey")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// The secret of a key epoch, derived from a master key that lives in a key file.
///
/// Giving up the master key of an epoch (or a stored epoch secret) leaves its hashes anonymous.
pub fn epoch_secret(master: &[u8; 32], epoch: u32) -> [u8; 32] {
    expand(master, &[EPOCH_LABEL, &epoch.to_be_bytes()])
}

/// A public identifier of a master key (8 bytes), to tell which key a database was written with.
pub fn key_id(master: &[u8; 32]) -> [u8; 8] {
    truncate(&expand(master, &[IDENTIFIER_LABEL]))
}

/// The network of an address and its length: /24 for IPv4 (also IPv4-mapped), /48 for IPv6.
pub fn network_prefix(address: IpAddr) -> (IpAddr, u8) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let network = u32::from(address) & (u32::MAX << 8);
            (IpAddr::V4(network.into()), 24)
        }
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 80);
            (IpAddr::V6(network.into()), 48)
        }
    }
}

/// The 16-byte form of an address, where IPv4 is IPv4-mapped.
pub(super) fn mapped_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
    .octets()
}

fn expand(secret: &[u8; 32], info: &[&[u8]]) -> [u8; 32] {
    let mut key = [0; 32];
    match Hkdf::<Sha256>::new(None, secret).expand_multi_info(info, &mut key) {
        Ok(()) => key,
        Err(_) => unreachable!("HKDF-SHA256 gives out up to 8160 bytes"),
    }
}

/// HMAC pads keys with zeros to its block of 64 bytes; a whole block needs no error path.
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    let (start, _) = block.split_at_mut(32);
    start.copy_from_slice(key);
    Hmac::new(&block.into())
}

fn authenticate(state: &Hmac<Sha256>, message: &[u8]) -> [u8; 32] {
    let mut state = state.clone();
    state.update(message);
    state.finalize().into_bytes().into()
}

fn truncate<const LENGTH: usize>(code: &[u8; 32]) -> [u8; LENGTH] {
    std::array::from_fn(|index| code.get(index).copied().unwrap_or_default())
}
