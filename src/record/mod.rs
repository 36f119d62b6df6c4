//! The one write path. Whatever records an event builds an [`Input`], lets [`prepare`] check,
//! complete and protect it, and hands the [`Event`] to [`write`].

mod api;
mod background;
mod direct;
pub mod durable;
pub mod guard;
mod idempotency;
mod insert;
mod layout;
mod many;
mod origin;
mod stamp;

use crate::access::{self, Purpose};
use crate::clock;
use crate::context::{self, Context};
use crate::db::{self, Relation};
use crate::error::Error;
use crate::privacy::{self, AddressToken};
use crate::registry;
use crate::settings;
use crate::value::{self, Address, JsonbArg, given};
use activity_log_core::jsonb::{Jsonb, Value};
use activity_log_core::privacy::TextKind;
use activity_log_core::record::{self as limits, Source, Status};
use std::borrow::Cow;

pub use api::tolerate;
pub use background::Background;
pub use stamp::Stamp;

/// What a caller gives; `None` and an empty text mean "not given".
#[derive(Default)]
pub struct Input<'a> {
    pub action: Option<&'a str>,
    pub metadata: Option<JsonbArg<'a>>,
    pub tenant_id: Option<[u8; 16]>,
    pub actor_id: Option<&'a str>,
    pub actor_type: Option<&'a str>,
    pub object_type: Option<&'a str>,
    pub object_id: Option<&'a str>,
    pub status: Option<&'a str>,
    pub client_ip: Option<Address>,
    pub user_agent: Option<&'a str>,
    pub request_id: Option<&'a str>,
    /// Microseconds, in the server's count.
    pub occurred_at: Option<i64>,
    pub idempotency_key: Option<&'a str>,
}

/// An event that may be stored: complete, checked and free of secrets.
pub struct Event<'a> {
    pub tenant_id: [u8; 16],
    pub occurred_at: Option<i64>,
    pub action: &'a str,
    pub action_version: Option<i32>,
    pub status: Status,
    pub source: Source,
    pub actor_type: Option<Cow<'a, str>>,
    pub actor_id: Option<Cow<'a, str>>,
    pub object_type: Option<Cow<'a, str>>,
    pub object_id: Option<Cow<'a, str>>,
    pub request_id: Option<Cow<'a, str>>,
    pub address: Option<AddressToken>,
    pub user_agent: Option<Cow<'a, str>>,
    /// A jsonb container.
    pub metadata: Cow<'a, [u8]>,
    /// A jsonb container: what became of a captured row.
    pub changes: Option<Cow<'a, [u8]>>,
    pub idempotency_key: Option<Cow<'a, str>>,
}

impl<'a> Event<'a> {
    /// An event of the log's own making, without an object and without metadata.
    pub fn of(action: &'a str, source: Source, background: &'a Background) -> Self {
        let text = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
        Self {
            tenant_id: background.tenant_id,
            occurred_at: None,
            action,
            action_version: None,
            status: Status::Success,
            source,
            actor_type: text(&background.actor_type),
            actor_id: text(&background.actor_id),
            object_type: None,
            object_id: None,
            request_id: text(&background.request_id),
            address: background.address,
            user_agent: text(&background.user_agent),
            metadata: Cow::Borrowed(&EMPTY_OBJECT),
            changes: None,
            idempotency_key: None,
        }
    }
}

/// The container of `{}`.
const EMPTY_OBJECT: [u8; 4] = 0x2000_0000_u32.to_ne_bytes();

/// Refuses to go on before `setup()`, on a standby, and in a parallel worker.
pub fn ready() -> Result<(), Error> {
    db::accept_changes();
    db::oid(Relation::Events)?;
    insert::check_writable();
    Ok(())
}

