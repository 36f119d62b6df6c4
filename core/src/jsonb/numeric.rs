//! Numbers as the server stores them: a varlena with base-10000 digits.

use std::fmt;

use super::check::Malformed;

const SIGN_MASK: u16 = 0xC000;
const LONG_NEGATIVE: u16 = 0x4000;
const SHORT: u16 = 0x8000;
const SPECIAL: u16 = 0xC000;
const SPECIAL_MASK: u16 = 0xF000;
const POSITIVE_INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;
const LONG_SCALE_MASK: u16 = 0x3FFF;
const SHORT_NEGATIVE: u16 = 0x2000;
const SHORT_SCALE_MASK: u16 = 0x1F80;
const SHORT_SCALE_SHIFT: u16 = 7;
const SHORT_WEIGHT_MASK: u16 = 0x003F;
const SHORT_WEIGHT_SIGN: u16 = 0x0040;

/// The base of a stored digit.
pub(super) const BASE: u16 = 10_000;
/// How many decimal digits a stored digit holds.
pub(super) const DECIMALS_PER_DIGIT: usize = 4;
/// The largest scale (decimal digits after the point) the format can express.
pub(super) const MAX_SCALE: u16 = LONG_SCALE_MASK;

/// The bytes of a `numeric`, with their varlena header.
#[derive(Clone, Copy, Debug)]
pub struct Numeric<'a> {
    varlena: &'a [u8],
}

/// A number taken apart. Digit `i` counts `10000^(weight - i)`.
struct Decoded<'a> {
    is_negative: bool,
    weight: i32,
    /// Decimal digits shown after the point.
    scale: usize,
    digits: &'a [[u8; 2]],
}

impl<'a> Numeric<'a> {
    /// Takes the bytes of a detoasted `numeric`, with a varlena header of four bytes or of one
    /// byte (as a table stores short values).
    ///
    /// # Errors
    /// [`Malformed::Number`] if it is compressed, toasted or not a numeric.
    pub fn new(varlena: &'a [u8]) -> Result<Self, Malformed> {
        let number = Self { varlena };
        number.check()?;
        Ok(number)
    }

    pub(super) fn unchecked(varlena: &'a [u8]) -> Self {
        Self { varlena }
    }

    /// The bytes, with their varlena header.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.varlena
    }

    /// Whether it is neither NaN nor an infinity, which JSON numbers cannot be.
    #[must_use]
    pub fn is_finite(self) -> bool {
        self.decode().is_some()
    }

    /// How many decimal digits the number is written with, about: a few bytes can stand for a
    /// hundred thousand zeros.
    #[must_use]
    pub fn written_digits(self) -> usize {
        self.decode().map_or(0, |decoded| {
            let whole = usize::try_from(decoded.weight.saturating_add(1)).unwrap_or(0);
            whole * DECIMALS_PER_DIGIT + decoded.scale
        })
    }

    /// The value, if it is a whole number in range; `1.00` is one.
    #[must_use]
    pub fn to_i64(self) -> Option<i64> {
        let decoded = self.decode()?;
        // Five digits hold any i64, and more of them still fit into an i128.
        if decoded.digits.is_empty() {
            return Some(0);
        }
        if !(0..=4).contains(&decoded.weight) {
            return None;
        }
        let whole = (0..=decoded.weight).fold(0_i128, |whole, index| {
            whole * i128::from(BASE) + i128::from(decoded.digit(index))
        });
        let fraction = usize::try_from(decoded.weight + 1).ok()?;
        if decoded
            .digits
            .iter()
            .skip(fraction)
            .any(|digit| *digit != [0, 0])
        {
            return None;
        }
        i64::try_from(if decoded.is_negative { -whole } else { whole }).ok()
    }

    /// What follows the varlena header, empty for what is no plain varlena of this length.
    pub(super) fn payload(self) -> &'a [u8] {
        let Some(&first) = self.varlena.first() else {
            return &[];
        };
        let length = self.varlena.len();
        if let Some(short_length) = short_varlena_length(first) {
            let payload = self.varlena.get(1..).unwrap_or_default();
            return if short_length == length { payload } else { &[] };
        }
        match self.varlena.split_first_chunk::<4>() {
            Some((header, payload)) if varlena_header(length) == Some(*header) => payload,
            _ => &[],
        }
    }

    pub(super) fn check(self) -> Result<(), Malformed> {
        let payload = self.payload();
        let is_special = header(payload).is_some_and(|header| header & SIGN_MASK == SPECIAL);
        let in_base = |digit: &[u8; 2]| u16::from_ne_bytes(*digit) < BASE;
        let fits = if is_special {
            payload.len() == 2
        } else {
            let digits_fit = |decoded: Decoded<'_>| decoded.digits.iter().all(in_base);
            payload.len().is_multiple_of(2) && self.decode().is_some_and(digits_fit)
        };
        if fits { Ok(()) } else { Err(Malformed::Number) }
    }

    /// `None` for NaN and the infinities (and for bytes that are too short).
    fn decode(self) -> Option<Decoded<'a>> {
        let payload = self.payload();
        let header = header(payload)?;
        let rest = payload.get(2..)?;
        match header & SIGN_MASK {
            SPECIAL => None,
            SHORT => Some(Decoded {
                is_negative: header & SHORT_NEGATIVE != 0,
                weight: short_weight(header),
                scale: usize::from((header & SHORT_SCALE_MASK) >> SHORT_SCALE_SHIFT),
                digits: rest.as_chunks().0,
            }),
            sign => {
                let (weight, digits) = rest.split_first_chunk::<2>()?;
                Some(Decoded {
                    is_negative: sign == LONG_NEGATIVE,
                    weight: i16::from_ne_bytes(*weight).into(),
                    scale: usize::from(header & LONG_SCALE_MASK),
                    digits: digits.as_chunks().0,
                })
            }
        }
    }

    fn special_name(self) -> &'static str {
        match header(self.payload()).map(|header| header & SPECIAL_MASK) {
            Some(POSITIVE_INFINITY) => "Infinity",
            Some(NEGATIVE_INFINITY) => "-Infinity",
            _ => "NaN",
        }
    }
}

