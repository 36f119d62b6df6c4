//! IPv4 and IPv6 addresses inside text.
//!
//! The unspecified addresses `0.0.0.0` and `::` are left alone: they are nobody's, and a rule
//! that opens a port to `0.0.0.0/0` is what an auditor looks for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::replacement::{Finding, Span};

/// Adds every address in `text` to `spans`.
pub(super) fn find(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let mut position = 0;
    while let Some(run) = next_run(bytes, position) {
        position = run.end;
        let Some(inside) = text.get(run.clone()) else {
            continue;
        };
        let colons = inside.bytes().filter(|byte| *byte == b':').count();
        match find_version_6(text, &run).filter(|_| colons >= 2) {
            Some((range, address)) => push(range, address.into(), spans),
            None => find_version_4(inside, run.start, spans),
        }
    }
}

fn push(range: Range<usize>, address: IpAddr, spans: &mut Vec<Span>) {
    if !address.is_unspecified() {
        spans.push(Span {
            range,
            finding: Finding::Address(address),
        });
    }
}

/// The next run of bytes that addresses are made of and that is long enough for one.
fn next_run(bytes: &[u8], mut position: usize) -> Option<Range<usize>> {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    loop {
        let start = position + bytes.get(position..)?.iter().position(is_part)?;
        let rest = bytes.get(start..)?;
        let end = start
            + rest
                .iter()
                .position(|byte| !is_part(byte))
                .unwrap_or(rest.len());
        if end - start >= 3 {
            return Some(start..end);
        }
        position = end;
    }
}

/// The IPv6 address of a run: all of it, or without its first or last group where that belongs
/// to a word or a port beside the address (`host:2001:db8::1`, `2001:db8::1:`).
fn find_version_6(text: &str, run: &Range<usize>) -> Option<(Range<usize>, Ipv6Addr)> {
    let inside = text.get(run.clone())?;
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let bytes = text.as_bytes();
    let continues_word = is_word(bytes.get(..run.start)?.last());
    let is_continued = is_word(bytes.get(run.end));

    let full_start = (!continues_word).then_some(0);
    let full_end = (!is_continued).then_some(inside.trim_end_matches('.').len());
    let starts = [full_start, inside.find(':').map(|colon| colon + 1)];
    let ends = [full_end, inside.rfind(':')];
    let windows = starts
        .into_iter()
        .flatten()
        .flat_map(|start| ends.into_iter().flatten().map(move |end| start..end));
    for window in windows {
        if let Some(Ok(address)) = inside.get(window.clone()).map(str::parse) {
            return Some((run.start + window.start..run.start + window.end, address));
        }
    }
    None
}

/// Every IPv4 address in a run that begins at `offset` of the text.
fn find_version_4(run: &str, offset: usize, spans: &mut Vec<Span>) {
    let bytes = run.as_bytes();
    let mut position = 0;
    while let Some(digit) = bytes.get(position..).and_then(first_digit) {
        let start = position + digit;
        match version_4_at(bytes, start) {
            Some((end, address)) => {
                push(offset + start..offset + end, address.into(), spans);
                position = end;
            }
            None => position = start + number_length(bytes, start),
        }
    }
}

fn first_digit(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(u8::is_ascii_digit)
}

fn number_length(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The address whose first number stands at `start`, and its end; leading zeros are decimal.
fn version_4_at(bytes: &[u8], start: usize) -> Option<(usize, Ipv4Addr)> {
    let mut octets = [0; 4];
    let mut position = start;
    for (index, octet) in octets.iter_mut().enumerate() {
        if index > 0 {
            position += usize::from(bytes.get(position) == Some(&b'.'));
        }
        let length = number_length(bytes, position);
        let digits = bytes
            .get(position..position + length)
            .filter(|_| (1..=3).contains(&length))?;
        let value = digits
            .iter()
            .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        *octet = u8::try_from(value).ok()?;
        position += length;
    }
    Some((position, octets.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(&str, String)> {
        let mut spans = Vec::new();
        find(text, &mut spans);
        let address = |finding| match finding {
            Finding::Address(address) => address.to_string(),
            Finding::Secret(_) => unreachable!(),
        };
        spans
            .into_iter()
            .map(|span| (&text[span.range], address(span.finding)))
            .collect()
    }

    #[test]
    fn addresses_are_found_in_every_form() {
        for (text, form) in [
            ("10.8.8.77", "10.8.8.77"),
            ("from 10.8.8.77.", "10.8.8.77"),
            ("10.8.8.77:5678", "10.8.8.77"),
            ("host=10.8.8.77;", "10.8.8.77"),
            ("10.8.8.0/24", "10.8.8.0"),
            ("v10.8.8.77x", "10.8.8.77"),
            ("10.8.8.77.443 > x", "10.8.8.77"),
            ("2001:db8::1", "2001:db8::1"),
            ("at 2001:db8::1.", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:DB8:0:0:0:0:0:1", "2001:DB8:0:0:0:0:0:1"),
            ("::1", "::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("host:2001:db8::1", "2001:db8::1"),
            ("addr:2001:db8::1,", "2001:db8::1"),
            ("2001:db8::1: timeout", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8::"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
        ] {
            assert_eq!(
                found(text).iter().map(|hit| hit.0).collect::<Vec<_>>(),
                [form],
                "{text}"
            );
        }
    }

    #[test]
    fn several_addresses_are_all_found() {
        let hits = found("1.2.3.4, 2001:db8::1 ,5.6.7.8:10.0.0.1");
        let forms: Vec<_> = hits.iter().map(|hit| hit.0).collect();
        assert_eq!(forms, ["1.2.3.4", "2001:db8::1", "5.6.7.8", "10.0.0.1"]);
    }

    #[test]
    fn leading_zeros_are_decimal() {
        assert_eq!(
            found("010.008.008.077"),
            [("010.008.008.077", "10.8.8.77".to_owned())]
        );
    }

    #[test]
    fn other_text_is_no_address() {
        for text in [
            "12:34:56",
            "12:c4:b6:95:a1:71",
            "1.2.3",
            "1.2.3.400",
            "AWS::S3::Bucket",
            "0.0.0.0/0",
            "::/0",
            "2023-07-10T11:42:31Z",
            "a:b",
            "::",
            "...",
            "1234.1.1.1",
            "std::fmt::Write",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
    }
}
