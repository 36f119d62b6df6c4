//! Who is told of new events, and how: after the commit by the worker, or in the writing
//! transaction. A notification says only that there is something to read.

#![allow(unsafe_code)]

use crate::access::{self, Purpose};
use crate::context;
use crate::db;
use crate::error::Error;
use crate::record::{Event, Stamp};
use crate::settings::{self, Notify};
use crate::shared::{self, Counter, Teller, Written};
use crate::value;
use activity_log_core::notify::{ALL_TENANTS, EVERYBODY, channel as channel_of};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

/// Notes events that were written: they are counted, and their tenants' readers told, when the
/// transaction commits.
pub fn wrote(events: &[(Stamp, Event<'_>)]) {
    let teller = match settings::NOTIFY.get() {
        Notify::Worker => Some(Teller::Worker),
        Notify::Commit => Some(Teller::Transaction),
        Notify::Off => None,
    };
    let written = events.iter().map(|(_, event)| Written {
        tenant_id: &event.tenant_id,
        source: event.source,
        status: event.status,
        bytes: size(event),
    });
    let mut told = Vec::new();
    shared::wrote(written, teller, |tenant| {
        if teller == Some(Teller::Transaction) {
            told.push(*tenant);
        }
    });
    for tenant in told {
        ring(&channel_of(&tenant));
        ring(ALL_TENANTS);
        shared::add(Counter::DoorbellsByWriter, 1);
    }
}

fn size(event: &Event<'_>) -> usize {
    let texts = [
        &event.actor_type,
        &event.actor_id,
        &event.object_type,
        &event.object_id,
        &event.request_id,
        &event.user_agent,
    ];
    let texts = texts.into_iter().flatten().map(|text| text.len());
    let changes = event.changes.as_ref().map_or(0, |changes| changes.len());
    event.action.len() + event.metadata.len() + changes + texts.sum::<usize>()
}

/// Notifies a channel when the transaction commits. The server sends each only once.
pub fn ring(channel: &str) {
    let name = value::varlena(channel.as_bytes());
    let payload = value::varlena(b"");
    // SAFETY: the function takes two texts; it raises where there is no room for notifications.
    unsafe {
        pg_sys::OidFunctionCall2Coll(
            pg_sys::Oid::from(pg_sys::F_PG_NOTIFY),
            pg_sys::InvalidOid,
            name,
            payload,
        );
    }
}

/// The channel on which a tenant's readers are told of new events; of all tenants for who may
/// read them all and names none.
#[pg_extern(stable, parallel_unsafe)]
fn channel(tenant_id: default!(Option<Uuid>, "NULL")) -> Result<String, ErrorReport> {
    Ok(channel_for(asked(tenant_id))?)
}

/// Listens on the channel of a tenant, and on the one that everybody is told on; the channel.
#[pg_extern(volatile, parallel_unsafe)]
fn listen(tenant_id: default!(Option<Uuid>, "NULL")) -> Result<String, ErrorReport> {
    let tenant = asked(tenant_id);
    if let Some(tenant) = tenant {
        access::check_tenant(&tenant, Purpose::Read)?;
    }
    let channel = channel_for(tenant)?;
    // The names are ours and need no quotes.
    db::run(&format!("LISTEN {channel}"), &[])?;
    db::run(&format!("LISTEN {EVERYBODY}"), &[])?;
    Ok(channel)
}

fn asked(tenant_id: Option<Uuid>) -> Option<[u8; 16]> {
    tenant_id
        .map(|id| *id.as_bytes())
        .or_else(|| context::current().tenant_id)
}

fn channel_for(tenant: Option<[u8; 16]>) -> Result<String, Error> {
    match tenant {
        Some(tenant) => Ok(channel_of(&tenant)),
        None if access::reads_all_tenants() => Ok(ALL_TENANTS.into()),
        None => Err(Error::NoTenant),
    }
}
