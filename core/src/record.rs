//! What an event is made of: its identity, its time, its limits.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::jsonb::{Jsonb, Value};
use crate::registry::schema::{MAX_DOCUMENT_DEPTH, MAX_NUMBER_DIGITS};

/// Longest action name, in bytes.
pub const MAX_ACTION: usize = 100;
/// Longest kind of actor or object, in bytes.
pub const MAX_TYPE: usize = 100;
/// Longest identifier of an actor, an object or a request, and longest idempotency key, in bytes.
/// Index rows hold one of them besides a tenant and a time.
pub const MAX_IDENTIFIER: usize = 512;
/// Longest user agent, in bytes. It comes from the client, so a longer one is cut and not refused:
/// nobody may escape the log by sending a long header.
pub const MAX_USER_AGENT: usize = 512;
/// How far in the future an event may have happened, in microseconds: clocks differ.
pub const MAX_FUTURE: i64 = 5 * 60 * 1_000_000;

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was done.
    Success,
    /// It was tried and not done, for a reason of the business: a wrong password.
    Failure,
    /// It broke.
    Error,
    /// It was not allowed.
    Denied,
}

impl Status {
    /// The status by its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Success, Self::Failure, Self::Error, Self::Denied]
            .into_iter()
            .find(|status| status.name() == name)
    }

    /// The name, as it is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Denied => "denied",
        }
    }
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `record()` and its relatives.
    Api,
    /// A change of a captured table.
    Capture,
    /// The log itself.
    System,
}

impl Source {
    /// The name, as it is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Capture => "capture",
            Self::System => "system",
        }
    }
}

/// A clock that never runs back and never shows the same time twice, whatever the server's does.
#[derive(Debug, Default)]
pub struct Clock {
    last: i64,
}

impl Clock {
    /// A clock that has shown no time yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: i64::MIN }
    }

    /// The time to use when the server's clock shows `now`, both in microseconds.
    pub fn tick(&mut self, now: i64) -> i64 {
        self.last = now.max(self.last.saturating_add(1));
        self.last
    }
}

/// The identity of an event recorded at `unix_micros`: a UUID of version 7 (RFC 9562) that carries
/// the whole microsecond, so that ids of one clock increase and the time can be read back exactly.
#[must_use]
pub fn event_id(unix_micros: i64, random: [u8; 8]) -> [u8; 16] {
    let millis = unix_micros.div_euclid(1_000);
    let micros = unix_micros.rem_euclid(1_000);
    // Method 3 of RFC 9562: the fraction of the millisecond, scaled to 12 bits.
    let fraction = ((micros * 4_096) / 1_000) as u16;
    let mut id = [0u8; 16];
    id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    id[6..8].copy_from_slice(&(0x7000 | fraction).to_be_bytes());
    id[8..].copy_from_slice(&random);
    id[8] = 0x80 | (id[8] & 0x3F);
    id
}

/// When the event of this id was recorded, in microseconds since 1970; `None` for an id that is
/// not of version 7.
#[must_use]
pub fn recorded_at(event_id: &[u8; 16]) -> Option<i64> {
    if event_id[6] >> 4 != 7 {
        return None;
    }
    let mut millis = [0u8; 8];
    millis[2..].copy_from_slice(&event_id[..6]);
    let fraction = i64::from(u16::from_be_bytes([event_id[6] & 0x0F, event_id[7]]));
    let micros = (fraction * 1_000 + 4_095) / 4_096;
    Some(i64::from_be_bytes(millis) * 1_000 + micros)
}

/// Why a document can't be the metadata of an event, whatever its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentProblem {
    /// It is no object.
    NotAnObject,
    /// Its containers are nested too deeply.
    TooDeep,
    /// A number in it is written with too many digits.
    LongNumber,
}

impl fmt::Display for DocumentProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => formatter.write_str("it must be a JSON object"),
            Self::TooDeep => {
                write!(
                    formatter,
                    "it is nested more than {MAX_DOCUMENT_DEPTH} levels deep"
                )
            }
            Self::LongNumber => {
                write!(
                    formatter,
                    "a number in it has more than {MAX_NUMBER_DIGITS} digits"
                )
            }
        }
    }
}

