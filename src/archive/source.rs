//! The table that is archived: what it is, and its rows as lines.

use crate::clock::SERVER_EPOCH;
use crate::db::{self, Mode, Row};
use crate::error::Error;
use crate::home;
use activity_log_core::archive::{Column, Origin, Range, RowKey};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::{Uuid, pg_sys};
use std::ffi::CStr;

/// How values are printed, so that what is read back is the same value.
const PRINTING: [(&CStr, &CStr); 5] = [
    (c"datestyle", c"ISO"),
    (c"timezone", c"UTC"),
    (c"bytea_output", c"hex"),
    (c"intervalstyle", c"postgres"),
    (c"extra_float_digits", c"1"),
];

/// Runs `work` with the settings that printed values depend on.
pub(super) fn printing<R>(work: impl FnOnce() -> R) -> R {
    db::as_owner(|| {
        for (name, value) in PRINTING {
            db::set_option(name, value, db::Scope::Block);
        }
        work()
    })
}

/// What stands in the manifest of this table.
pub(super) fn origin(table: pg_sys::Oid) -> Result<Origin, Error> {
    let partition = db::relation_name(table).ok_or(Error::Internal { place: "partition" })?;
    let log_id = Uuid::from_bytes(home::log_id()?);
    let facts = printing(|| {
        db::query(
            Mode::ReadLatest,
            "SELECT l.schema_version, current_setting('server_version'), \
             to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') \
             FROM activity.log l",
            &[],
            |row| {
                Ok((
                    row.must::<i32>(1, "log")?,
                    row.must::<String>(2, "log")?,
                    row.must::<String>(3, "log")?,
                ))
            },
        )
    })?;
    let (schema_version, server_version, written_at) =
        facts.into_iter().next().ok_or(Error::NotSetUp)?;
    Ok(Origin {
        log_id: log_id.to_string(),
        schema_version,
        bounds: bounds(&partition)?,
        partition,
        server_version,
        written_at,
        columns: columns(table)?,
    })
}

/// The bounds that the partition has, or had before it was detached.
fn bounds(partition: &str) -> Result<Option<Range>, Error> {
    let known = printing(|| {
        db::query(
            Mode::ReadLatest,
            "SELECT to_json(lower_bound)#>>'{}', to_json(upper_bound)#>>'{}' \
             FROM activity.partition_ranges WHERE partition = $1",
            &[db::text(Some(partition))],
            |row| {
                Ok(Range {
                    first: row.must(1, "partition_ranges")?,
                    last: row.must(2, "partition_ranges")?,
                })
            },
        )
    })?;
    Ok(known.into_iter().next())
}

/// The columns of a table, in their order.
pub fn columns(table: pg_sys::Oid) -> Result<Vec<Column>, Error> {
    db::query(
        Mode::ReadLatest,
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute \
         WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND attgenerated = '' \
         ORDER BY attnum",
        &[(pg_sys::OIDOID, Some(pg_sys::Datum::from(table)))],
        |row| {
            Ok(Column {
                name: row.must(1, "pg_attribute")?,
                type_name: row.must(2, "pg_attribute")?,
            })
        },
    )
}

/// The query for all rows in the order of the archive. It begins with what the manifest needs of
/// each row: see [`key`].
pub(super) fn query(table: pg_sys::Oid, columns: &[Column]) -> Result<String, Error> {
    let name = db::qualified_name(table).ok_or(Error::Internal { place: "partition" })?;
    let columns: Vec<String> = columns
        .iter()
        .map(|column| pgrx::spi::quote_identifier(&column.name))
        .collect();
    Ok(format!(
        "SELECT tenant_id, event_id, recorded_at, occurred_at, {} FROM ONLY {name} \
         ORDER BY event_id, tenant_id, occurred_at, recorded_at",
        columns.join(", ")
    ))
}

/// The place of the first column behind the key.
pub(super) const FIRST_COLUMN: i32 = 5;

/// What the manifest needs of a row.
pub(super) fn key(row: &Row) -> Result<RowKey, Error> {
    let id = |place| {
        row.must::<Uuid>(place, "events")
            .map(|uuid| *uuid.as_bytes())
    };
    let time = |place| {
        let time: i64 = row.must::<TimestampWithTimeZone>(place, "events")?.into();
        // The ends of the range are the infinities and stay so.
        Ok::<_, Error>(match time {
            i64::MIN | i64::MAX => time,
            time => time.saturating_add(SERVER_EPOCH),
        })
    };
    Ok(RowKey {
        tenant_id: id(1)?,
        event_id: id(2)?,
        recorded_at: time(3)?,
        occurred_at: time(4)?,
    })
}
