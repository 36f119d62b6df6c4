//! Numbers of payment cards in text: an issuer's prefix, a length that the issuer uses, and the
//! Luhn check digit. The check digit alone fits every tenth number, timestamps among them.

use super::replacement::{Finding, Span};
use super::rule::Rule;

/// The shortest and the longest number of a card, in digits.
const SHORTEST: usize = 13;
const LONGEST: usize = 19;

/// How cards print their digits, in groups that one kind of separator divides.
const GROUPINGS: &[&[usize]] = &[
    &[4, 4, 4, 4, 3],
    &[4, 4, 4, 4],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 4, 4, 1],
];

/// Adds every card number in `text` to `spans`.
pub(super) fn find(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let mut position = 0;
    while let Some(offset) = rest(bytes, position).iter().position(u8::is_ascii_digit) {
        let start = position + offset;
        position = start + digits_at(bytes, start);
        if !may_begin(bytes, start) {
            continue;
        }
        if let Some(end) = number_end(bytes, start) {
            spans.push(Span {
                range: start..end,
                finding: Finding::Secret(Rule::CardNumber),
            });
            position = end;
        }
    }
}

fn rest(bytes: &[u8], start: usize) -> &[u8] {
    bytes.get(start..).unwrap_or_default()
}

/// How many digits stand at `start`.
fn digits_at(bytes: &[u8], start: usize) -> usize {
    rest(bytes, start)
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}

/// A number goes on from a letter (a hash, a UUID) and from a decimal point.
fn may_begin(bytes: &[u8], start: usize) -> bool {
    match bytes.get(..start).unwrap_or_default() {
        [.., before, b'.' | b','] if before.is_ascii_digit() => false,
        [.., before] => !before.is_ascii_alphanumeric(),
        [] => true,
    }
}

fn may_end(bytes: &[u8], end: usize) -> bool {
    match rest(bytes, end) {
        [b'.', after, ..] => !after.is_ascii_digit(),
        [after, ..] => !after.is_ascii_alphanumeric(),
        [] => true,
    }
}

fn number_end(bytes: &[u8], start: usize) -> Option<usize> {
    let first_group = digits_at(bytes, start);
    if (SHORTEST..=LONGEST).contains(&first_group) {
        let end = start + first_group;
        return (may_end(bytes, end) && is_card(bytes.get(start..end)?)).then_some(end);
    }
    let separator = *bytes.get(start + first_group)?;
    let mut ends = GROUPINGS
        .iter()
        .filter_map(|groups| grouped_end(bytes, start, groups, separator));
    ends.find(|end| may_end(bytes, *end) && bytes.get(start..*end).is_some_and(is_card))
}

/// The end of digits that stand at `start` in exactly these groups.
fn grouped_end(bytes: &[u8], start: usize, groups: &[usize], separator: u8) -> Option<usize> {
    if !matches!(separator, b' ' | b'-') {
        return None;
    }
    let mut end = start;
    for (index, length) in groups.iter().enumerate() {
        if index > 0 {
            end += usize::from(bytes.get(end) == Some(&separator));
        }
        if digits_at(bytes, end) != *length {
            return None;
        }
        end += length;
    }
    Some(end)
}

fn is_card(text: &[u8]) -> bool {
    let digits = || {
        text.iter()
            .filter(|byte| byte.is_ascii_digit())
            .map(|byte| byte - b'0')
    };
    let length = digits().count();
    let prefix = digits()
        .take(6)
        .fold(0, |number, digit| number * 10 + u32::from(digit));
    is_issued(prefix, length) && has_check_digit(digits().rev())
}

/// Whether an issuer gives out numbers of this length that begin with these six digits.
fn is_issued(prefix: u32, length: usize) -> bool {
    match prefix {
        // Visa.
        400_000..=499_999 => matches!(length, 13 | 16 | 19),
        // Mastercard, Mir, JCB.
        510_000..=559_999 | 222_100..=272_099 | 220_000..=220_499 | 352_800..=358_999 => {
            length == 16
        }
        // American Express.
        340_000..=349_999 | 370_000..=379_999 => length == 15,
        // Diners Club.
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => {
            matches!(length, 14 | 16)
        }
        // Discover, RuPay, UnionPay.
        601_100..=601_199 | 644_000..=659_999 | 620_000..=629_999 | 508_500..=508_999 => {
            matches!(length, 16..=19)
        }
        // Maestro.
        501_800..=501_899
        | 502_000..=502_099
        | 503_800..=503_899
        | 630_400..=630_499
        | 675_900..=676_399 => matches!(length, 13..=19),
        _ => false,
    }
}

/// The Luhn check, over the digits from the last to the first.
fn has_check_digit(digits: impl Iterator<Item = u8>) -> bool {
    let sum: u32 = digits
        .enumerate()
        .map(|(index, digit)| match (index % 2, digit) {
            (0, digit) => u32::from(digit),
            (_, digit) => u32::from(digit * 2 / 10 + digit * 2 % 10),
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut spans = Vec::new();
        find(text, &mut spans);
        spans.into_iter().map(|span| &text[span.range]).collect()
    }

    #[test]
    fn numbers_of_every_issuer_are_found_in_every_grouping() {
        for number in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4222222222222",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "3782 822463 10005",
            "6011111111111117",
            "3530111333300000",
            "30569309025904",
            "3056 930902 5904",
            "6200000000000005",
        ] {
            assert_eq!(found(&format!("paid with {number}, thanks")), [number]);
            assert_eq!(found(&format!("{number} 123 {number}.")), [number, number]);
        }
    }

    #[test]
    fn other_numbers_are_not_taken_for_cards() {
        for text in [
            "1720000000000",
            "1720000000000000",
            "1720000000000000000",
            "4111111111111112",
            "41111111111111111",
            "14111111111111111",
            "x4111111111111111",
            "4111111111111111e",
            "0.4111111111111111",
            "4111111111111111.5",
            "4111 1111-1111 1111",
            "4111  1111 1111 1111",
            "41111111-1111-1111-1111-111111111111",
            "4111-1111-1111-111111111111",
            "550e8400-e29b-41d4-a716-446655440000",
            "9999999999999995",
            "123837392027",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
    }
}
