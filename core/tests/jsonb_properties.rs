//! What holds for every document, and for bytes that are none.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here fails the test"
)]

use std::collections::BTreeMap;

use activity_log_core::jsonb::{
    BuildError, Builder, Jsonb, MAX_DEPTH, Malformed, OwnedNumeric, Value, depth, to_json,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;

/// A document with members in the order they are written, and repeated keys.
#[derive(Clone, Debug)]
enum Document {
    Null,
    Bool(bool),
    Integer(i64),
    Decimal(String),
    String(String),
    Array(Vec<Document>),
    Object(Vec<(String, Document)>),
}

impl Document {
    fn write(&self, builder: &mut Builder) {
        match self {
            Self::Null => builder.null(),
            Self::Bool(value) => builder.bool(*value),
            Self::Integer(value) => builder.integer(*value),
            Self::Decimal(text) => {
                builder.number(OwnedNumeric::from_decimal(text).unwrap().as_numeric());
            }
            Self::String(text) => builder.string(text),
            Self::Array(elements) => {
                builder.begin_array();
                elements.iter().for_each(|element| element.write(builder));
                builder.end();
            }
            Self::Object(members) => {
                builder.begin_object();
                for (key, member) in members {
                    builder.key(key);
                    member.write(builder);
                }
                builder.end();
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut builder = Builder::new();
        self.write(&mut builder);
        builder.finish().unwrap()
    }

    fn assert_equals(&self, value: Value<'_>) {
        match (self, value) {
            (Self::Null, Value::Null) => {}
            (Self::Bool(expected), Value::Bool(value)) => assert_eq!(value, *expected),
            (Self::Integer(expected), Value::Number(value)) => {
                assert_eq!(value.to_i64(), Some(*expected));
            }
            (Self::Decimal(expected), Value::Number(value)) => {
                assert_eq!(value.to_string(), *expected);
            }
            (Self::String(expected), Value::String(value)) => assert_eq!(value, expected),
            (Self::Array(expected), Value::Array(array)) => {
                assert_eq!(array.len(), expected.len());
                assert_eq!(array.iter().count(), expected.len());
                expected
                    .iter()
                    .zip(array.iter())
                    .for_each(|(one, other)| one.assert_equals(other));
            }
            (Self::Object(members), Value::Object(object)) => {
                let expected: BTreeMap<_, _> = members.iter().map(|(k, v)| (k, v)).collect();
                assert_eq!(object.len(), expected.len());
                assert!(object.iter().is_sorted_by_key(|(key, _)| (key.len(), key)));
                for (key, member) in object.iter() {
                    expected[&key.to_owned()].assert_equals(member);
                    expected[&key.to_owned()].assert_equals(object.get(key).unwrap());
                }
            }
            (expected, value) => panic!("{expected:?} was read as {value:?}"),
        }
    }
}

fn document() -> impl Strategy<Value = Document> {
    let key = prop_oneof!["[ab]{0,2}", "[^\\x00]{0,6}"];
    let scalar = prop_oneof![
        Just(Document::Null),
        any::<bool>().prop_map(Document::Bool),
        any::<i64>().prop_map(Document::Integer),
        "[1-9][0-9]{0,30}(\\.[0-9]{1,80})?".prop_map(Document::Decimal),
        "[^\\x00]{0,40}".prop_map(Document::String),
    ];
    scalar.prop_recursive(5, 200, 70, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..70).prop_map(Document::Array),
            vec((key.clone(), inner), 0..70).prop_map(Document::Object),
        ]
    })
}

/// Walks over everything a caller could reach.
fn exhaust(bytes: &[u8]) -> Result<String, Malformed> {
    let document = Jsonb::new(bytes)?;
    let _ = depth(document.root());
    if let Value::Object(object) = document.root() {
        assert!(
            object.iter().len() >= object.iter().filter_map(|(key, _)| object.get(key)).count()
        );
    }
    Ok(to_json(document.root()))
}

fn nested_arrays(levels: usize) -> Result<Vec<u8>, BuildError> {
    let mut builder = Builder::new();
    (0..levels).for_each(|_| builder.begin_array());
    (0..levels).for_each(|_| builder.end());
    builder.finish()
}

