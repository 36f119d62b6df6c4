//! Secrets that text assigns to names: query strings and presigned URLs (`?password=x&...`),
//! connection strings (`Password=x;`, `password='x'`), headers and lines of configuration
//! (`X-Api-Key: x`), and JSON that does not parse, for instance because it was cut off.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode_str;

use super::names::{KeyClass, Names, Node, rule_of_key};
use super::patterns::looks_random;
use super::replacement::{Finding, Span, length_at_start};
use super::rule::Rule;

/// Longer names are none.
const MAXIMUM_KEY_LENGTH: usize = 64;

/// A name before a sign.
struct Key {
    range: Range<usize>,
    is_quoted: bool,
}

/// A value after a sign, without its quotes.
struct Value {
    range: Range<usize>,
    is_quoted: bool,
}

/// A name, the place of its sign (`=` or `:`) and what is assigned to it.
struct Assignment<'a> {
    text: &'a str,
    key: Key,
    sign: usize,
    value: Value,
}

/// Adds every assigned secret in `text` to `spans`. `hides_secret` looks through a value that
/// was percent-encoded.
pub(super) fn find(
    text: &str,
    names: &Names,
    hides_secret: impl Fn(&str) -> bool,
    spans: &mut Vec<Span>,
) {
    let is_encoded = text.as_bytes().contains(&b'%');
    // What lies in a value that has been judged is not judged again for every sign in it: that
    // would take quadratic time, and more where values are encoded within each other.
    let (mut hidden_until, mut decoded_until) = (0, 0);
    for (sign, _) in text.match_indices(['=', ':']) {
        let Some(key) = Key::before(text, sign) else {
            continue;
        };
        let name = key.name(text);
        let class = class_of(names, text, &key, &name);
        let judged_until = match class {
            KeyClass::Secret(..) => hidden_until,
            _ if is_encoded => decoded_until,
            _ => continue,
        };
        let start = value_start(text, sign).filter(|start| *start >= judged_until);
        let Some(start) = start else { continue };
        let value = Value::at(text, start, is_delimited(text, &key));
        if class == KeyClass::Ordinary {
            decoded_until = value.range.end;
        }
        let assignment = Assignment {
            text,
            key,
            sign,
            value,
        };
        if let Some(span) = assignment.secret(&name, class, &hides_secret) {
            hidden_until = span.range.end;
            spans.push(span);
        }
    }
}

impl Assignment<'_> {
    fn secret(
        &self,
        name: &str,
        class: KeyClass,
        hides_secret: impl Fn(&str) -> bool,
    ) -> Option<Span> {
        if let KeyClass::Secret(rule, _) = class {
            let range = self
                .header_value(rule)
                .or_else(|| self.plain_value(name, class))?;
            let is_replaced = self.text.get(range.clone()).is_none_or(begins_replaced);
            let span = Span {
                range,
                finding: Finding::Secret(rule),
            };
            return (!is_replaced && !span.range.is_empty()).then_some(span);
        }
        let value = self.text.get(self.value.range.clone())?;
        let hides = self.is_equation() && value.contains('%') && hides_secret(&decoded(value));
        let finding = Finding::Secret(Rule::Encoded);
        hides.then(|| Span {
            range: self.value.range.clone(),
            finding,
        })
    }

    fn is_equation(&self) -> bool {
        self.text.as_bytes().get(self.sign) == Some(&b'=')
    }

    fn plain_value(&self, name: &str, class: KeyClass) -> Option<Range<usize>> {
        let value = self.text.get(self.value.range.clone())?;
        let is_nothing = ["null", "nil", "None", "undefined"].contains(&value);
        let is_assigned = self.is_equation() || self.is_colon_assignment(value);
        (is_assigned && !is_nothing && rule_of_key(name, class, Node::Text(value)).is_some())
            .then(|| self.value.range.clone())
    }

    /// A colon also stands in prose ("invalid token: user is gone"): there must be a quote, a
    /// line of its own, or a value that is no word.
    fn is_colon_assignment(&self, value: &str) -> bool {
        let is_line = self.begins_line() && {
            let rest = self.text.get(self.value.range.end..).unwrap_or_default();
            rest.lines()
                .next()
                .is_none_or(|line| line.trim().is_empty())
        };
        self.key.is_quoted
            || self.value.is_quoted
            || is_line
            || self.has_compound_name()
            || (looks_random(value) && !self.continues_path())
    }

    /// In a resource name (`arn:aws:secretsmanager:...:secret:name`) the last part is no value.
    fn continues_path(&self) -> bool {
        let before = self.text.get(..self.key.range.start).unwrap_or_default();
        before.ends_with([':', '/'])
    }

    /// A name made of parts, such as that of a header, stands in no prose before a colon; a single
    /// word does ("invalid token: user is gone").
    fn has_compound_name(&self) -> bool {
        let name = self.text.get(self.key.range.clone()).unwrap_or_default();
        name.contains(['-', '_']) && !self.continues_path()
    }

    fn begins_line(&self) -> bool {
        let before = self.text.get(..self.key.range.start).unwrap_or_default();
        let mut line = before.bytes().rev().take_while(|byte| *byte != b'\n');
        line.all(|byte| matches!(byte, b' ' | b'\t' | b'-' | b'>' | b'#'))
    }

    /// The whole rest of a `Cookie` or `Authorization` header, after the scheme.
    fn header_value(&self, rule: Rule) -> Option<Range<usize>> {
        if !matches!(rule, Rule::Cookie | Rule::Authorization) || self.is_equation() {
            return None;
        }
        let before = self.text.get(..self.key.range.start)?.chars().next_back();
        let end = match before {
            Some(quote @ ('"' | '\'')) if !self.key.is_quoted => quote,
            _ if self.begins_line() => '\n',
            _ => return None,
        };
        let rest = self.text.get(self.value.range.start..)?;
        let line = rest.split([end, '\n', '\r']).next()?.trim_end();
        let scheme = match rule {
            Rule::Authorization => scheme_length(line)?,
            _ => 0,
        };
        Some(self.value.range.start + scheme..self.value.range.start + line.len())
    }
}

