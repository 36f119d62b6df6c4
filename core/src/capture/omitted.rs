//! The mark that stands for a value which is too large to be kept.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::jsonb::Builder;

/// Writes `{"$omitted": {"bytes": n, "sha256": "..."}}` for the content of a value: its text, or
/// the bytes of a bytea. Whoever has the value can tell whether it is the one that was left out.
pub fn write_omitted(builder: &mut Builder, content: &[u8]) {
    builder.begin_object();
    builder.key("$omitted");
    builder.begin_object();
    builder.key("bytes");
    builder.integer(i64::try_from(content.len()).unwrap_or(i64::MAX));
    builder.key("sha256");
    builder.string(&HEXLOWER.encode(&Sha256::digest(content)));
    builder.end();
    builder.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonb::{Jsonb, to_json};

    #[test]
    fn the_mark_tells_length_and_digest() {
        let mut builder = Builder::new();
        write_omitted(&mut builder, b"abc");
        let container = builder.finish().expect("a document");
        let document = Jsonb::new(&container).expect("well formed");
        assert_eq!(
            to_json(document.root()),
            r#"{"$omitted":{"bytes":3,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}}"#
        );
    }
}