proptest! {
    #[test]
    fn documents_are_read_as_they_were_written(document in document()) {
        let bytes = document.bytes();
        document.assert_equals(Jsonb::new(&bytes).unwrap().root());
    }

    #[test]
    fn json_text_is_what_serde_json_reads(document in document()) {
        let text = exhaust(&document.bytes()).unwrap();
        prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
    }

    #[test]
    fn a_copied_value_reads_alike_behind_any_string(document in document(), text in "[a-z]{0,5}") {
        let bytes = document.bytes();
        let mut builder = Builder::new();
        builder.begin_array();
        builder.string(&text);
        builder.value(Jsonb::new(&bytes).unwrap().root());
        builder.end();
        let copy = builder.finish().unwrap();
        let Value::Array(array) = Jsonb::new(&copy).unwrap().root() else { unreachable!() };
        document.assert_equals(array.iter().nth(1).unwrap());
    }

    #[test]
    fn a_builder_starts_anew_after_each_document(documents in vec(document(), 1..4)) {
        let mut builder = Builder::new();
        for document in documents {
            let mut out = vec![0; 4];
            document.write(&mut builder);
            builder.finish_into(&mut out).unwrap();
            prop_assert_eq!(&out[4..], document.bytes());
        }
    }

    #[test]
    fn the_order_of_writing_does_not_matter(
        members in btree_map("[a-z]{0,4}", any::<i64>(), 0..80).prop_map(Vec::from_iter),
        shuffled in any::<u64>(),
    ) {
        let object = |members: &[(String, i64)]| {
            let integer = |(key, value): &(String, i64)| (key.clone(), Document::Integer(*value));
            Document::Object(members.iter().map(integer).collect()).bytes()
        };
        let mut rotated = members.clone();
        rotated.rotate_left(shuffled as usize % members.len().max(1));
        prop_assert_eq!(object(&members), object(&rotated));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), count in 0_u32..40) {
        let _ = exhaust(&bytes);
        for flags in [0x4000_0000_u32, 0x2000_0000, 0x5000_0000] {
            let _ = exhaust(&[&(flags | count).to_ne_bytes(), &bytes[..]].concat());
        }
    }

    #[test]
    fn damaged_documents_never_panic(
        document in document(),
        flips in vec((any::<Index>(), 0_u8..8), 1..6),
        cut in any::<Index>(),
    ) {
        let mut bytes = document.bytes();
        let cut = cut.index(bytes.len());
        prop_assert!(exhaust(&bytes[..cut]).is_err());
        for (place, bit) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            let _ = exhaust(&bytes);
        }
    }

    #[test]
    fn any_sequence_of_events_gives_a_readable_document_or_an_error(
        events in vec(0_u8..9, 0..40),
    ) {
        let mut builder = Builder::new();
        for event in events {
            match event {
                0 => builder.begin_object(),
                1 => builder.begin_array(),
                2..5 => builder.end(),
                5 | 6 => builder.key("key"),
                7 => builder.null(),
                _ => builder.integer(10),
            }
        }
        if let Ok(bytes) = builder.finish() {
            prop_assert!(exhaust(&bytes).is_ok());
        }
    }
}

#[test]
fn nesting_is_bounded_alike_in_reading_and_writing() {
    let deepest = nested_arrays(MAX_DEPTH).unwrap();
    let root = Jsonb::new(&deepest).unwrap().root();
    assert_eq!(depth(root), MAX_DEPTH);
    assert_eq!(to_json(root).len(), 2 * MAX_DEPTH);
    assert_eq!(nested_arrays(MAX_DEPTH + 1), Err(BuildError::TooDeep));

    let mut builder = Builder::new();
    builder.begin_array();
    builder.value(root);
    builder.end();
    assert_eq!(builder.finish(), Err(BuildError::TooDeep));

    // One more level around the deepest document, by hand: an array with a single container.
    let length = u32::try_from(deepest.len()).unwrap();
    let words = [0x4000_0001_u32, 0xD000_0000 | length]
        .map(u32::to_ne_bytes)
        .concat();
    let too_deep = [words, deepest].concat();
    assert_eq!(Jsonb::new(&too_deep).err(), Some(Malformed::TooDeep));
}

#[test]
fn a_deep_json_value_is_refused_before_it_is_walked() {
    let mut value = serde_json::Value::Null;
    for _ in 0..MAX_DEPTH + 100 {
        value = serde_json::Value::Array(vec![value]);
    }
    assert_eq!(
        activity_log_core::jsonb::from_json(&value),
        Err(BuildError::TooDeep)
    );
}

#[test]
fn calls_that_make_no_single_value_are_refused() {
    let cases: [fn(&mut Builder); 9] = [
        |_| {},
        |builder| builder.end(),
        |builder| builder.key("outside"),
        |builder| builder.begin_array(),
        |builder| (0..2).for_each(|_| builder.null()),
        |builder| {
            builder.begin_object();
            builder.null();
        },
        |builder| {
            builder.begin_object();
            builder.key("without value");
            builder.end();
        },
        |builder| {
            builder.begin_object();
            builder.key("first");
            builder.key("second");
        },
        |builder| {
            builder.begin_array();
            builder.key("inside an array");
        },
    ];
    for (index, write) in cases.into_iter().enumerate() {
        let mut builder = Builder::new();
        write(&mut builder);
        assert_eq!(
            builder.finish(),
            Err(BuildError::Incomplete),
            "case {index}"
        );
    }
}

#[test]
fn a_null_character_is_refused_in_keys_and_strings() {
    let mut builder = Builder::new();
    builder.string("a\0b");
    assert_eq!(builder.finish(), Err(BuildError::NullCharacter));

    let mut builder = Builder::new();
    builder.begin_object();
    builder.key("\0");
    builder.null();
    builder.end();
    assert_eq!(builder.finish(), Err(BuildError::NullCharacter));
}

#[test]
fn strings_that_are_not_utf8_are_malformed() {
    let mut builder = Builder::new();
    builder.string("abc");
    let mut bytes = builder.finish().unwrap();
    *bytes.last_mut().unwrap() = 0xFF;
    assert_eq!(Jsonb::new(&bytes).err(), Some(Malformed::Encoding));
}

#[test]
fn a_container_beyond_the_limit_is_refused() {
    let mut builder = Builder::new();
    builder.begin_array();
    let block = "x".repeat(1 << 26);
    (0..4).for_each(|_| builder.string(&block));
    builder.end();
    assert_eq!(builder.finish(), Err(BuildError::TooLarge));
}

/// Otherwise a few bytes could nest the same child again and again, and reading never end.
#[test]
fn children_that_share_their_data_are_malformed() {
    let empty_array = 0x4000_0000_u32;
    let container_up_to_4 = 0xD000_0004;
    let null_back_to_0 = 0xC000_0000;
    let words = [
        0x4000_0003,
        container_up_to_4,
        null_back_to_0,
        container_up_to_4,
        empty_array,
    ];
    let bytes = words.map(u32::to_ne_bytes).concat();
    assert_eq!(Jsonb::new(&bytes).err(), Some(Malformed::Structure));
}