/// The length of the authentication scheme and the space after it.
fn scheme_length(line: &str) -> Option<usize> {
    const SCHEMES: &[&str] = &[
        "bearer",
        "basic",
        "digest",
        "negotiate",
        "ntlm",
        "token",
        "apikey",
        "hawk",
        "aws4-hmac-sha256",
    ];
    let (scheme, rest) = line.split_once(' ')?;
    let is_known = SCHEMES
        .iter()
        .any(|known| known.eq_ignore_ascii_case(scheme));
    is_known.then(|| line.len() - rest.trim_start().len())
}

/// Signatures of presigned URLs have names that mean less elsewhere.
fn class_of(names: &Names, text: &str, key: &Key, name: &str) -> KeyClass {
    let is_parameter = text
        .get(..key.range.start)
        .is_some_and(|before| before.ends_with(['?', '&']));
    let is_signature = ["sig", "signature"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name));
    match names.classify(name) {
        KeyClass::Ordinary if is_parameter && is_signature => {
            KeyClass::Secret(Rule::Signature, super::names::Values::All)
        }
        KeyClass::Address => KeyClass::Ordinary,
        class => class,
    }
}

fn begins_replaced(value: &str) -> bool {
    let rest = length_at_start(value).and_then(|length| value.get(length..));
    rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_punctuation()))
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

impl Key {
    fn before(text: &str, sign: usize) -> Option<Self> {
        let before = text.get(..sign)?.trim_end_matches([' ', '\t']);
        let unquoted = before.trim_end_matches(['"', '\'', '\\']);
        let is_part = |byte: &u8| {
            byte.is_ascii_alphanumeric()
                || !byte.is_ascii()
                || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'%' | b'$')
        };
        let length = unquoted.bytes().rev().take_while(is_part).count();
        let is_name = (1..=MAXIMUM_KEY_LENGTH).contains(&length);
        is_name.then(|| Self {
            range: unquoted.len() - length..unquoted.len(),
            is_quoted: unquoted.len() < before.len(),
        })
    }

    fn name<'a>(&self, text: &'a str) -> Cow<'a, str> {
        decoded(text.get(self.range.clone()).unwrap_or_default())
    }
}

/// Where the value after a sign begins, if the sign assigns. An array or object after a colon is
/// no value here: what it holds has names of its own.
fn value_start(text: &str, sign: usize) -> Option<usize> {
    let rest = text.get(sign + 1..)?;
    let is_equation = text.as_bytes().get(sign) == Some(&b'=');
    let skipped = match rest.as_bytes() {
        [b'=' | b':', ..] if is_equation => return None,
        [b'/', b'/', ..] | [b':', ..] if !is_equation => return None,
        [b'>', ..] if is_equation => 1,
        [b'=', ..] => 1,
        _ => 0,
    };
    let rest = rest.get(skipped..)?.trim_start_matches([' ', '\t']);
    let is_container = rest.starts_with(['{', '[']) && length_at_start(rest).is_none();
    (is_equation || !is_container).then(|| text.len() - rest.len())
}

/// Whether the assignments around a key are divided by semicolons, so that spaces are values'.
fn is_delimited(text: &str, key: &Key) -> bool {
    let before = text.get(..key.range.start).unwrap_or_default().trim_end();
    let has_next = || {
        let (_, after) = text.get(key.range.end..)?.split_once(';')?;
        after.split(';').next().filter(|next| next.contains('='))
    };
    before.ends_with(';') || (before.is_empty() && has_next().is_some())
}

impl Value {
    /// The value that begins at `start`.
    fn at(text: &str, start: usize, is_delimited: bool) -> Self {
        let rest = text.get(start..).unwrap_or_default();
        let inside = rest.trim_start_matches('\\');
        if let Some(quote @ ('"' | '\'')) = inside.chars().next() {
            let delimiter = rest.len() - inside.len() + quote.len_utf8();
            let (opening, body) = rest.split_at_checked(delimiter).unwrap_or_default();
            let start = start + delimiter;
            let range = start..start + quoted_length(body, opening, quote);
            return Self {
                range,
                is_quoted: true,
            };
        }
        let is_end = |letter: char| match letter {
            ';' | '\n' | '\r' => true,
            '&' | '"' => !is_delimited,
            other => !is_delimited && other.is_whitespace(),
        };
        let value = trimmed(rest.split(is_end).next().unwrap_or_default());
        Self {
            range: start..start + value.len(),
            is_quoted: false,
        }
    }
}

/// The length of a quoted body up to its closing quote, or of all of it.
fn quoted_length(body: &str, opening: &str, quote: char) -> usize {
    if opening.len() > 1 {
        return body.find(opening).unwrap_or(body.len());
    }
    let mut letters = body.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let is_doubled = quote == '\'' && letters.peek().is_some_and(|next| next.1 == quote);
        match letter {
            '\\' => drop(letters.next()),
            letter if letter == quote && is_doubled => drop(letters.next()),
            letter if letter == quote => return at,
            _ => {}
        }
    }
    body.len()
}

/// A value without the punctuation of the text that it stands in.
fn trimmed(value: &str) -> &str {
    let value = value.trim_end();
    let has_bracket = value.contains(['[', '{']);
    value.trim_end_matches(|letter| match letter {
        '\'' | ',' | '.' | ')' | '>' => true,
        ']' | '}' => !has_bracket,
        _ => false,
    })
}
