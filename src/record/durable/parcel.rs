//! A finished event as the bytes that travel, and back.

use super::super::{Event, Stamp, idempotency, insert, origin};
use crate::error::Error;
use crate::privacy::AddressToken;
use crate::value;
use activity_log_core::durable::{Parcel, TEXTS, Text};
use activity_log_core::jsonb::{Jsonb, to_json};
use activity_log_core::record::{Source, Status};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

const NO_PARCEL: Error = Error::Internal {
    place: "the queue of the worker",
};

/// The event with its stamp, for the roles of the present session.
pub(super) fn pack(stamp: &Stamp, event: &Event<'_>) -> Vec<u8> {
    pack_for(stamp, event, &origin::role_name())
}

pub(super) fn pack_for(stamp: &Stamp, event: &Event<'_>, role: &str) -> Vec<u8> {
    let mut texts: [Option<Cow<'_, str>>; TEXTS] = [const { None }; TEXTS];
    let mut put = |which: Text, text: Option<&str>| {
        texts[which as usize] = text.map(|text| Cow::Owned(text.to_owned()));
    };
    put(Text::Action, Some(event.action));
    put(Text::Status, Some(event.status.name()));
    put(Text::Source, Some(event.source.name()));
    put(Text::ActorType, event.actor_type.as_deref());
    put(Text::ActorId, event.actor_id.as_deref());
    put(Text::ObjectType, event.object_type.as_deref());
    put(Text::ObjectId, event.object_id.as_deref());
    put(Text::RequestId, event.request_id.as_deref());
    put(Text::UserAgent, event.user_agent.as_deref());
    put(Text::IdempotencyKey, event.idempotency_key.as_deref());
    put(Text::DbRole, Some(role));
    let parcel = Parcel {
        event_id: stamp.event_id,
        recorded_at: stamp.recorded_at,
        tenant_id: event.tenant_id,
        occurred_at: event.occurred_at,
        action_version: event.action_version,
        ip_hash: event.address.and_then(|address| address.hash),
        ip_prefix: event.address.map(|address| network(address.prefix)),
        texts,
        metadata: Cow::Borrowed(&event.metadata),
    };
    parcel.pack()
}

fn network((address, bits): (IpAddr, u8)) -> ([u8; 16], u8) {
    let wide = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    (wide.octets(), bits)
}

/// Writes the event of a parcel; the id under which it is in the log, which is an earlier one
/// where its idempotency key was known.
pub fn write(bytes: &[u8]) -> Result<[u8; 16], Error> {
    let (stamp, event, role) = unpack(bytes)?;
    let stamped = [(stamp, event)];
    let [(_, event)] = &stamped;
    if event.idempotency_key.is_some()
        && let Some(earlier) = idempotency::claim(&stamped)?.remove(&0)
    {
        return Ok(earlier);
    }
    insert::insert_for(&role, &stamped)?;
    Ok(stamp.event_id)
}

/// Writes the event of a parcel once more, saying how often it has come since.
pub fn write_repeated(bytes: &[u8], repeats: u64) -> Result<(), Error> {
    let (_, mut event, role) = unpack(bytes)?;
    let document = Jsonb::new(&event.metadata).map_err(|_| NO_PARCEL)?;
    let mut metadata: serde_json::Value =
        serde_json::from_str(&to_json(document.root())).map_err(|_| NO_PARCEL)?;
    metadata["repeated"] = repeats.into();
    event.metadata = value::container(&metadata)?.into();
    insert::insert_for(&role, &[(Stamp::next()?, event)])
}

/// The id that the event of a parcel gets.
pub fn written_id(bytes: &[u8]) -> Option<[u8; 16]> {
    Parcel::unpack(bytes).ok().map(|parcel| parcel.event_id)
}

fn unpack(bytes: &[u8]) -> Result<(Stamp, Event<'_>, Cow<'_, str>), Error> {
    let mut parcel = Parcel::unpack(bytes).map_err(|_| NO_PARCEL)?;
    let status = parcel.text(Text::Status).and_then(Status::parse);
    let source = parcel.text(Text::Source) == Some(Source::System.name());
    let Some(Cow::Borrowed(action)) = parcel.take(Text::Action) else {
        return Err(NO_PARCEL);
    };
    let address = parcel.ip_prefix.map(|(octets, bits)| AddressToken {
        hash: parcel.ip_hash,
        prefix: (IpAddr::V6(Ipv6Addr::from(octets)).to_canonical(), bits),
    });
    let event = Event {
        tenant_id: parcel.tenant_id,
        occurred_at: parcel.occurred_at,
        action,
        action_version: parcel.action_version,
        status: status.ok_or(NO_PARCEL)?,
        source: if source { Source::System } else { Source::Api },
        actor_type: parcel.take(Text::ActorType),
        actor_id: parcel.take(Text::ActorId),
        object_type: parcel.take(Text::ObjectType),
        object_id: parcel.take(Text::ObjectId),
        request_id: parcel.take(Text::RequestId),
        address,
        user_agent: parcel.take(Text::UserAgent),
        idempotency_key: parcel.take(Text::IdempotencyKey),
        metadata: std::mem::take(&mut parcel.metadata),
        changes: None,
    };
    let stamp = Stamp {
        event_id: parcel.event_id,
        recorded_at: parcel.recorded_at,
    };
    let role = parcel.take(Text::DbRole).unwrap_or_default();
    Ok((stamp, event, role))
}
