//! The scrubber: settings compiled once, and the order in which the rules look at a text.

use std::borrow::Cow;
use std::fmt;

use super::embedded;
use super::keys::FingerprintKey;
use super::names::{KeyClass, Names, NamesError};
use super::patterns::Patterns;
use super::replacement::{Finding, Span, existing, is_replacement, push, replacement};
use super::rule::Rule;
use super::{addresses, assignments, cards, document};
use crate::jsonb::{BuildError, Jsonb, Value};

/// Which addresses inside documents are replaced by their networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressMode {
    /// None.
    Off,
    /// Those in values of keys that name an address, such as `client_ip` or `X-Forwarded-For`.
    Keys,
    /// Every one in every text. What merely looks like one, such as a version number of four
    /// parts, is replaced too.
    All,
}

/// What a scrubber is compiled from.
#[derive(Clone, Copy, Debug)]
pub struct ScrubOptions<'a> {
    /// Names of keys whose values are secret besides the default ones. They must fit the whole
    /// key; case and signs between words do not count.
    pub extra_keys: &'a [&'a str],
    /// Which addresses are replaced.
    pub addresses: AddressMode,
}

/// What a text is, which decides how sure a rule must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// Anything: every rule applies.
    Free,
    /// An identifier of an actor, an object or a request: only formats of tokens that nothing
    /// else looks like.
    Identifier,
}

/// Why no scrubber could be made from its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScrubberError {
    /// The extra key at this place (from 0) has neither letter nor digit.
    EmptyKey(usize),
    /// There are more extra keys than can be held (tens of thousands of letters).
    TooManyKeys,
    /// The search for secrets could not be compiled, which no setting can cause.
    Patterns,
}

impl fmt::Display for ScrubberError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::EmptyKey(_) => "a key to redact must have a letter or a digit",
            Self::TooManyKeys => "too many keys to redact",
            Self::Patterns => "the search for secrets could not be compiled",
        })
    }
}

impl std::error::Error for ScrubberError {}

impl From<NamesError> for ScrubberError {
    fn from(error: NamesError) -> Self {
        match error {
            NamesError::EmptyName(ordinal) => Self::EmptyKey(ordinal),
            NamesError::TooMany => Self::TooManyKeys,
        }
    }
}

/// What the name of a member says about its value: worked out once for many values under it.
#[derive(Clone, Copy, Debug)]
pub struct MemberClass(KeyClass);

/// Finds secrets and addresses and replaces them. Compiled once for a set of settings.
#[derive(Debug)]
pub struct Scrubber {
    names: Names,
    patterns: Patterns,
    addresses: AddressMode,
}

impl Scrubber {
    /// Compiles the rules.
    pub fn new(options: &ScrubOptions<'_>) -> Result<Self, ScrubberError> {
        Ok(Self {
            names: Names::new(options.extra_keys)?,
            patterns: Patterns::new().map_err(|_| ScrubberError::Patterns)?,
            addresses: options.addresses,
        })
    }

    /// The document without its secrets, as the bytes of a `jsonb` container; `None` if there is
    /// nothing to hide, which costs no allocation.
    ///
    /// Keys that are secrets themselves are replaced too; two that become equal (which takes a
    /// missing fingerprint key) leave one member. An error comes only from a document beyond
    /// the limits of `jsonb`.
    pub fn scrub_jsonb(
        &self,
        document: Jsonb<'_>,
        fingerprints: Option<&FingerprintKey>,
    ) -> Result<Option<Vec<u8>>, BuildError> {
        document::scrub(self.pass(fingerprints), document.root())
    }

    /// What the name of a member says about its value, with the settings of this scrubber.
    #[must_use]
    pub fn classify(&self, key: &str) -> MemberClass {
        MemberClass(self.names.classify(key))
    }

    /// The value of the member `key`, as a document of its own, without its secrets; `None` if
    /// there is nothing to hide, which costs no allocation.
    pub fn scrub_member(
        &self,
        key: &str,
        class: MemberClass,
        value: Value<'_>,
        fingerprints: Option<&FingerprintKey>,
    ) -> Result<Option<Vec<u8>>, BuildError> {
        document::scrub_member(self.pass(fingerprints), value, key, class.0)
    }

