//! The name of a row: the text of its key.

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::record::MAX_IDENTIFIER;

/// The text of a key of several columns: a JSON array of their texts, without blanks.
///
/// It stays the same as long as the values do, whatever the columns are called.
#[must_use]
pub fn composite_key<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let parts: Vec<&str> = parts.into_iter().collect();
    serde_json::Value::from(parts).to_string()
}

/// The text that names a row in the log. A key that is too long for an index is named by its
/// digest, so that a long key breaks no write and still tells rows apart.
#[must_use]
pub fn object_id(key: Cow<'_, str>) -> Cow<'_, str> {
    if key.len() <= MAX_IDENTIFIER {
        return key;
    }
    format!(
        "sha256:{}",
        HEXLOWER.encode(&Sha256::digest(key.as_bytes()))
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_composite_key_is_a_json_array_of_texts() {
        assert_eq!(composite_key(["1", "a\"b"]), r#"["1","a\"b"]"#);
    }

    #[test]
    fn a_long_key_is_named_by_its_digest() {
        let long = "x".repeat(MAX_IDENTIFIER + 1);
        let name = object_id(long.as_str().into());
        assert!(name.starts_with("sha256:"), "{name}");
        assert_eq!(name.len(), "sha256:".len() + 64);
    }

    #[test]
    fn a_key_at_the_limit_stays() {
        let key = "x".repeat(MAX_IDENTIFIER);
        assert_eq!(object_id(key.as_str().into()), key);
    }

    proptest! {
        #[test]
        fn different_keys_have_different_names(a in prop::collection::vec(".{0,5}", 1..4), b in prop::collection::vec(".{0,5}", 1..4)) {
            let (name_a, name_b) = (composite_key(a.iter().map(String::as_str)), composite_key(b.iter().map(String::as_str)));
            prop_assert_eq!(a == b, name_a == name_b);
        }
    }
}
