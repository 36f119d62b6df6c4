//! Who calls from where: client addresses behind proxies, and the text form of identifiers.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A network of addresses, such as that of a trusted proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The bits of the network's address; IPv4 stands in its IPv4-mapped form.
    bits: u128,
    /// The length of the prefix in the 128-bit form: 96 more than what was written for IPv4.
    length: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// What stands before the slash is no IPv4 or IPv6 address.
    Address,
    /// What stands after the slash is no number of bits that the address has.
    PrefixLength,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Address => "a network needs an IPv4 or IPv6 address",
            Self::PrefixLength => {
                "the prefix length of a network must be between 0 and 32 for IPv4, \
                 between 0 and 128 for IPv6"
            }
        })
    }
}

impl std::error::Error for NetworkError {}

/// The number of leading bits that an IPv4-mapped address shares with every other one.
const MAPPED_LENGTH: u8 = 96;

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or a single address.
    ///
    /// Bits beyond the prefix are ignored; an IPv4-mapped network is the IPv4 network it maps.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let text = text.trim();
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let (offset, width) = if address.is_ipv4() {
            (MAPPED_LENGTH, 32)
        } else {
            (0, 128)
        };
        let length = length.map_or(Ok(width), |length| parse_length(length, width))? + offset;
        Ok(Self {
            bits: leading_bits(mapped(address), length),
            length,
        })
    }

    /// Whether the network holds `address`; an IPv6 network shorter than /96 holds no IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let is_of_family = self.length >= MAPPED_LENGTH || address.to_canonical().is_ipv6();
        is_of_family && leading_bits(mapped(address), self.length) == self.bits
    }
}

fn parse_length(text: &str, width: u8) -> Result<u8, NetworkError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(length) if is_number && length <= width => Ok(length),
        _ => Err(NetworkError::PrefixLength),
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn leading_bits(bits: u128, length: u8) -> u128 {
    match u128::MAX.checked_shr(u32::from(length)) {
        Some(rest) => bits & !rest,
        None => bits,
    }
}

/// Picks the client's address from proxy headers.
///
/// - A `peer` that is no trusted proxy is the answer: its headers could say anything. With no
///   trusted proxies at all this holds for every peer.
/// - `forwarded_for` is read from right to left, since every proxy adds what it saw at the
///   right. Trusted proxies are skipped; the first other address is the answer. An entry that
///   is no address (`unknown`, garbage) ends the walk, for nothing left of it can be believed:
///   the answer is the last trusted hop, so at worst the peer. If all are trusted, it is the
///   leftmost.
/// - `real_ip` counts only where `forwarded_for` has no entry.
/// - Without a peer (a Unix socket, or unknown to the caller) the headers are taken to come
///   from a trusted proxy; with no trusted proxies the rightmost entry is the answer.
///
/// Entries may have ports, brackets, quotes and the form of RFC 7239 (`for="[2001:db8::1]:80"`).
/// The answer is never IPv4-mapped.
pub fn client_ip(
    forwarded_for: Option<&str>,
    real_ip: Option<&str>,
    peer: Option<IpAddr>,
    trusted: &[Network],
) -> Option<IpAddr> {
    let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
    let mut believed = peer.map(|address| address.to_canonical());
    if believed.is_some_and(|address| !is_trusted(address)) {
        return believed;
    }
    let mut entries = hops(forwarded_for.unwrap_or_default()).peekable();
    if entries.peek().is_none() {
        return real_ip.and_then(parse_hop).or(believed);
    }
    for entry in entries {
        match parse_hop(entry) {
            Some(address) if is_trusted(address) => believed = Some(address),
            Some(address) => return Some(address),
            None => return believed,
        }
    }
    believed
}

/// The entries of a forwarding header that are not empty, from right to left.
fn hops(header: &str) -> impl Iterator<Item = &str> {
    header
        .rsplit(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

/// The address of one entry, without port, zone, brackets, quotes and other parameters.
fn parse_hop(entry: &str) -> Option<IpAddr> {
    let entry = forwarded_parameter(entry).unwrap_or(entry).trim();
    let entry = entry
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(entry);
    let (host, _zone) = entry.split_once('%').unwrap_or((entry, ""));
    let bracketed = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = host
        .parse()
        .or_else(|_| entry.parse().map(|socket: SocketAddr| socket.ip()));
    let address = match bracketed {
        Some(inside) => IpAddr::V6(inside.split('%').next()?.parse::<Ipv6Addr>().ok()?),
        None => address.ok()?,
    };
    Some(address.to_canonical())
}

/// The value of `for=` among the parameters of an RFC 7239 entry.
fn forwarded_parameter(entry: &str) -> Option<&str> {
    entry.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })
}

/// Reads a UUID in every form that the type `uuid` of Postgres reads, and in no other: 32 hex
/// digits, a hyphen allowed after every group of four, braces allowed around the whole.
pub fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let mut rest = match text.strip_prefix('{') {
        Some(inside) => inside.strip_suffix('}')?,
        None => text,
    };
    let mut uuid = [0; 16];
    for (index, byte) in uuid.iter_mut().enumerate() {
        let may_follow_hyphen = index > 0 && index % 2 == 0;
        if may_follow_hyphen && let Some(after) = rest.strip_prefix('-') {
            rest = after;
        }
        let (pair, after) = rest.split_at_checked(2)?;
        *byte = parse_byte(pair)?;
        rest = after;
    }
    rest.is_empty().then_some(uuid)
}

fn parse_byte(pair: &str) -> Option<u8> {
    let mut digits = pair.chars().map(|digit| digit.to_digit(16));
    let value = digits.next()?? * 16 + digits.next()??;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests;
