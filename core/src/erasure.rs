//! Erasing a person from events: what stands where an identity or a value was.
//!
//! Events, their order and their shape stay: keys, arrays, `true`, `false` and `null` remain where
//! they are, so that what is left still says what kind of thing happened.

use sha2::{Digest, Sha256};

use crate::jsonb::{BuildError, Builder, Jsonb, Value};

const START: &str = "[erased:";
const MARKER_KEY: &str = "$erased";

/// The stand-in for one actor in one erasure.
///
/// It is drawn at random and its secret is forgotten afterwards: it keeps the actor's events
/// together, and nobody can work out from it who that was, nor try names against it.
#[derive(Debug)]
pub struct Pseudonym {
    secret: [u8; 16],
    text: String,
}

impl Pseudonym {
    /// The stand-in made of random bytes.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Self {
        let text = token(&secret, b"actor", b"");
        Self { secret, text }
    }

    /// What stands in place of the actor's identity.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands in place of another identifier, such as that of a request: the same for the same
    /// one within this erasure.
    #[must_use]
    pub fn of(&self, identifier: &str) -> String {
        if is_erased(identifier) {
            identifier.to_owned()
        } else {
            token(&self.secret, b"identifier", identifier.as_bytes())
        }
    }
}

fn token(secret: &[u8; 16], purpose: &[u8], identifier: &[u8]) -> String {
    let mut digest = Sha256::new();
    for part in [&secret[..], purpose, b"\0", identifier] {
        digest.update(part);
    }
    let digits = data_encoding::HEXLOWER.encode(&digest.finalize()[..8]);
    format!("{START}{digits}]")
}

/// Whether a text is what an erasure has put there.
#[must_use]
pub fn is_erased(text: &str) -> bool {
    text.strip_prefix(START)
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether a text names the actor: its id stands in it as a whole word, so that `42` is in
/// `user/42` and not in `1420`.
#[must_use]
pub fn names(text: &str, actor_id: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !actor_id.is_empty()
        && text.match_indices(actor_id).any(|(at, found)| {
            !is_word(text[..at].chars().next_back())
                && !is_word(text[at + found.len()..].chars().next())
        })
}

/// The document with a marker in place of every text and number, and of every key that names the
/// actor or is an e-mail address.
///
/// # Errors
/// [`BuildError`] if the markers make the document larger than `jsonb` can be.
pub fn erase_document(document: Jsonb<'_>, actor_id: &str) -> Result<Vec<u8>, BuildError> {
    let mut builder = Builder::new();
    erase(&mut builder, document.root(), actor_id);
    builder.finish()
}

fn erase(builder: &mut Builder, value: Value<'_>, actor_id: &str) {
    match value {
        Value::Null => builder.null(),
        Value::Bool(value) => builder.bool(value),
        Value::String(_) | Value::Number(_) => {
            builder.begin_object();
            builder.key(MARKER_KEY);
            builder.bool(true);
            builder.end();
        }
        Value::Array(array) => {
            builder.begin_array();
            array
                .iter()
                .for_each(|element| erase(builder, element, actor_id));
            builder.end();
        }
        Value::Object(object) => {
            builder.begin_object();
            for (number, (key, member)) in object.iter().enumerate() {
                if names(key, actor_id) || key.contains('@') {
                    builder.key(&format!("[erased {number}]"));
                } else {
                    builder.key(key);
                }
                erase(builder, member, actor_id);
            }
            builder.end();
        }
    }
}