/// Checks an input, completes it from the context, and takes the secrets out of it.
pub fn prepare<'a>(input: &Input<'a>, context: &'a Context) -> Result<Event<'a>, Error> {
    let action = given(input.action).ok_or(Error::Missing { argument: "action" })?;
    let tenant_id = input
        .tenant_id
        .or(context.tenant_id)
        .ok_or(Error::NoTenant)?;
    access::check_tenant(&tenant_id, Purpose::Write)?;
    let metadata = metadata_object(input.metadata)?;
    let action_version = registry::check(action, &metadata)?;
    let status = match given(input.status) {
        None => Status::Success,
        Some(name) => Status::parse(name).ok_or_else(|| {
            Error::invalid(
                "status",
                "it must be one of success, failure, error and denied",
            )
        })?,
    };
    let texts = Texts {
        tenant_id: &tenant_id,
    };
    let (actor_type, actor_id) = actor(input, context);
    let given_ip = input
        .client_ip
        .map(|address| address.as_host("client_ip"))
        .transpose()?;
    let address = given_ip.or(context.client_ip);
    let user_agent = given(input.user_agent).or(context.user_agent.as_deref());
    let request_id = given(input.request_id).or(context.request_id.as_deref());
    check_occurred_at(input.occurred_at)?;
    Ok(Event {
        tenant_id,
        occurred_at: input.occurred_at,
        action,
        action_version,
        status,
        source: Source::Api,
        actor_type: texts.kind("actor_type", actor_type)?,
        actor_id: texts.identifier("actor_id", actor_id)?,
        object_type: texts.kind("object_type", given(input.object_type))?,
        object_id: texts.identifier("object_id", given(input.object_id))?,
        request_id: texts.identifier("request_id", request_id)?,
        address: address
            .map(|ip| privacy::address_token(&tenant_id, ip))
            .transpose()?,
        user_agent: texts.user_agent(user_agent)?,
        metadata: protect(&tenant_id, metadata)?,
        changes: None,
        idempotency_key: texts.idempotency_key(given(input.idempotency_key))?,
    })
}

/// Type and id of the actor are a pair: if the caller gives either, neither comes from the context.
fn actor<'a>(input: &Input<'a>, context: &'a Context) -> (Option<&'a str>, Option<&'a str>) {
    let pair = (given(input.actor_type), given(input.actor_id));
    if pair == (None, None) {
        (context.actor_type.as_deref(), context.actor_id.as_deref())
    } else {
        pair
    }
}

/// An event of the log about itself, under the system tenant.
///
/// It is written with the rights of the function that calls this, which were checked before.
pub fn write_system_event(action: &str, metadata: &serde_json::Value) -> Result<(), Error> {
    write_system_event_of(&context::current(), action, metadata)
}

/// The same with who acts given, where the context must not stand in the log.
pub fn write_system_event_of(
    context: &Context,
    action: &str,
    metadata: &serde_json::Value,
) -> Result<(), Error> {
    let background = Background::of(context, access::SYSTEM_TENANT)?;
    let event = system_event(action, metadata, &background)?;
    write(&[(Stamp::next()?, event)])
}

/// An event of the log about itself, with the actor and the request of the context.
fn system_event<'a>(
    action: &'a str,
    metadata: &serde_json::Value,
    background: &'a Background,
) -> Result<Event<'a>, Error> {
    Ok(Event {
        metadata: value::container(metadata)?.into(),
        ..Event::of(action, Source::System, background)
    })
}

