use super::*;
use proptest::prelude::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn networks(texts: &[&str]) -> Vec<Network> {
    texts
        .iter()
        .map(|text| Network::parse(text).unwrap())
        .collect()
}

/// The client behind a peer 10.0.0.1, where 10.0.0.0/8 and fd00::/8 are trusted.
fn behind_proxy(forwarded_for: &str) -> Option<IpAddr> {
    let trusted = networks(&["10.0.0.0/8", "fd00::/8"]);
    client_ip(
        Some(forwarded_for),
        Some("9.9.9.9"),
        Some(address("10.0.0.1")),
        &trusted,
    )
}

#[test]
fn untrusted_peer_is_the_client_whatever_its_headers_say() {
    let peer = Some(address("203.0.113.5"));
    let trusted = networks(&["10.0.0.0/8"]);
    assert_eq!(
        client_ip(Some("1.1.1.1"), Some("2.2.2.2"), peer, &trusted),
        peer
    );
    assert_eq!(client_ip(Some("1.1.1.1"), Some("2.2.2.2"), peer, &[]), peer);
}

#[test]
fn spoofed_left_entries_never_win() {
    assert_eq!(
        behind_proxy("6.6.6.6, 203.0.113.5, 10.1.1.1"),
        Some(address("203.0.113.5"))
    );
    assert_eq!(
        behind_proxy("10.6.6.6, 203.0.113.5"),
        Some(address("203.0.113.5"))
    );
}

#[test]
fn garbage_ends_the_walk_at_the_last_trusted_hop() {
    for garbage in [
        "unknown",
        "_hidden",
        "1.2.3",
        "1.2.3.4:http",
        "[1.2.3.4]",
        "::g",
        "for=",
    ] {
        let header = format!("6.6.6.6, {garbage}, 10.1.1.1");
        assert_eq!(
            behind_proxy(&header),
            Some(address("10.1.1.1")),
            "{garbage}"
        );
        assert_eq!(
            behind_proxy(garbage),
            Some(address("10.0.0.1")),
            "{garbage}"
        );
    }
}

