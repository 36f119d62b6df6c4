//! Known answers of the keys, computed with the hmac and hashlib modules of Python.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here fails the test"
)]

use std::net::IpAddr;

use activity_log_core::privacy::{
    AddressKey, FingerprintKey, epoch_secret, key_id, network_prefix,
};
use proptest::prelude::*;

const TENANT: [u8; 16] = [
    0x01, 0x90, 0xb2, 0xc3, 0xd4, 0xe5, 0x7f, 0x60, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x07, 0x18,
];

fn master() -> [u8; 32] {
    std::array::from_fn(|index| index as u8)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn address_key() -> AddressKey {
    AddressKey::derive(&epoch_secret(&master(), 7), &TENANT, 7)
}

#[test]
fn fingerprint_has_its_known_answer() {
    let key = FingerprintKey::derive(&master(), &TENANT);
    assert_eq!(hex(&key.fingerprint(b"hunter2")), "ce9a5fce7eb9f78f");
}

#[test]
fn epoch_secret_has_its_known_answer() {
    assert_eq!(
        hex(&epoch_secret(&master(), 7)),
        "6a4dc47f0131b6a5d5f93b8708b4e199fe5b1656dadbe078c15930f3ff99d5af"
    );
}

#[test]
fn key_id_has_its_known_answer() {
    assert_eq!(hex(&key_id(&master())), "5726b6b78a61afbd");
}

#[test]
fn address_hashes_have_their_known_answers() {
    let key = address_key();
    assert_eq!(
        hex(&key.hash(address("203.0.113.9"))),
        "000000074da5e1642b0a4882957db8fa2570b097"
    );
    assert_eq!(
        hex(&key.hash(address("2001:db8::1"))),
        "00000007d8e28c80305d262466d7acea991706f7"
    );
}

#[test]
fn mapped_address_hashes_like_the_address_it_maps() {
    let key = address_key();
    assert_eq!(
        key.hash(address("1.2.3.4")),
        key.hash(address("::ffff:1.2.3.4"))
    );
}

#[test]
fn tenants_and_epochs_do_not_share_hashes() {
    let secret = epoch_secret(&master(), 7);
    let host = address("1.2.3.4");
    let hash = AddressKey::derive(&secret, &TENANT, 7).hash(host);
    assert_ne!(hash, AddressKey::derive(&secret, &[0; 16], 7).hash(host));
    assert_ne!(
        hash[4..],
        AddressKey::derive(&secret, &TENANT, 8).hash(host)[4..]
    );
}

#[test]
fn debug_output_shows_no_key() {
    let fingerprints = FingerprintKey::derive(&master(), &TENANT);
    assert_eq!(format!("{fingerprints:?}"), "FingerprintKey { .. }");
    assert_eq!(
        format!("{:?}", address_key()),
        "AddressKey { epoch: 7, .. }"
    );
}

#[test]
fn network_prefix_cuts_at_24_and_48_bits() {
    assert_eq!(
        network_prefix(address("10.8.8.77")),
        (address("10.8.8.0"), 24)
    );
    assert_eq!(
        network_prefix(address("::ffff:10.8.8.77")),
        (address("10.8.8.0"), 24)
    );
    assert_eq!(
        network_prefix(address("2001:db8:1:2::9")),
        (address("2001:db8:1::"), 48)
    );
}

proptest! {
    #[test]
    fn different_addresses_have_different_hashes(left: u32, right: u32) {
        let key = address_key();
        let hash = |bits: u32| key.hash(IpAddr::V4(bits.into()));
        prop_assert_eq!(left == right, hash(left) == hash(right));
    }
}
