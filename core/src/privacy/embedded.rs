//! JSON that is kept in a string: rewritten in place, with its numbers as they were written.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::names::{KeyClass, Node, rule_of_key};
use super::replacement::{Finding, replacement};
use super::rule::Rule;
use super::scrubber::Pass;

/// Containers nested deeper than this inside one string are hidden without a look.
const MAXIMUM_DEPTH: usize = 64;

/// Whether a text looks like a JSON array, object or string.
pub(super) fn looks_like_json(text: &str) -> bool {
    let text = text.trim_ascii().as_bytes();
    matches!(
        text,
        [b'{', .., b'}'] | [b'[', .., b']'] | [b'"', _, .., b'"']
    )
}

/// Rewrites a text that is JSON: `None` if it is none, `Some(None)` if there is nothing to hide.
pub(super) fn rewrite(pass: Pass<'_>, text: &str, class: KeyClass) -> Option<Option<String>> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    let mut writer = Writer {
        pass,
        output: String::with_capacity(text.len()),
        is_dirty: false,
    };
    writer.value(value, "", class, 0);
    Some(writer.is_dirty.then_some(writer.output))
}

struct Writer<'a> {
    pass: Pass<'a>,
    output: String,
    is_dirty: bool,
}

impl Writer<'_> {
    fn value(&mut self, value: &RawValue, key: &str, class: KeyClass, depth: usize) {
        let text = value.get();
        let string = string_of(text);
        if let Some(rule) = rule_of_key(key, class, node_of(text, string.as_deref())) {
            return self.hide(rule, string.as_deref().unwrap_or(text));
        }
        if let Some(string) = string {
            return match self.pass.text(&string, class) {
                Some(hidden) => self.replace(&hidden),
                None => self.output.push_str(text),
            };
        }
        match text.as_bytes().first() {
            Some(b'{' | b'[') if depth >= MAXIMUM_DEPTH => self.hide(Rule::Nesting, text),
            Some(b'{') => self.object(text, depth),
            Some(b'[') => self.array(text, key, class, depth),
            _ => self.output.push_str(text),
        }
    }

    fn array(&mut self, text: &str, key: &str, class: KeyClass, depth: usize) {
        let elements: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
        self.output.push('[');
        for (index, element) in elements.into_iter().enumerate() {
            self.separate(index);
            self.value(element, key, class, depth + 1);
        }
        self.output.push(']');
    }

    fn object(&mut self, text: &str, depth: usize) {
        let Members(members) = serde_json::from_str(text).unwrap_or_default();
        self.output.push('{');
        for (index, (key, value)) in members.into_iter().enumerate() {
            self.separate(index);
            match self.pass.key(&key) {
                Some(hidden) => self.replace(&hidden),
                None => self.push_string(&key),
            }
            self.output.push(':');
            self.value(value, &key, self.pass.classify(&key), depth + 1);
        }
        self.output.push('}');
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.output.push(',');
        }
    }

    fn hide(&mut self, rule: Rule, secret: &str) {
        let finding = Finding::Secret(rule);
        self.replace(&replacement(
            finding,
            secret.as_bytes(),
            self.pass.fingerprints,
        ));
    }

    fn replace(&mut self, text: &str) {
        self.is_dirty = true;
        self.push_string(text);
    }

    fn push_string(&mut self, text: &str) {
        self.output
            .push_str(&serde_json::Value::from(text).to_string());
    }
}

fn node_of<'a>(text: &str, string: Option<&'a str>) -> Node<'a> {
    match (string, text.as_bytes()) {
        (Some(string), _) => Node::Text(string),
        (None, [b'n', ..]) => Node::Null,
        (None, [b't' | b'f', ..]) => Node::Boolean,
        (None, [b'{' | b'[', inside @ ..]) => {
            let is_empty = matches!(inside.trim_ascii_start(), [b'}' | b']']);
            Node::Container { is_empty }
        }
        (None, number) => Node::Number {
            is_bit: matches!(number, b"0" | b"1"),
        },
    }
}

/// A string's content; `None` for every other kind of value.
fn string_of(text: &str) -> Option<Cow<'_, str>> {
    let is_string = text.starts_with('"');
    is_string.then(|| serde_json::from_str(text).ok().map(|Text(content)| content))?
}

/// A string that is borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object in their order, also where a key occurs twice.
#[derive(Default)]
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Deserialize<'a> for Members<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'a> Visitor<'a> for MembersVisitor {
    type Value = Members<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::new();
        while let Some((Text(key), value)) = map.next_entry()? {
            members.push((key, value));
        }
        Ok(Members(members))
    }
}