/// Whether a document can be metadata: an object that is cheap to check, however it is written.
///
/// # Errors
/// The first problem found.
pub fn check_document(document: Jsonb<'_>) -> Result<(), DocumentProblem> {
    match document.root() {
        root @ Value::Object(_) => check_part(root, MAX_DOCUMENT_DEPTH),
        _ => Err(DocumentProblem::NotAnObject),
    }
}

fn check_part(part: Value<'_>, levels: usize) -> Result<(), DocumentProblem> {
    let inner = || levels.checked_sub(1).ok_or(DocumentProblem::TooDeep);
    match part {
        Value::Number(number) if number.written_digits() > MAX_NUMBER_DIGITS => {
            Err(DocumentProblem::LongNumber)
        }
        Value::Array(array) => {
            let inner = inner()?;
            array
                .iter()
                .try_for_each(|element| check_part(element, inner))
        }
        Value::Object(object) => {
            let inner = inner()?;
            object
                .iter()
                .try_for_each(|(_, member)| check_part(member, inner))
        }
        _ => Ok(()),
    }
}

/// What stands for an idempotency key that must not be stored itself.
#[must_use]
pub fn idempotency_digest(key: &str) -> String {
    let digest = Sha256::new()
        .chain_update(b"activity_log/idempotency/v1\n")
        .chain_update(key)
        .finalize();
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&digest))
}

/// The longest beginning of `text` that has at most `limit` bytes.
#[must_use]
pub fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_microsecond_of_a_millisecond_can_be_read_back() {
        for micros in 0..1_000 {
            let at = 1_763_683_200_123_000 + micros;
            assert_eq!(recorded_at(&event_id(at, [0xFF; 8])), Some(at));
        }
    }

    #[test]
    fn an_id_of_another_version_has_no_time() {
        let mut id = event_id(1, [0; 8]);
        id[6] = 0x4F;
        assert_eq!(recorded_at(&id), None);
    }

    #[test]
    fn the_variant_is_the_one_of_the_rfc() {
        assert_eq!(event_id(0, [0xFF; 8])[8], 0xBF);
        assert_eq!(event_id(0, [0x00; 8])[8], 0x80);
    }

    #[test]
    fn a_clock_that_is_set_back_goes_on_slowly() {
        let mut clock = Clock::new();
        assert_eq!(clock.tick(1_000), 1_000);
        assert_eq!(clock.tick(500), 1_001);
        assert_eq!(clock.tick(500), 1_002);
        assert_eq!(clock.tick(2_000), 2_000);
    }

    fn checked(json: &str) -> Result<(), DocumentProblem> {
        let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
        let container = crate::jsonb::from_json(&value).expect("a container");
        check_document(Jsonb::new(&container).expect("a document"))
    }

    #[test]
    fn metadata_is_an_object() {
        assert_eq!(checked("{}"), Ok(()));
        assert_eq!(checked("[]"), Err(DocumentProblem::NotAnObject));
        assert_eq!(checked("3"), Err(DocumentProblem::NotAnObject));
    }

    #[test]
    fn metadata_is_at_most_64_levels_deep() {
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert_eq!(checked(&nested(64)), Ok(()));
        assert_eq!(checked(&nested(65)), Err(DocumentProblem::TooDeep));
    }

    #[test]
    fn a_number_that_is_short_to_send_and_long_to_write_is_refused() {
        let mut builder = crate::jsonb::Builder::new();
        builder.begin_object();
        builder.key("n");
        let number = crate::jsonb::OwnedNumeric::from_decimal("1e5000").expect("a number");
        builder.number(number.as_numeric());
        builder.end();
        let container = builder.finish().expect("a container");
        let document = Jsonb::new(&container).expect("a document");
        assert_eq!(check_document(document), Err(DocumentProblem::LongNumber));
        assert_eq!(checked("{\"n\": 1e300}"), Ok(()));
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn a_status_is_known_by_its_exact_name() {
        assert_eq!(Status::parse("denied"), Some(Status::Denied));
        assert_eq!(Status::parse("Success"), None);
        assert_eq!(Status::parse(""), None);
    }

    proptest! {
        #[test]
        fn ids_of_one_clock_increase(times in prop::collection::vec(0..i64::MAX / 2, 2..50), random: [u8; 8]) {
            let mut clock = Clock::new();
            let limit = (1i64 << 47) * 1_000;
            let ids: Vec<_> = times
                .iter()
                .map(|at| event_id(clock.tick(at % limit), random))
                .collect();
            prop_assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
