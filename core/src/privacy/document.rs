//! The walk over a `jsonb` document: first to see whether anything must be hidden, and only then
//! to write the document anew.

use super::names::{KeyClass, Node, rule_of_key};
use super::replacement::{Finding, replacement};
use super::rule::Rule;
use super::scrubber::Pass;
use crate::jsonb::{BuildError, Builder, Value, to_json};

/// The document without its secrets; `None` if there is nothing to hide.
pub(super) fn scrub(pass: Pass<'_>, root: Value<'_>) -> Result<Option<Vec<u8>>, BuildError> {
    scrub_member(pass, root, "", KeyClass::Ordinary)
}

/// The value of the member `key`, as a document of its own, without its secrets; `None` if there
/// is nothing to hide.
pub(super) fn scrub_member(
    pass: Pass<'_>,
    value: Value<'_>,
    key: &str,
    class: KeyClass,
) -> Result<Option<Vec<u8>>, BuildError> {
    if !is_dirty(pass, value, key, class) {
        return Ok(None);
    }
    let mut writer = Writer {
        pass,
        builder: Builder::new(),
    };
    writer.value(value, key, class);
    writer.builder.finish().map(Some)
}

fn is_dirty(pass: Pass<'_>, value: Value<'_>, key: &str, class: KeyClass) -> bool {
    if hiding_rule(key, class, value).is_some() {
        return true;
    }
    match value {
        Value::String(text) => pass.hides(text, class),
        Value::Array(array) => array
            .iter()
            .any(|element| is_dirty(pass, element, key, class)),
        Value::Object(object) => object.iter().any(|(key, member)| {
            pass.hides(key, KeyClass::Ordinary) || is_dirty(pass, member, key, pass.classify(key))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn hiding_rule(key: &str, class: KeyClass, value: Value<'_>) -> Option<Rule> {
    if !matches!(class, KeyClass::Secret(..)) {
        return None;
    }
    let node = match value {
        Value::Null => Node::Null,
        Value::Bool(_) => Node::Boolean,
        Value::Number(number) => Node::Number {
            is_bit: matches!(number.to_i64(), Some(0 | 1)),
        },
        Value::String(text) => Node::Text(text),
        Value::Array(array) => Node::Container {
            is_empty: array.is_empty(),
        },
        Value::Object(object) => Node::Container {
            is_empty: object.is_empty(),
        },
    };
    rule_of_key(key, class, node)
}

struct Writer<'a> {
    pass: Pass<'a>,
    builder: Builder,
}

impl Writer<'_> {
    fn value(&mut self, value: Value<'_>, key: &str, class: KeyClass) {
        if let Some(rule) = hiding_rule(key, class, value) {
            return self.hide(rule, value);
        }
        match value {
            Value::String(text) => match self.pass.text(text, class) {
                Some(hidden) => self.builder.string(&hidden),
                None => self.builder.string(text),
            },
            Value::Array(array) => {
                self.builder.begin_array();
                for element in array.iter() {
                    self.value(element, key, class);
                }
                self.builder.end();
            }
            Value::Object(object) => {
                self.builder.begin_object();
                for (key, member) in object.iter() {
                    self.member(key, member);
                }
                self.builder.end();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => self.builder.value(value),
        }
    }

    fn member(&mut self, key: &str, value: Value<'_>) {
        match self.pass.key(key) {
            Some(hidden) => self.builder.key(&hidden),
            None => self.builder.key(key),
        }
        self.value(value, key, self.pass.classify(key));
    }

    /// The fingerprint of a text is that of its content, of anything else that of its JSON, so
    /// that the number 1234 and the text "1234" compare equal.
    fn hide(&mut self, rule: Rule, secret: Value<'_>) {
        let finding = Finding::Secret(rule);
        let fingerprints = self.pass.fingerprints;
        let hidden = match secret {
            Value::String(text) => replacement(finding, text.as_bytes(), fingerprints),
            other => replacement(finding, to_json(other).as_bytes(), fingerprints),
        };
        self.builder.string(&hidden);
    }
}
