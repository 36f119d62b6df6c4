//! Making numbers: from integers and from decimal text.

use super::numeric::{BASE, DECIMALS_PER_DIGIT, MAX_SCALE, Numeric, varlena_header, write_payload};

/// A number that owns its bytes.
#[derive(Clone, Debug)]
pub struct OwnedNumeric {
    varlena: Vec<u8>,
}

impl OwnedNumeric {
    /// The number to read or to give to a [`Builder`](super::Builder).
    #[must_use]
    pub fn as_numeric(&self) -> Numeric<'_> {
        Numeric::unchecked(&self.varlena)
    }

    /// Reads decimal text as JSON writes it, with an optional fraction and exponent, keeping
    /// zeros at the end of the fraction as the server does. `None` if it is no such text or
    /// beyond what a numeric can hold.
    #[must_use]
    pub fn from_decimal(text: &str) -> Option<Self> {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text),
        };
        let decimal = Decimal::parse(unsigned)?;
        let (weight, digits) = decimal.digits()?;
        let scale = decimal.scale()?;
        Self::from_parts(is_negative && !digits.is_empty(), weight, scale, &digits)
    }

    fn from_parts(is_negative: bool, weight: i16, scale: u16, digits: &[u16]) -> Option<Self> {
        let mut varlena = vec![0; 4];
        write_payload(&mut varlena, is_negative, weight, scale, digits);
        let header = varlena_header(varlena.len())?;
        varlena.splice(..4, header);
        Some(Self { varlena })
    }
}

impl Numeric<'_> {
    /// The number as the server stores an integer.
    #[must_use]
    pub fn from_i64(value: i64) -> OwnedNumeric {
        let mut varlena = Vec::new();
        write_integer(&mut varlena, value);
        OwnedNumeric { varlena }
    }
}

/// Appends an integer with its varlena header.
pub(super) fn write_integer(out: &mut Vec<u8>, value: i64) {
    // Five digits of base 10000 hold 20 decimal digits, more than any i64 has.
    let mut digits = [0_u16; 5];
    let mut rest = value.unsigned_abs();
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        if rest == 0 {
            break;
        }
        *digit = (rest % u64::from(BASE)) as u16;
        rest /= u64::from(BASE);
        count += 1;
    }
    let digits = digits.get(5 - count..).unwrap_or_default();
    let stored = without_zeros_at_the_end(digits);
    // Header and digits are at most 16 bytes, so there always is a varlena header.
    out.extend_from_slice(&varlena_header(6 + 2 * stored.len()).unwrap_or_default());
    let weight = i16::try_from(count).unwrap_or_default() - 1;
    write_payload(out, value < 0, weight.max(0), 0, stored);
}

fn without_zeros_at_the_end(digits: &[u16]) -> &[u16] {
    let end = digits
        .iter()
        .rposition(|digit| *digit != 0)
        .map_or(0, |last| last + 1);
    digits.get(..end).unwrap_or_default()
}

/// Decimal text taken apart.
struct Decimal<'a> {
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn parse(unsigned: &'a str) -> Option<Self> {
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        Some(Self {
            whole,
            fraction,
            exponent: exponent.into(),
        })
    }

    /// The digits after the point that are shown: an exponent moves the point.
    fn scale(&self) -> Option<u16> {
        let fraction = i64::try_from(self.fraction.len()).ok()?;
        let scale = u16::try_from(fraction.saturating_sub(self.exponent).max(0)).ok()?;
        (scale <= MAX_SCALE).then_some(scale)
    }

    /// The weight of the first digit and the digits, without zeros at either end.
    fn digits(&self) -> Option<(i16, Vec<u16>)> {
        let decimals = || self.whole.bytes().chain(self.fraction.bytes());
        let leading_zeros = decimals().take_while(|decimal| *decimal == b'0').count();
        if leading_zeros == self.whole.len() + self.fraction.len() {
            return Some((0, Vec::new()));
        }
        let first = i64::try_from(self.whole.len()).ok()? - i64::try_from(leading_zeros).ok()?;
        let decimal_weight = first - 1 + self.exponent;
        let weight = i16::try_from(decimal_weight.div_euclid(4)).ok()?;
        // Where the first decimal stands inside the first digit.
        let place = usize::try_from(decimal_weight.rem_euclid(4)).ok()?;
        let padding = std::iter::repeat_n(b'0', DECIMALS_PER_DIGIT - 1 - place);
        let digits = group(padding.chain(decimals().skip(leading_zeros)));
        Some((weight, without_zeros_at_the_end(&digits).to_vec()))
    }
}

