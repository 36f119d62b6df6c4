//! The place in a tenant's log that a reader has come to.

use sha2::{Digest, Sha256};

/// A row's place in the order of `list()`: newest occurrence first, then by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListCursor {
    /// When the row's event occurred, in the microseconds of the server.
    pub occurred_at: i64,
    /// The row's id.
    pub event_id: [u8; 16],
}

/// The cursor was not given out for this log and tenant, or it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCursor;

const VERSION: u8 = 1;
const CHECK: usize = 8;
const BODY: usize = 1 + 8 + 16;

impl ListCursor {
    /// The cursor as URL-safe text, bound to a log and a tenant.
    ///
    /// The check finds damage and mix-ups. It is no signature: rights are checked at every read.
    #[must_use]
    pub fn encode(&self, log_id: &[u8; 16], tenant_id: &[u8; 16]) -> String {
        let body = self.body();
        let mut bytes = [0u8; BODY + CHECK];
        bytes[..BODY].copy_from_slice(&body);
        bytes[BODY..].copy_from_slice(&check(&body, log_id, tenant_id));
        base64url(&bytes)
    }

    /// Reads a cursor back.
    ///
    /// # Errors
    /// [`BadCursor`] if it is damaged, or belongs to another log or tenant.
    pub fn decode(text: &str, log_id: &[u8; 16], tenant_id: &[u8; 16]) -> Result<Self, BadCursor> {
        let bytes = from_base64url(text).ok_or(BadCursor)?;
        let (body, found) = bytes.split_at_checked(BODY).ok_or(BadCursor)?;
        if body[0] != VERSION || found != check(body, log_id, tenant_id) {
            return Err(BadCursor);
        }
        Ok(Self {
            occurred_at: i64::from_be_bytes(body[1..9].try_into().map_err(|_| BadCursor)?),
            event_id: body[9..].try_into().map_err(|_| BadCursor)?,
        })
    }

    fn body(&self) -> [u8; BODY] {
        let mut body = [0u8; BODY];
        body[0] = VERSION;
        body[1..9].copy_from_slice(&self.occurred_at.to_be_bytes());
        body[9..].copy_from_slice(&self.event_id);
        body
    }
}

fn check(body: &[u8], log_id: &[u8; 16], tenant_id: &[u8; 16]) -> [u8; CHECK] {
    let digest = Sha256::new()
        .chain_update(b"activity_log/list/v1\n")
        .chain_update(log_id)
        .chain_update(tenant_id)
        .chain_update(body)
        .finalize();
    let mut check = [0u8; CHECK];
    check.copy_from_slice(&digest[..CHECK]);
    check
}

fn base64url(bytes: &[u8]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(bytes)
}

fn from_base64url(text: &str) -> Option<Vec<u8>> {
    data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOG: [u8; 16] = [1; 16];
    const TENANT: [u8; 16] = [2; 16];

    fn cursor() -> ListCursor {
        ListCursor {
            occurred_at: -5,
            event_id: [7; 16],
        }
    }

    #[test]
    fn a_cursor_of_another_tenant_or_log_is_refused() {
        let text = cursor().encode(&LOG, &TENANT);
        assert_eq!(ListCursor::decode(&text, &LOG, &[3; 16]), Err(BadCursor));
        assert_eq!(ListCursor::decode(&text, &[3; 16], &TENANT), Err(BadCursor));
    }

    #[test]
    fn a_cursor_is_short_and_safe_in_a_url() {
        let text = cursor().encode(&LOG, &TENANT);
        assert_eq!(text.len(), 44);
        assert!(
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        );
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(occurred_at: i64, event_id: [u8; 16]) {
            let cursor = ListCursor { occurred_at, event_id };
            prop_assert_eq!(ListCursor::decode(&cursor.encode(&LOG, &TENANT), &LOG, &TENANT), Ok(cursor));
        }

        #[test]
        fn any_changed_character_is_noticed(at in 0usize..44, replacement in "[A-Za-z0-9_-]") {
            let text = cursor().encode(&LOG, &TENANT);
            let mut changed = text.clone();
            changed.replace_range(at..=at, &replacement);
            prop_assume!(changed != text);
            prop_assert_eq!(ListCursor::decode(&changed, &LOG, &TENANT), Err(BadCursor));
        }

        #[test]
        fn no_text_is_taken_for_a_cursor(text in ".{0,80}") {
            prop_assert_eq!(ListCursor::decode(&text, &LOG, &TENANT), Err(BadCursor));
        }
    }
}
