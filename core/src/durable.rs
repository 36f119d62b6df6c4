//! An event on its way to the worker: everything that is stored of it, as bytes.
//!
//! The bytes live in shared memory, between processes of one server that run the same library, so
//! they need no version and no fixed byte order.

use std::borrow::Cow;
use std::fmt;

/// A finished event, checked and free of secrets, that another process will write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel<'a> {
    /// The event's id.
    pub event_id: [u8; 16],
    /// When it was recorded, in microseconds.
    pub recorded_at: i64,
    /// Its tenant.
    pub tenant_id: [u8; 16],
    /// When it happened, in microseconds.
    pub occurred_at: Option<i64>,
    /// Version of the action's schema.
    pub action_version: Option<i32>,
    /// The hash of the client's address.
    pub ip_hash: Option<[u8; 20]>,
    /// The network of the client: 16 bytes of address (IPv4 mapped) and the mask's length.
    pub ip_prefix: Option<([u8; 16], u8)>,
    /// The texts, in the order that [`Text`] gives.
    pub texts: [Option<Cow<'a, str>>; TEXTS],
    /// A jsonb container.
    pub metadata: Cow<'a, [u8]>,
}

/// Which text of a parcel stands where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// The action.
    Action,
    /// The status.
    Status,
    /// The source.
    Source,
    /// The kind of actor.
    ActorType,
    /// The actor.
    ActorId,
    /// The kind of object.
    ObjectType,
    /// The object.
    ObjectId,
    /// The request.
    RequestId,
    /// The user agent.
    UserAgent,
    /// The idempotency key.
    IdempotencyKey,
    /// Who recorded it.
    DbRole,
}

/// How many texts a parcel has.
pub const TEXTS: usize = 11;

/// The bytes are no parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl fmt::Display for Damaged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the bytes are no parcel")
    }
}

impl std::error::Error for Damaged {}

impl<'a> Parcel<'a> {
    /// A text.
    #[must_use]
    pub fn text(&self, which: Text) -> Option<&str> {
        self.texts[which as usize].as_deref()
    }

    /// Takes a text out.
    pub fn take(&mut self, which: Text) -> Option<Cow<'a, str>> {
        self.texts[which as usize].take()
    }

    /// The parcel as bytes.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256 + self.metadata.len());
        bytes.extend_from_slice(&self.event_id);
        bytes.extend_from_slice(&self.recorded_at.to_ne_bytes());
        bytes.extend_from_slice(&self.tenant_id);
        put_some(&mut bytes, self.occurred_at.map(i64::to_ne_bytes));
        put_some(&mut bytes, self.action_version.map(i32::to_ne_bytes));
        put_some(&mut bytes, self.ip_hash);
        put_some(&mut bytes, self.ip_prefix.map(|(address, _)| address));
        bytes.push(self.ip_prefix.map_or(0, |(_, bits)| bits));
        for text in &self.texts {
            bytes.push(u8::from(text.is_some()));
            put_slice(&mut bytes, text.as_deref().unwrap_or_default().as_bytes());
        }
        put_slice(&mut bytes, &self.metadata);
        bytes
    }

    /// The parcel in the bytes.
    ///
    /// # Errors
    /// [`Damaged`] if they are none.
    pub fn unpack(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut rest = bytes;
        let parcel = Self {
            event_id: take(&mut rest)?,
            recorded_at: i64::from_ne_bytes(take(&mut rest)?),
            tenant_id: take(&mut rest)?,
            occurred_at: take_some(&mut rest)?.map(i64::from_ne_bytes),
            action_version: take_some(&mut rest)?.map(i32::from_ne_bytes),
            ip_hash: take_some(&mut rest)?,
            ip_prefix: {
                let address = take_some(&mut rest)?;
                let [bits] = take(&mut rest)?;
                address.map(|address| (address, bits))
            },
            texts: {
                let mut texts = [const { None }; TEXTS];
                for text in &mut texts {
                    *text = take_text(&mut rest)?;
                }
                texts
            },
            metadata: Cow::Borrowed(take_slice(&mut rest)?),
        };
        if rest.is_empty() {
            Ok(parcel)
        } else {
            Err(Damaged)
        }
    }
}

fn put_some<const N: usize>(bytes: &mut Vec<u8>, value: Option<[u8; N]>) {
    bytes.push(u8::from(value.is_some()));
    bytes.extend_from_slice(&value.unwrap_or([0; N]));
}

fn put_slice(bytes: &mut Vec<u8>, slice: &[u8]) {
    bytes.extend_from_slice(&slice.len().to_ne_bytes());
    bytes.extend_from_slice(slice);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Damaged> {
    let (first, left) = rest.split_first_chunk::<N>().ok_or(Damaged)?;
    *rest = left;
    Ok(*first)
}

fn take_flag(rest: &mut &[u8]) -> Result<bool, Damaged> {
    match take(rest)? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(Damaged),
    }
}

fn take_some<const N: usize>(rest: &mut &[u8]) -> Result<Option<[u8; N]>, Damaged> {
    let is_some = take_flag(rest)?;
    let value = take(rest)?;
    Ok(is_some.then_some(value))
}

fn take_slice<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Damaged> {
    let length = usize::from_ne_bytes(take(rest)?);
    let (slice, left) = rest.split_at_checked(length).ok_or(Damaged)?;
    *rest = left;
    Ok(slice)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<Option<Cow<'a, str>>, Damaged> {
    let is_some = take_flag(rest)?;
    let text = std::str::from_utf8(take_slice(rest)?).map_err(|_| Damaged)?;
    Ok(is_some.then_some(Cow::Borrowed(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn parcels()(
            event_id: [u8; 16], recorded_at: i64, tenant_id: [u8; 16], occurred_at: Option<i64>,
            action_version: Option<i32>, ip_hash: Option<[u8; 20]>, ip_prefix: Option<([u8; 16], u8)>,
            texts in prop::array::uniform11(prop::option::of(".{0,40}")), metadata: Vec<u8>,
        ) -> Parcel<'static> {
            Parcel {
                event_id, recorded_at, tenant_id, occurred_at, action_version, ip_hash, ip_prefix,
                texts: texts.map(|text| text.map(Cow::Owned)),
                metadata: Cow::Owned(metadata),
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out(parcel in parcels()) {
            let bytes = parcel.pack();
            prop_assert_eq!(Parcel::unpack(&bytes), Ok(parcel));
        }

        #[test]
        fn a_part_of_a_parcel_is_none(parcel in parcels(), cut in 1usize..100) {
            let bytes = parcel.pack();
            let left = bytes.len().saturating_sub(cut);
            prop_assert_eq!(Parcel::unpack(&bytes[..left]), Err(Damaged));
        }

        #[test]
        fn other_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Parcel::unpack(&bytes);
        }
    }

    #[test]
    fn nothing_may_follow_a_parcel() {
        let parcel = Parcel {
            event_id: [1; 16],
            recorded_at: 2,
            tenant_id: [3; 16],
            occurred_at: None,
            action_version: None,
            ip_hash: None,
            ip_prefix: None,
            texts: [const { None }; TEXTS],
            metadata: Cow::Borrowed(b""),
        };
        let mut bytes = parcel.pack();
        bytes.push(0);
        assert_eq!(Parcel::unpack(&bytes), Err(Damaged));
        assert_eq!(parcel.text(Text::DbRole), None);
        assert_eq!(Text::DbRole as usize, TEXTS - 1);
    }
}
