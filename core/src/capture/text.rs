//! Texts of values, as the server prints them with its default settings.

use data_encoding::HEXLOWER;

/// A `bytea` in the hex format.
#[must_use]
pub fn bytes_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    HEXLOWER.encode_append(bytes, &mut text);
    text
}

/// A `uuid`: 36 characters in lower case.
#[must_use]
pub fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    let mut rest = &uuid[..];
    for group in [4, 2, 2, 2, 6] {
        let (bytes, later) = rest.split_at(group);
        if !text.is_empty() {
            text.push('-');
        }
        HEXLOWER.encode_append(bytes, &mut text);
        rest = later;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_printed_in_hex() {
        assert_eq!(bytes_text(&[0, 0xAB, 0xFF]), "\\x00abff");
        assert_eq!(bytes_text(&[]), "\\x");
    }

    #[test]
    fn a_uuid_has_five_groups() {
        let uuid = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";
        assert_eq!(uuid_text(&uuid), "01234567-89ab-cdef-0123-456789abcdef");
    }
}