/// Writes events; all or none.
pub fn write(events: &[(Stamp, Event<'_>)]) -> Result<(), Error> {
    insert::insert(events)
}

/// The container of the metadata, which has to be an object. Some drivers send a document as a
/// JSON string; such a string is taken as the document it holds. JSON null means not given.
pub fn metadata_object(metadata: Option<JsonbArg<'_>>) -> Result<Cow<'_, [u8]>, Error> {
    let document = metadata
        .map(|given| given.document("metadata"))
        .transpose()?;
    let Some(document) = document.filter(|document| !matches!(document.root(), Value::Null)) else {
        return Ok(Cow::Borrowed(&EMPTY_OBJECT));
    };
    let container = unwrapped(document, "metadata")?;
    check_size(container.len())?;
    Jsonb::new(&container)
        .map_err(|_| Error::Internal { place: "metadata" })
        .and_then(|document| {
            limits::check_document(document)
                .map_err(|problem| Error::invalid("metadata", problem.to_string()))
        })?;
    Ok(container)
}

/// The document itself, or the one inside if it is a JSON string.
fn unwrapped<'a>(document: Jsonb<'a>, argument: &'static str) -> Result<Cow<'a, [u8]>, Error> {
    match document.root() {
        Value::String(text) => value::parse_jsonb(text)
            .map(Cow::Owned)
            .ok_or_else(|| Error::invalid(argument, "it is a JSON string that holds no JSON")),
        _ => Ok(Cow::Borrowed(document.bytes())),
    }
}

fn check_size(bytes: usize) -> Result<(), Error> {
    let limit = settings::MAX_METADATA_SIZE.get() as usize;
    if bytes > limit {
        let setting = Some("activity.max_metadata_size");
        return Err(Error::TooLarge {
            what: "metadata",
            bytes,
            limit,
            setting,
        });
    }
    Ok(())
}

/// Takes the secrets out. What is left may be longer than what came in, by a bounded factor, so
/// the size is checked once more.
fn protect<'a>(tenant: &[u8; 16], metadata: Cow<'a, [u8]>) -> Result<Cow<'a, [u8]>, Error> {
    let document = Jsonb::new(&metadata).map_err(|_| Error::Internal { place: "metadata" })?;
    match privacy::scrub_document(tenant, document)? {
        Some(scrubbed) => {
            check_size(scrubbed.len())?;
            Ok(Cow::Owned(scrubbed))
        }
        None => Ok(metadata),
    }
}

/// The metadata of an event that the log derives from data: checked against the registry and freed
/// of secrets, with the version of the schema that it fits. Nobody's rights are asked for: whoever
/// changes a row may know nothing of the log.
pub fn checked_metadata<'a>(
    action: &str,
    tenant: &[u8; 16],
    metadata: &'a [u8],
) -> Result<(Option<i32>, Cow<'a, [u8]>), Error> {
    let metadata = metadata_object(Some(JsonbArg::of(metadata)))?;
    let version = registry::check(action, &metadata)?;
    Ok((version, protect(tenant, metadata)?))
}

fn check_occurred_at(occurred_at: Option<i64>) -> Result<(), Error> {
    let Some(at) = occurred_at else { return Ok(()) };
    if at == i64::MIN || at == i64::MAX {
        return Err(Error::invalid("occurred_at", "it is infinite"));
    }
    if at > clock::now().saturating_add(limits::MAX_FUTURE) {
        return Err(Error::invalid(
            "occurred_at",
            "it is more than 5 minutes in the future",
        ));
    }
    Ok(())
}

fn limited<'a>(
    what: &'static str,
    text: Option<&'a str>,
    limit: usize,
) -> Result<Option<&'a str>, Error> {
    match text {
        Some(text) if text.len() > limit => Err(Error::TooLarge {
            what,
            bytes: text.len(),
            limit,
            setting: None,
        }),
        _ => Ok(text),
    }
}

/// The texts of an event, each within its limit and free of secrets.
struct Texts<'t> {
    tenant_id: &'t [u8; 16],
}

impl Texts<'_> {
    fn identifier<'a>(
        &self,
        what: &'static str,
        text: Option<&'a str>,
    ) -> Result<Option<Cow<'a, str>>, Error> {
        limited(what, text, limits::MAX_IDENTIFIER)?
            .map(|text| privacy::scrub_text(self.tenant_id, text, TextKind::Identifier))
            .transpose()
    }

    /// A key that holds a secret is stored as its digest: it must still tell keys apart, also
    /// where no key for fingerprints is at hand.
    fn idempotency_key<'a>(&self, text: Option<&'a str>) -> Result<Option<Cow<'a, str>>, Error> {
        let Some(scrubbed) = self.identifier("idempotency_key", text)? else {
            return Ok(None);
        };
        Ok(text.map(|text| match scrubbed {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(_) => limits::idempotency_digest(text).into(),
        }))
    }

    fn kind<'a>(
        &self,
        what: &'static str,
        text: Option<&'a str>,
    ) -> Result<Option<Cow<'a, str>>, Error> {
        limited(what, text, limits::MAX_TYPE)?
            .map(|text| privacy::scrub_text(self.tenant_id, text, TextKind::Identifier))
            .transpose()
    }

    fn user_agent<'a>(&self, text: Option<&'a str>) -> Result<Option<Cow<'a, str>>, Error> {
        text.map(|text| {
            let text = limits::cut(text, limits::MAX_USER_AGENT);
            privacy::scrub_text(self.tenant_id, text, TextKind::Free)
        })
        .transpose()
    }
}