/// Groups decimals by four; a last group that is not full is filled with zeros.
fn group(decimals: impl Iterator<Item = u8>) -> Vec<u16> {
    let mut digits = Vec::new();
    let mut place = 0;
    for decimal in decimals {
        if place == 0 {
            digits.push(0);
            place = BASE;
        }
        place /= 10;
        if let Some(digit) = digits.last_mut() {
            *digit += u16::from(decimal - b'0') * place;
        }
        place = if place == 1 { 0 } else { place };
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimal_text_is_printed_as_the_server_prints_it() {
        let cases = [
            ("0", "0"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            ("1.10", "1.10"),
            ("0.000001", "0.000001"),
            ("1e-6", "0.000001"),
            ("1.5e3", "1500"),
            ("1.5E+0", "1.5"),
            ("12345678901234567890", "12345678901234567890"),
            ("10000.0001", "10000.0001"),
            ("00012", "12"),
        ];
        for (text, printed) in cases {
            let number = OwnedNumeric::from_decimal(text).expect(text);
            assert_eq!(number.as_numeric().to_string(), printed);
        }
    }

    #[test]
    fn text_that_is_no_number_is_refused() {
        for text in [
            "",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e1.5",
            "0x10",
            "NaN",
            "1 ",
            "--1",
            "1e99999999999",
        ] {
            assert!(OwnedNumeric::from_decimal(text).is_none(), "{text}");
        }
    }

    #[test]
    fn numbers_beyond_the_format_are_refused() {
        assert!(OwnedNumeric::from_decimal("1e131071").is_some());
        assert!(OwnedNumeric::from_decimal("1e131072").is_none());
        assert!(OwnedNumeric::from_decimal("1e-16383").is_some());
        assert!(OwnedNumeric::from_decimal("1e-16384").is_none());
    }

    #[test]
    fn whole_numbers_are_found_in_any_notation() {
        let whole = |text| {
            OwnedNumeric::from_decimal(text)
                .unwrap()
                .as_numeric()
                .to_i64()
        };
        assert_eq!(whole("1.00"), Some(1));
        assert_eq!(whole("2e4"), Some(20_000));
        assert_eq!(whole("0.5"), None);
        assert_eq!(whole("10000.0001"), None);
        assert_eq!(whole("9223372036854775808"), None);
        assert_eq!(whole("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(whole("1e400"), None);
    }

    #[test]
    fn special_values_are_named_and_not_finite() {
        for (header, name) in [
            (0xC000_u16, "NaN"),
            (0xD000, "Infinity"),
            (0xF000, "-Infinity"),
        ] {
            let mut varlena = varlena_header(6).unwrap().to_vec();
            varlena.extend(header.to_ne_bytes());
            let number = Numeric::new(&varlena).unwrap();
            assert_eq!(number.to_string(), name);
            assert!(!number.is_finite());
            assert_eq!(number.to_i64(), None);
        }
    }

    proptest! {
        #[test]
        fn integers_keep_their_value_and_text(value: i64) {
            let number = Numeric::from_i64(value);
            let checked = Numeric::new(number.as_numeric().bytes()).unwrap();
            prop_assert_eq!(checked.to_i64(), Some(value));
            prop_assert_eq!(checked.to_string(), value.to_string());
            let parsed = OwnedNumeric::from_decimal(&value.to_string()).unwrap();
            prop_assert_eq!(parsed.as_numeric().bytes(), checked.bytes());
        }

        #[test]
        fn plain_decimals_are_printed_as_given(text in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,80})?") {
            let number = OwnedNumeric::from_decimal(&text).unwrap();
            prop_assert!(Numeric::new(number.as_numeric().bytes()).is_ok());
            let is_zero = text.bytes().all(|byte| b"-0.".contains(&byte));
            let expected = if is_zero { text.trim_start_matches('-') } else { &text };
            prop_assert_eq!(number.as_numeric().to_string(), expected);
        }

        #[test]
        fn arbitrary_bytes_are_a_number_or_refused(bytes: Vec<u8>) {
            if let Ok(number) = Numeric::new(&bytes) {
                prop_assert!(!number.to_string().is_empty());
                let _ = number.to_i64();
            }
        }
    }
}