/// The decimal text as the server prints it.
impl fmt::Display for Numeric<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(decoded) = self.decode() else {
            return formatter.write_str(self.special_name());
        };
        if decoded.is_negative {
            formatter.write_str("-")?;
        }
        decoded.write_whole(formatter)?;
        decoded.write_fraction(formatter)
    }
}

impl Decoded<'_> {
    /// The digit at `index`; those that are not stored are zero.
    fn digit(&self, index: i32) -> u16 {
        let stored = usize::try_from(index)
            .ok()
            .and_then(|index| self.digits.get(index));
        stored.map_or(0, |digit| u16::from_ne_bytes(*digit))
    }

    fn write_whole(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.digit(self.weight.min(0)))?;
        (1..=self.weight).try_for_each(|index| write!(formatter, "{:04}", self.digit(index)))
    }

    fn write_fraction(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return Ok(());
        }
        formatter.write_str(".")?;
        let mut remaining = self.scale;
        let mut index = self.weight + 1;
        while remaining >= DECIMALS_PER_DIGIT {
            write!(formatter, "{:04}", self.digit(index))?;
            remaining -= DECIMALS_PER_DIGIT;
            index += 1;
        }
        match remaining {
            1 => write!(formatter, "{:01}", self.digit(index) / 1000),
            2 => write!(formatter, "{:02}", self.digit(index) / 100),
            3 => write!(formatter, "{:03}", self.digit(index) / 10),
            _ => Ok(()),
        }
    }
}

/// Appends the header and digits of a normalized number: no zero digit at either end.
pub(super) fn write_payload(
    out: &mut Vec<u8>,
    is_negative: bool,
    weight: i16,
    scale: u16,
    digits: &[u16],
) {
    let short_weight_range = -(SHORT_WEIGHT_SIGN as i16)..=SHORT_WEIGHT_MASK as i16;
    if scale <= SHORT_SCALE_MASK >> SHORT_SCALE_SHIFT && short_weight_range.contains(&weight) {
        let sign = if is_negative { SHORT_NEGATIVE } else { 0 };
        let weight = weight.cast_unsigned() & (SHORT_WEIGHT_MASK | SHORT_WEIGHT_SIGN);
        let header = SHORT | sign | (scale << SHORT_SCALE_SHIFT) | weight;
        out.extend_from_slice(&header.to_ne_bytes());
    } else {
        let sign = if is_negative { LONG_NEGATIVE } else { 0 };
        out.extend_from_slice(&(sign | (scale & LONG_SCALE_MASK)).to_ne_bytes());
        out.extend_from_slice(&weight.to_ne_bytes());
    }
    for digit in digits {
        out.extend_from_slice(&digit.to_ne_bytes());
    }
}

fn header(payload: &[u8]) -> Option<u16> {
    payload
        .first_chunk::<2>()
        .map(|bytes| u16::from_ne_bytes(*bytes))
}

fn short_weight(header: u16) -> i32 {
    let magnitude = i32::from(header & SHORT_WEIGHT_MASK);
    match header & SHORT_WEIGHT_SIGN {
        0 => magnitude,
        _ => magnitude - i32::from(SHORT_WEIGHT_SIGN),
    }
}

/// The four-byte header of an uncompressed varlena of `length` bytes, header included; `None`
/// if it is longer than a varlena can be.
pub(super) fn varlena_header(length: usize) -> Option<[u8; 4]> {
    let length = u32::try_from(length)
        .ok()
        .filter(|length| *length < 1 << 30)?;
    Some(
        if cfg!(target_endian = "little") {
            length << 2
        } else {
            length
        }
        .to_ne_bytes(),
    )
}

/// The length, header included, of a varlena with a one-byte header.
fn short_varlena_length(first: u8) -> Option<usize> {
    let (is_short, length) = if cfg!(target_endian = "little") {
        (first & 1 == 1, first >> 1)
    } else {
        (first & 0x80 != 0, first & 0x7F)
    };
    is_short.then_some(usize::from(length))
}