    /// The text without its secrets; borrowed if there is nothing to hide.
    pub fn scrub_text<'a>(
        &self,
        text: &'a str,
        kind: TextKind,
        fingerprints: Option<&FingerprintKey>,
    ) -> Cow<'a, str> {
        let pass = self.pass(fingerprints);
        let hidden = match kind {
            TextKind::Free => pass.text(text, KeyClass::Ordinary),
            TextKind::Identifier => pass.repeat(text, |text| pass.identifier_once(text)),
        };
        hidden.map_or(Cow::Borrowed(text), Cow::Owned)
    }

    fn pass<'a>(&'a self, fingerprints: Option<&'a FingerprintKey>) -> Pass<'a> {
        Pass {
            scrubber: self,
            fingerprints,
            level: 0,
        }
    }
}

/// JSON strings nested deeper than this in each other are hidden without a look.
const MAXIMUM_LEVEL: usize = 6;

/// A replacement can bring a secret to light that was hidden in a longer word; more often than
/// this it does not happen in text that was not made for it.
const MAXIMUM_REPETITIONS: usize = 8;

const SHORTEST_CARD: usize = 13;
/// Shorter texts need a sign, a dot or a closing bracket or quote to hold anything.
const SHORTEST_UNSIGNED_SECRET: usize = SHORTEST_CARD;

/// One use of a scrubber: under which key, and how deep in strings that hold JSON.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    scrubber: &'a Scrubber,
    pub(super) fingerprints: Option<&'a FingerprintKey>,
    level: usize,
}

impl Pass<'_> {
    pub(super) fn classify(&self, key: &str) -> KeyClass {
        self.scrubber.names.classify(key)
    }

    /// A key without what is secret in it; `None` if there is nothing to hide.
    pub(super) fn key(&self, key: &str) -> Option<String> {
        self.text(key, KeyClass::Ordinary)
    }

    /// A text under a key of this class; `None` if there is nothing to hide.
    pub(super) fn text(&self, text: &str, class: KeyClass) -> Option<String> {
        self.repeat(text, |text| self.text_once(text, class))
    }

    /// Whether there is anything to hide in a text under a key of this class.
    pub(super) fn hides(&self, text: &str, class: KeyClass) -> bool {
        self.text_once(text, class).is_some()
    }

    /// Applies a step until it finds nothing more. Inside a string that holds JSON once is enough:
    /// the whole is gone through again, and repetitions of repetitions would take exponential time.
    fn repeat(&self, text: &str, step: impl Fn(&str) -> Option<String>) -> Option<String> {
        let mut hidden = step(text)?;
        let repetitions = if self.level == 0 {
            MAXIMUM_REPETITIONS
        } else {
            1
        };
        for _ in 1..repetitions {
            match step(&hidden) {
                Some(next) => hidden = next,
                None => break,
            }
        }
        Some(hidden)
    }

    fn identifier_once(&self, text: &str) -> Option<String> {
        let mut spans = Vec::new();
        self.scrubber.patterns.find(text, true, &mut spans);
        self.splice(text, spans)
    }

    fn text_once(&self, text: &str, class: KeyClass) -> Option<String> {
        let profile = Profile::of(text);
        if text.len() < SHORTEST_UNSIGNED_SECRET && profile.is_plain() {
            return None;
        }
        // A replacement begins and ends like an array.
        let may_be_json = profile.has(Profile::CLOSER) && !is_replacement(text);
        if may_be_json && embedded::looks_like_json(text) {
            if self.level >= MAXIMUM_LEVEL {
                let finding = Finding::Secret(Rule::Nesting);
                return Some(replacement(finding, text.as_bytes(), self.fingerprints));
            }
            if let Some(outcome) = embedded::rewrite(self.deeper(), text, class) {
                return outcome;
            }
        }
        self.splice(text, self.spans(text, profile, class))
    }

    fn spans(&self, text: &str, profile: Profile, class: KeyClass) -> Vec<Span> {
        let mut spans = Vec::new();
        self.scrubber.patterns.find(text, false, &mut spans);
        if text.len() >= SHORTEST_CARD && profile.has(Profile::DIGIT) {
            cards::find(text, &mut spans);
        }
        if profile.has(Profile::SIGN) {
            let hides_secret =
                |value: &str| self.level >= MAXIMUM_LEVEL || self.deeper().hides(value, class);
            assignments::find(text, &self.scrubber.names, hides_secret, &mut spans);
        }
        if self.hides_addresses(class) && profile.has(Profile::SIGN | Profile::DOT) {
            addresses::find(text, &mut spans);
        }
        spans
    }

    fn hides_addresses(&self, class: KeyClass) -> bool {
        match self.scrubber.addresses {
            AddressMode::Off => false,
            AddressMode::Keys => class == KeyClass::Address,
            AddressMode::All => true,
        }
    }

    fn deeper(&self) -> Self {
        Self {
            level: self.level + 1,
            ..*self
        }
    }

    /// Replaces the spans, except where they lie inside a replacement or begin in one; spans that
    /// overlap are replaced as one, by the rule of the longest.
    fn splice(&self, text: &str, mut spans: Vec<Span>) -> Option<String> {
        if spans.is_empty() {
            return None;
        }
        let replaced = existing(text);
        spans.retain(|Span { range, .. }| {
            !replaced.iter().any(|replacement| {
                // The name of the rule inside `[redacted:password:...]` is no key of what follows.
                let begins_inside =
                    replacement.start < range.start && range.start < replacement.end;
                let lies_inside = replacement.start <= range.start && range.end <= replacement.end;
                begins_inside || lies_inside
            })
        });
        let spans = merged(spans);
        let mut position = 0;
        let mut output = String::with_capacity(text.len() + 32 * spans.len());
        for span in &spans {
            output.push_str(text.get(position..span.range.start)?);
            let secret = text.get(span.range.clone())?;
            push(
                &mut output,
                span.finding,
                secret.as_bytes(),
                self.fingerprints,
            );
            position = span.range.end;
        }
        output.push_str(text.get(position..)?);
        (!spans.is_empty()).then_some(output)
    }
}

