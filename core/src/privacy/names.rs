//! Which keys hold secrets or addresses, told by their names.
//!
//! English compounds name the thing last, so a key holds a secret if its name *ends* in the name
//! of a secret: `userPassword`, `refresh_token`, `X-Api-Key`. What follows the secret's name
//! makes it another thing: `password_changed_at`, `token_count`, `tokenType`, `token_id`,
//! `credentialType`, `passwordEnabled` and `cookie_policy_accepted` stay readable. The exceptions
//! to that are listed here: tails after which the value still is the secret (`password_hash`,
//! `token_value`, `password2`), and names that end like a secret but are none (`next_page_token`).
//!
//! The longest name that fits decides. A key that begins with a verb or a preposition
//! (`has_password`, `require_pin`) asks a question; its answer stays if it is one (a truth value
//! such as `true`, `"yes"` or `1`), while any other value is taken for the secret itself.

use super::replacement::is_replacement;
use super::rule::Rule;
use super::suffixes::{Full, Suffixes};
use super::vocabulary::{ANSWERS, KNOWN, QUESTIONS, TAILS};

/// What the name of a key says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyClass {
    Ordinary,
    Address,
    Secret(Rule, Values),
}

/// The values under a secret's key that are secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// Every value.
    All,
    /// Every value but booleans: `pin: true` is an order to pin.
    NoBooleans,
    /// Texts only, and no text of digits: `tokens: 412` counts, `pass: 12` too.
    Texts,
}

/// Where in the key the name must begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// Anywhere: `dbpassword`.
    Anywhere,
    /// At the beginning of a word: `card_pin`, `cardPin`, not `spin`.
    Word,
    /// At the beginning of the key.
    Key,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    edge: Edge,
    class: KeyClass,
}

/// Names of secrets and addresses, ready to be compared with keys.
#[derive(Debug)]
pub(super) struct Names {
    configured: Suffixes<()>,
    known: Suffixes<Name>,
    tails: Suffixes<()>,
}

/// Why the names could not be taken.
#[derive(Debug)]
pub(super) enum NamesError {
    /// The configured name at this place (from 0) has neither letter nor digit.
    EmptyName(usize),
    /// There are too many configured names.
    TooMany,
}

impl From<Full> for NamesError {
    fn from(_: Full) -> Self {
        Self::TooMany
    }
}

impl Names {
    /// The default names, and configured ones, which must fit the whole of a key.
    pub(super) fn new(configured_names: &[&str]) -> Result<Self, NamesError> {
        let mut configured = Suffixes::new();
        for (ordinal, name) in configured_names.iter().enumerate() {
            if !configured.insert(name, ())? {
                return Err(NamesError::EmptyName(ordinal));
            }
        }
        let mut known = Suffixes::new();
        for (class, edge, names) in KNOWN {
            for name in *names {
                known.insert(
                    name,
                    Name {
                        edge: *edge,
                        class: *class,
                    },
                )?;
            }
        }
        let mut tails = Suffixes::new();
        for tail in TAILS {
            tails.insert(tail, ())?;
        }
        Ok(Self {
            configured,
            known,
            tails,
        })
    }

    /// What the name of `key` says about its value.
    pub(super) fn classify(&self, key: &str) -> KeyClass {
        if self
            .configured
            .matches(key)
            .any(|found| begins(key, found.start, Edge::Key))
        {
            return KeyClass::Secret(Rule::ConfiguredKey, Values::All);
        }
        self.known_class(key)
            .or_else(|| self.class_before_tail(key))
            .unwrap_or(KeyClass::Ordinary)
    }

    fn known_class(&self, key: &str) -> Option<KeyClass> {
        let names = self.known.matches(key);
        let fitting = names.filter(|found| begins(key, found.start, found.value.edge));
        fitting.last().map(|found| found.value.class)
    }

    fn class_before_tail(&self, key: &str) -> Option<KeyClass> {
        let mut heads = self
            .tails
            .matches(key)
            .filter_map(|tail| key.get(..tail.start));
        heads.find_map(|head| match self.known_class(head) {
            Some(class @ KeyClass::Secret(..)) => Some(class),
            _ => None,
        })
    }
}

/// A value as far as it matters whether it is a secret.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node<'a> {
    Null,
    Boolean,
    /// A number; 0 and 1 may be truth values.
    Number {
        is_bit: bool,
    },
    Text(&'a str),
    Container {
        is_empty: bool,
    },
}

/// The rule by which a value must be hidden because of its key, if there is one.
///
/// What hides nothing stays: null, empty texts and containers, and what has been replaced before.
pub(super) fn rule_of_key(key: &str, class: KeyClass, node: Node<'_>) -> Option<Rule> {
    let KeyClass::Secret(rule, values) = class else {
        return None;
    };
    let stays = match node {
        Node::Null => true,
        Node::Boolean => values != Values::All || asks(key),
        Node::Number { is_bit } => values == Values::Texts || is_bit && asks(key),
        Node::Container { is_empty } => is_empty || values == Values::Texts,
        Node::Text(text) => {
            text.is_empty()
                || is_replacement(text)
                || is_answer(text) && asks(key)
                || values == Values::Texts && is_number(text)
        }
    };
    (!stays).then_some(rule)
}

/// Whether `key` asks a question about a secret rather than holding it.
fn asks(key: &str) -> bool {
    let key = key.trim_start_matches(|first: char| !first.is_ascii_alphanumeric());
    QUESTIONS.iter().any(|word| {
        let head = key.get(..word.len()).unwrap_or_default();
        let next = key.as_bytes().get(word.len()).copied();
        head.eq_ignore_ascii_case(word)
            && next.is_some_and(|next| is_separator(next) || begins(key, word.len(), Edge::Word))
    })
}

fn is_answer(text: &str) -> bool {
    ANSWERS
        .iter()
        .any(|answer| answer.eq_ignore_ascii_case(text))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_separator(byte: u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_alphanumeric()
}

/// Whether a name that begins at `start` of `key` begins at `edge`.
fn begins(key: &str, start: usize, edge: Edge) -> bool {
    let (before, name) = key.as_bytes().split_at_checked(start).unwrap_or_default();
    match edge {
        Edge::Anywhere => true,
        Edge::Key => before.iter().copied().all(is_separator),
        Edge::Word => match (before.last(), name) {
            (None, _) => true,
            (Some(last), _) if is_separator(*last) => true,
            (Some(last), [first, ..]) if !last.is_ascii_uppercase() => first.is_ascii_uppercase(),
            (Some(_), [first, second, ..]) => {
                first.is_ascii_uppercase() && second.is_ascii_lowercase()
            }
            _ => false,
        },
    }
}
