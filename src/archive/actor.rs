//! Whom archives hold: what an erasure can't reach has to be known at least.

use super::file;
use crate::access::{self, Purpose};
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::value::given;
use activity_log_core::archive::Column;
use pgrx::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// How many events of an actor, as actor or as object, each archive holds that retention has
/// written of the tenant; NULL where it can't be read.
#[pg_extern(volatile, parallel_unsafe)]
fn archived_events(
    actor_id: default!(Option<&str>, "NULL"),
    tenant_id: default!(Option<Uuid>, "NULL"),
) -> Result<
    TableIterator<'static, (name!(manifest, String), name!(events, Option<i64>))>,
    ErrorReport,
> {
    db::oid(Relation::Events)?;
    let actor_id = given(actor_id).ok_or(Error::Missing {
        argument: "actor_id",
    })?;
    let tenant_id = tenant_id.ok_or(Error::Missing {
        argument: "tenant_id",
    })?;
    access::check_tenant(tenant_id.as_bytes(), Purpose::Read)?;
    let mut found = Vec::new();
    for manifest in manifests(tenant_id)? {
        match count(&manifest, actor_id, &tenant_id.to_string()) {
            Ok(0) => {}
            Ok(events) => found.push((manifest, Some(events))),
            Err(_) => found.push((manifest, None)),
        }
    }
    Ok(TableIterator::new(found))
}

fn manifests(tenant_id: Uuid) -> Result<Vec<String>, Error> {
    db::query(
        Mode::ReadLatest,
        "SELECT archive_manifest FROM activity.partition_ranges \
         WHERE archive_manifest IS NOT NULL AND (archive_tenants IS NULL OR $1 = ANY (archive_tenants)) \
         ORDER BY lower_bound",
        &[db::uuid(tenant_id.as_bytes())],
        |row| row.must(1, "partition_ranges"),
    )
}

fn count(manifest: &str, actor_id: &str, tenant_id: &str) -> Result<i64, Error> {
    let opened = file::open(manifest)?;
    let columns = &opened.manifest.origin.columns;
    let place = |name: &str| place_of(columns, name);
    let (tenant, actor, object) = (place("tenant_id")?, place("actor_id")?, place("object_id")?);
    let mut events = 0;
    opened.rows(|cells| {
        let is = |place: usize, value: &str| cells.get(place) == Some(&Some(value));
        let is_about = is(actor, actor_id) || is(object, actor_id);
        events += i64::from(is(tenant, tenant_id) && is_about);
        Ok(())
    })?;
    Ok(events)
}

fn place_of(columns: &[Column], name: &str) -> Result<usize, Error> {
    let place = columns.iter().position(|column| column.name == name);
    place.ok_or(Error::Internal { place: "manifest" })
}