/// The spans in order, those that overlap made one.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.range.start, std::cmp::Reverse(span.range.end)));
    let mut result: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match result
            .last_mut()
            .filter(|last| span.range.start < last.range.end)
        {
            Some(last) => {
                if span.range.len() > last.range.len() {
                    last.finding = span.finding;
                }
                last.range.end = last.range.end.max(span.range.end);
            }
            None => result.push(span),
        }
    }
    result
}

/// Which kinds of bytes that rules need a text has.
#[derive(Clone, Copy)]
struct Profile(u8);

impl Profile {
    const SIGN: u8 = 1;
    const DIGIT: u8 = 2;
    const DOT: u8 = 4;
    const CLOSER: u8 = 8;

    /// The kind of every byte, looked up since this loop runs over every text and key.
    const KINDS: [u8; 256] = {
        let mut kinds = [0; 256];
        kinds[b'=' as usize] = Self::SIGN;
        kinds[b':' as usize] = Self::SIGN;
        kinds[b'.' as usize] = Self::DOT;
        kinds[b'}' as usize] = Self::CLOSER;
        kinds[b']' as usize] = Self::CLOSER;
        kinds[b'"' as usize] = Self::CLOSER;
        let mut digit = b'0' as usize;
        while digit <= b'9' as usize {
            kinds[digit] = Self::DIGIT;
            digit += 1;
        }
        kinds
    };

    fn of(text: &str) -> Self {
        let kind = |byte| {
            Self::KINDS
                .get(usize::from(byte))
                .copied()
                .unwrap_or_default()
        };
        Self(text.bytes().fold(0, |kinds, byte| kinds | kind(byte)))
    }

    fn is_plain(self) -> bool {
        !self.has(Self::SIGN | Self::DOT | Self::CLOSER)
    }

    fn has(self, kinds: u8) -> bool {
        self.0 & kinds != 0
    }
}