#[test]
fn entries_may_have_ports_brackets_quotes_and_parameters() {
    for (entry, client) in [
        ("1.2.3.4:5678", "1.2.3.4"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("\"[2001:db8::1]\"", "2001:db8::1"),
        ("for=\"[2001:db8::1]:80\"", "2001:db8::1"),
        ("proto=https; FOR = 1.2.3.4 ;by=9.9.9.9", "1.2.3.4"),
        ("  1.2.3.4\t", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("[::ffff:1.2.3.4]:80", "1.2.3.4"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%eth0]", "fe80::1"),
        ("1.2.3.4, , ,", "1.2.3.4"),
    ] {
        assert_eq!(behind_proxy(entry), Some(address(client)), "{entry}");
    }
}

#[test]
fn mapped_proxies_are_trusted_like_the_addresses_they_map() {
    let trusted = networks(&["10.0.0.0/8"]);
    let peer = Some(address("::ffff:10.0.0.1"));
    let client = client_ip(Some("203.0.113.5, ::ffff:10.0.0.2"), None, peer, &trusted);
    assert_eq!(client, Some(address("203.0.113.5")));
}

#[test]
fn all_trusted_entries_give_the_leftmost() {
    assert_eq!(behind_proxy("10.3.3.3, fd00::2"), Some(address("10.3.3.3")));
}

#[test]
fn real_ip_counts_only_without_forwarded_for() {
    let trusted = networks(&["10.0.0.0/8"]);
    let peer = Some(address("10.0.0.1"));
    let client = |forwarded_for, real_ip| client_ip(forwarded_for, real_ip, peer, &trusted);
    assert_eq!(
        client(None, Some("203.0.113.5")),
        Some(address("203.0.113.5"))
    );
    assert_eq!(
        client(Some(" , "), Some("203.0.113.5")),
        Some(address("203.0.113.5"))
    );
    assert_eq!(client(Some("unknown"), Some("203.0.113.5")), peer);
    assert_eq!(client(None, Some("garbage")), peer);
    assert_eq!(client(None, None), peer);
}

#[test]
fn without_peer_and_proxies_the_rightmost_entry_is_the_client() {
    let client = |forwarded_for| client_ip(Some(forwarded_for), None, None, &[]);
    assert_eq!(client("1.1.1.1, 2.2.2.2"), Some(address("2.2.2.2")));
    assert_eq!(client("1.1.1.1, garbage"), None);
}

#[test]
fn networks_hold_their_addresses() {
    let holds =
        |network: &str, host: &str| Network::parse(network).unwrap().contains(address(host));
    assert!(holds("10.0.0.0/8", "10.255.255.255"));
    assert!(!holds("10.0.0.0/8", "11.0.0.0"));
    assert!(holds("10.1.2.3", "10.1.2.3") && !holds("10.1.2.3", "10.1.2.4"));
    assert!(holds("10.1.2.3/8", "10.9.9.9"));
    assert!(holds("2001:db8::/32", "2001:db8:ffff::1"));
    assert!(!holds("2001:db8::/32", "2001:db9::"));
    assert!(holds("::ffff:10.0.0.0/104", "10.2.3.4"));
    assert!(holds("0.0.0.0/0", "1.2.3.4") && !holds("0.0.0.0/0", "2001:db8::1"));
    assert!(holds("::/0", "2001:db8::1") && !holds("::/0", "1.2.3.4"));
}

#[test]
fn bad_networks_are_refused() {
    for text in ["", "garbage", "10.0.0/8", "10.0.0.0.0/8", "/8"] {
        assert_eq!(Network::parse(text), Err(NetworkError::Address), "{text}");
    }
    for text in [
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "::/129",
        "::/999",
    ] {
        assert_eq!(
            Network::parse(text),
            Err(NetworkError::PrefixLength),
            "{text}"
        );
    }
}

#[test]
fn uuids_are_read_as_postgres_reads_them() {
    let expected = Some([
        0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a,
        0x11,
    ]);
    for text in [
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
        "a0eebc999c0b4ef8bb6d6bb9bd380a11",
        "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
        "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
    ] {
        assert_eq!(parse_uuid(text), expected, "{text}");
    }
}

#[test]
fn what_postgres_refuses_as_a_uuid_is_refused() {
    for text in [
        "",
        "{}",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-",
        "-a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "a0-eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11",
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
        " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "+0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "é0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
    ] {
        assert_eq!(parse_uuid(text), None, "{text}");
    }
}

/// One entry of a header: trusted, not trusted, or no address.
fn entry() -> impl Strategy<Value = String> {
    prop_oneof![
        (0u8.., 0u8..).prop_map(|(third, last)| format!("10.0.{third}.{last}")),
        (1u8.., 0u8..).prop_map(|(third, last)| format!("203.0.{third}.{last}:80")),
        "[a-z]{1,6}|_[a-z]+|\\PC{0,8}".prop_map(|text| text.replace(',', "")),
    ]
}

proptest! {
    #[test]
    fn nothing_left_of_an_untrusted_entry_is_believed(
        left in proptest::collection::vec(entry(), 0..4),
        untrusted in prop_oneof![Just("198.51.100.7"), Just("unknown"), Just("1.2.3")],
        right in proptest::collection::vec("10\\.0\\.[0-9]\\.[0-9]", 0..4),
    ) {
        let trusted = networks(&["10.0.0.0/8"]);
        let peer = address("10.9.9.9");
        let header = [left, vec![untrusted.to_owned()], right.clone()].concat().join(", ");
        let client = client_ip(Some(&header), Some("6.6.6.6"), Some(peer), &trusted);
        let nearest = right.first().map_or(peer, |hop| address(hop));
        prop_assert_eq!(client, Some(untrusted.parse().unwrap_or(nearest)));
    }

    #[test]
    fn no_header_makes_the_walk_fail(forwarded_for in "\\PC{0,80}", real_ip in "\\PC{0,40}") {
        let trusted = networks(&["0.0.0.0/0"]);
        client_ip(Some(&forwarded_for), Some(&real_ip), None, &trusted);
    }

    #[test]
    fn networks_hold_exactly_the_addresses_that_share_the_prefix(
        network: u32, host: u32, length in 0u8..=32,
    ) {
        let text = format!("{}/{length}", IpAddr::V4(network.into()));
        let shift = 32 - u32::from(length);
        let shares = u64::from(network) >> shift == u64::from(host) >> shift;
        let holds = Network::parse(&text).unwrap().contains(IpAddr::V4(host.into()));
        prop_assert_eq!(holds, shares);
    }
}
