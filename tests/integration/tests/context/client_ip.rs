//! The client that the headers of proxies name.

use super::*;

/// X-Forwarded-For, X-Real-IP, peer, trusted proxies, and the client that they make; `-` is NULL.
const HOPS: &str = "
    # Nothing said, nothing known.
    - | - | - | - | -
      |   | 203.0.113.9 | - | 203.0.113.9
    # The peer is no proxy: what it says about others does not count.
    198.51.100.1 | 198.51.100.2 | 203.0.113.9 | 10.0.0.0/8 | 203.0.113.9
    # One trusted proxy; a chain of them is read from the right.
    198.51.100.1 | - | 10.0.0.1 | 10.0.0.0/8 | 198.51.100.1
    198.51.100.1, 10.0.0.3, 10.0.0.2 | - | 10.0.0.1 | 10.0.0.0/8 | 198.51.100.1
    # The client wrote the left entries itself.
    192.0.2.66, 198.51.100.1 | - | 10.0.0.1 | 10.0.0.0/8 | 198.51.100.1
    10.0.0.9, 198.51.100.1 | - | 10.0.0.1 | 10.0.0.0/8 | 198.51.100.1
    127.0.0.1, 192.0.2.66, 198.51.100.1, 10.0.0.2 | - | 10.0.0.1 | 10.0.0.0/8 | 198.51.100.1
    # Ports, brackets.
    198.51.100.1:4711 | - | 10.0.0.1 | 10.0.0.0/8 | 198.51.100.1
    [2001:db8::1]:4711 | - | 10.0.0.1 | 10.0.0.0/8 | 2001:db8::1
    [2001:db8::1] | - | 10.0.0.1 | 10.0.0.0/8 | 2001:db8::1
    2001:db8::1 | - | 10.0.0.1 | 10.0.0.0/8 | 2001:db8::1
    # Proxies of both families, and single addresses in the list.
    2001:db8::1, 2001:db8:ffff::2 | - | 10.0.0.1 | 10.0.0.1 2001:db8:ffff::/48 | 2001:db8::1
    # X-Real-IP where there is no chain.
    - | 198.51.100.2 | 10.0.0.1 | 10.0.0.0/8 | 198.51.100.2
    # Everything is a proxy: the outermost of them.
    10.0.0.3, 10.0.0.2 | - | 10.0.0.1 | 10.0.0.0/8 | 10.0.0.3
    # No peer: the application knows already that it is behind a proxy.
    198.51.100.1 | - | - | - | 198.51.100.1
    # Garbage says nothing; what is nearer than it counts.
    unknown | - | 10.0.0.1 | 10.0.0.0/8 | 10.0.0.1
    198.51.100.1, '; DROP TABLE x, 10.0.0.2 | - | 10.0.0.1 | 10.0.0.0/8 | 10.0.0.2
";

#[test]
fn the_client_is_picked_from_the_headers_of_trusted_proxies_only() {
    let mut session = writer(&database());
    let call = session
        .prepare("SELECT host(activity.client_ip($1, $2, $3::text::inet, $4))")
        .unwrap();
    for line in HOPS.lines().filter(|line| line.contains('|')) {
        let cells: Vec<Option<&str>> = line
            .split('|')
            .map(|cell| Some(cell.trim()).filter(|cell| *cell != "-"))
            .collect();
        let trusted: Option<Vec<&str>> = cells[3].map(|list| list.split(' ').collect());
        let picked: Option<String> = session
            .query_one(&call, &[&cells[0], &cells[1], &cells[2], &trusted])
            .unwrap()
            .get(0);
        assert_eq!(picked.as_deref(), cells[4], "{line}");
    }
}

#[test]
fn a_bad_list_of_trusted_proxies_is_refused() {
    let mut session = writer(&database());
    for bad in [
        "ARRAY['10.0.0.0/33']",
        "ARRAY['proxy.example.org']",
        "ARRAY['10.0.0.0/8', '']",
    ] {
        let call = format!("SELECT activity.client_ip('198.51.100.1', NULL, '10.0.0.1', {bad})");
        let refusal = expect_error(session.simple_query(&call), "22023");
        assert!(refusal.message.contains("trusted_proxies"), "{refusal:?}");
        assert!(!refusal.text().contains("proxy.example.org"), "{refusal:?}");
    }
    session
        .batch_execute(
            "SELECT activity.client_ip('198.51.100.1', trusted_proxies => ARRAY[NULL]::text[])",
        )
        .unwrap();
}
