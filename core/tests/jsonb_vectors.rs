//! The reader and the writer against containers that a server has stored.
//!
//! `vectors/jsonb.json` was made by `vectors/jsonb.sql` on Postgres 15. The format depends on
//! the byte order of the machine, and the vectors are little-endian.
#![cfg(target_endian = "little")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure here fails the test"
)]

use activity_log_core::jsonb::{Builder, Jsonb, OwnedNumeric, Value, from_json, to_json};

struct Vector {
    text: String,
    container: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let file: serde_json::Value = serde_json::from_str(include_str!("vectors/jsonb.json")).unwrap();
    let vectors = file.as_array().unwrap().iter().map(|vector| Vector {
        text: vector["text"].as_str().unwrap().to_owned(),
        container: unhex(vector["container"].as_str().unwrap()),
    });
    vectors.collect()
}

fn unhex(digits: &str) -> Vec<u8> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty());
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(byte).collect()
}

/// The server's text without the blank after each comma and colon outside of strings.
fn compact(text: &str) -> String {
    let mut inside_string = false;
    let mut is_escaped = false;
    let keep = |character: &char| {
        let ends_string = *character == '"' && !is_escaped;
        is_escaped = *character == '\\' && !is_escaped;
        inside_string ^= ends_string;
        inside_string || *character != ' '
    };
    text.chars().filter(keep).collect()
}

/// Writes a value event by event, members in reverse, numbers from their text.
fn rewrite(builder: &mut Builder, value: Value<'_>) {
    match value {
        Value::Number(number) => {
            let text = number.to_string();
            match number.to_i64().filter(|_| !text.contains('.')) {
                Some(integer) => builder.integer(integer),
                None => builder.number(OwnedNumeric::from_decimal(&text).unwrap().as_numeric()),
            }
        }
        Value::Array(array) => {
            builder.begin_array();
            array.iter().for_each(|element| rewrite(builder, element));
            builder.end();
        }
        Value::Object(object) => {
            builder.begin_object();
            for (key, member) in object.iter().collect::<Vec<_>>().into_iter().rev() {
                builder.key(key);
                rewrite(builder, member);
            }
            builder.end();
        }
        scalar => builder.value(scalar),
    }
}

#[test]
fn stored_containers_read_as_the_server_prints_them() {
    for vector in vectors() {
        let document = Jsonb::new(&vector.container).expect(&vector.text);
        assert_eq!(to_json(document.root()), compact(&vector.text));
    }
}

#[test]
fn containers_at_odd_addresses_read_alike() {
    for vector in vectors() {
        let shifted = [&[0][..], &vector.container].concat();
        let document = Jsonb::new(&shifted[1..]).expect(&vector.text);
        assert_eq!(to_json(document.root()), compact(&vector.text));
    }
}

#[test]
fn written_containers_equal_the_stored_ones() {
    for vector in vectors() {
        let mut builder = Builder::new();
        rewrite(&mut builder, Jsonb::new(&vector.container).unwrap().root());
        assert_eq!(
            builder.finish().unwrap(),
            vector.container,
            "{}",
            vector.text
        );
    }
}

#[test]
fn copied_values_equal_the_stored_ones_as_root_and_nested() {
    for vector in vectors() {
        let root = Jsonb::new(&vector.container).unwrap().root();
        let mut copy = Builder::new();
        copy.value(root);
        assert_eq!(copy.finish().unwrap(), vector.container, "{}", vector.text);

        let nested = |write: fn(&mut Builder, Value<'_>)| {
            let mut builder = Builder::new();
            builder.begin_object();
            builder.key("odd");
            write(&mut builder, root);
            builder.end();
            builder.finish().unwrap()
        };
        assert_eq!(nested(Builder::value), nested(rewrite), "{}", vector.text);
    }
}

#[test]
fn documents_that_survive_serde_json_are_written_from_it_alike() {
    let mut compared = 0;
    for vector in vectors() {
        let value = serde_json::from_str(&vector.text).unwrap_or_default();
        let container = from_json(&value).unwrap();
        // serde_json rounds numbers to f64 and drops zeros after the point.
        if to_json(Jsonb::new(&container).unwrap().root()) == compact(&vector.text) {
            assert_eq!(container, vector.container, "{}", vector.text);
            compared += 1;
        }
    }
    assert!(compared >= 35);
}

#[test]
fn every_member_is_found_by_its_key() {
    for vector in vectors() {
        let Value::Object(object) = Jsonb::new(&vector.container).unwrap().root() else {
            continue;
        };
        for (key, member) in object.iter() {
            assert_eq!(to_json(object.get(key).unwrap()), to_json(member));
        }
        assert!(object.get("no such key").is_none());
    }
}

#[test]
fn the_vectors_cover_the_cases_of_the_format() {
    let roots = vectors();
    let roots = || {
        roots
            .iter()
            .map(|vector| Jsonb::new(&vector.container).unwrap())
    };
    assert!(roots().filter(|document| document.is_scalar_root()).count() >= 10);
    assert!(roots().any(|root| matches!(root.root(), Value::Array(array) if array.len() > 64)));
    assert!(roots().any(|root| matches!(root.root(), Value::Object(object) if object.len() > 64)));
}
