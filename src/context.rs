//! Who acts, for which tenant, in which request: six settings of the session, read as one.

#![allow(unsafe_code)]

use crate::db::{self, Scope};
use crate::error::{self, Error};
use crate::settings;
use crate::value::{self, Address, JsonbOut, given};
use activity_log_core::context::{Network, parse_uuid};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString};
use std::net::IpAddr;
use std::rc::Rc;

/// The context of the current request; what is unset or empty is `None`.
#[derive(Debug, Default)]
pub struct Context {
    pub tenant_id: Option<[u8; 16]>,
    pub actor_id: Option<String>,
    pub actor_type: Option<String>,
    pub client_ip: Option<IpAddr>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
}

thread_local! {
    /// The parsed settings and the count of changes they belong to.
    static PARSED: RefCell<Option<(u64, Rc<Context>)>> = const { RefCell::new(None) };
    /// A local context was set outside a transaction block and nothing has used it yet.
    static UNUSED: Cell<bool> = const { Cell::new(false) };
}

/// The context as it is now.
pub fn current() -> Rc<Context> {
    UNUSED.set(false);
    let changes = settings::context_changes();
    let kept = PARSED.with_borrow(|parsed| {
        parsed
            .as_ref()
            .filter(|(at, _)| *at == changes)
            .map(|(_, context)| Rc::clone(context))
    });
    kept.unwrap_or_else(|| {
        let context = Rc::new(read());
        PARSED.set(Some((changes, Rc::clone(&context))));
        context
    })
}

fn read() -> Context {
    Context {
        tenant_id: settings::text(&settings::TENANT_ID)
            .as_deref()
            .and_then(parse_uuid),
        actor_id: settings::text(&settings::ACTOR_ID),
        actor_type: settings::text(&settings::ACTOR_TYPE),
        client_ip: settings::text(&settings::CLIENT_IP)
            .as_deref()
            .and_then(value::parse_address),
        user_agent: settings::text(&settings::USER_AGENT),
        request_id: settings::text(&settings::REQUEST_ID),
    }
}

/// Registers the check for contexts that vanished before anything used them.
pub fn watch_transactions() {
    // SAFETY: the callback stays valid for the life of the process.
    unsafe { pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut()) };
}

/// Warns before commit, as `SET LOCAL` outside a transaction block does. The warning waits until
/// then because `SELECT record(..) FROM set_context(..)` is a complete use in one statement.
#[pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(
    event: pg_sys::XactEvent::Type,
    _argument: *mut std::ffi::c_void,
) {
    let was_unused = UNUSED.replace(false);
    if was_unused && event == pg_sys::XactEvent::XACT_EVENT_PRE_COMMIT {
        error::warning(
            PgSqlErrorCode::ERRCODE_NO_ACTIVE_SQL_TRANSACTION,
            "a local context lasts until the end of the transaction, and there is no transaction block".into(),
            "Set it after BEGIN, or in one statement: SELECT activity.record(...) FROM activity.set_context(...).",
        );
    }
}

/// Replaces the whole context, so that nothing of an earlier request stays.
#[pg_extern(volatile, parallel_unsafe)]
fn set_context(
    tenant_id: default!(Option<Uuid>, "NULL"),
    actor_id: default!(Option<&str>, "NULL"),
    actor_type: default!(Option<&str>, "NULL"),
    client_ip: default!(Option<Address>, "NULL"),
    user_agent: default!(Option<&str>, "NULL"),
    request_id: default!(Option<&str>, "NULL"),
    is_local: default!(Option<bool>, "true"),
) -> Result<Option<Uuid>, ErrorReport> {
    let scope = if is_local.unwrap_or(true) {
        Scope::Transaction
    } else {
        Scope::Session
    };
    let tenant = tenant_id.map(|id| id.to_string());
    let address = client_ip
        .map(|address| address.as_host("client_ip"))
        .transpose()?;
    let address = address.map(|ip| ip.to_string());
    let parts = [
        (c"activity.tenant_id", tenant.as_deref()),
        (c"activity.actor_id", given(actor_id)),
        (c"activity.actor_type", given(actor_type)),
        (c"activity.client_ip", address.as_deref()),
        (c"activity.user_agent", given(user_agent)),
        (c"activity.request_id", given(request_id)),
    ];
    for (name, value) in parts {
        assign(name, value.unwrap_or_default(), scope)?;
    }
    // SAFETY: reads the state of the current transaction.
    let in_block = unsafe { pg_sys::IsTransactionBlock() };
    UNUSED.set(scope == Scope::Transaction && !in_block);
    Ok(tenant_id)
}

/// Empties the whole context, of the transaction and of the session.
#[pg_extern(volatile, parallel_unsafe)]
fn clear_context() -> Result<bool, ErrorReport> {
    for name in [
        c"activity.tenant_id",
        c"activity.actor_id",
        c"activity.actor_type",
        c"activity.client_ip",
        c"activity.user_agent",
        c"activity.request_id",
    ] {
        assign(name, "", Scope::Session)?;
    }
    UNUSED.set(false);
    Ok(true)
}

fn assign(name: &CStr, value: &str, scope: Scope) -> Result<(), Error> {
    let value = CString::new(value).map_err(|_| Error::Internal { place: "context" })?;
    db::set_option(name, &value, scope);
    Ok(())
}

/// The context as a document, without what is unset.
#[pg_extern(name = "context", stable, parallel_unsafe)]
fn context_document() -> Result<JsonbOut, ErrorReport> {
    let context = current();
    let parts = [
        (
            "tenant_id",
            context.tenant_id.map(|id| Uuid::from_bytes(id).to_string()),
        ),
        ("actor_id", context.actor_id.clone()),
        ("actor_type", context.actor_type.clone()),
        ("client_ip", context.client_ip.map(|ip| ip.to_string())),
        ("user_agent", context.user_agent.clone()),
        ("request_id", context.request_id.clone()),
    ];
    let set = parts
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    Ok(JsonbOut::from_json(&serde_json::Value::Object(
        set.collect(),
    ))?)
}

/// Picks the client's address from what the proxies say, from the nearest hop outwards.
#[pg_extern(immutable, parallel_safe)]
fn client_ip(
    forwarded_for: default!(Option<&str>, "NULL"),
    real_ip: default!(Option<&str>, "NULL"),
    peer: default!(Option<Address>, "NULL"),
    trusted_proxies: default!(Option<Vec<Option<String>>>, "NULL"),
) -> Result<Option<Address>, ErrorReport> {
    let mut trusted = Vec::new();
    for proxy in trusted_proxies.unwrap_or_default().into_iter().flatten() {
        trusted.push(
            Network::parse(&proxy)
                .map_err(|problem| Error::invalid("trusted_proxies", problem.to_string()))?,
        );
    }
    let client = activity_log_core::context::client_ip(
        given(forwarded_for),
        given(real_ip),
        peer.map(|peer| peer.as_host("peer")).transpose()?,
        &trusted,
    );
    Ok(client.map(Address::host))
}
