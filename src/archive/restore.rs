//! Archives brought back as tables.

use super::file::{self, Opened};
use super::source;
use crate::db::{self, Mode};
use crate::error::Error;
use crate::{home, record, setup};
use activity_log_core::archive::{Column, MAX_TABLE_NAME, Manifest, is_table_name};
use pgrx::datum::IntoDatum;
use pgrx::{Uuid, pg_sys};
use std::path::Path;

/// What the name of every restored table begins with, so that none stands where a partition has to
/// be made.
const PREFIX: &str = "restored_";

/// Rows and bytes that go into the table with one statement.
const BATCH_ROWS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

/// Makes a table of an archive, and returns its name.
pub(super) fn restore(
    path: &str,
    table_name: Option<&str>,
    other_log: bool,
) -> Result<String, Error> {
    let opened = file::open(path)?;
    let log_id = Uuid::from_bytes(home::log_id()?).to_string();
    let is_other = opened.manifest.origin.log_id != log_id;
    if is_other && !other_log {
        return Err(Error::ArchiveOfAnotherLog);
    }
    let name = checked_name(table_name, &opened.manifest.origin.partition)?;
    let manifest = opened.manifest.clone();
    let path = opened.path.clone();
    load(&name, opened)?;
    register(&name, &path, &manifest)?;
    setup::put_guards()?;
    record::write_system_event(
        "activity.archive.restored",
        &serde_json::json!({
            "table": name,
            "partition": manifest.origin.partition,
            "rows": manifest.contents.rows,
            "sha256": manifest.sha256,
            "other_log": is_other,
        }),
    )?;
    Ok(name)
}

/// Drops a table that [`restore`] made.
pub(super) fn drop_table(name: &str) -> Result<(), Error> {
    let known = db::run(
        "DELETE FROM activity.restored_archives WHERE table_name = $1",
        &[db::text(Some(name))],
    )?;
    if known == 0 {
        return Err(Error::Unknown {
            what: "restored archive of this table_name",
            hint: "SELECT table_name FROM activity.restored_archives; lists them.",
        });
    }
    if db::exists(name)? {
        db::run(&format!("DROP TABLE activity.{}", quoted(name)), &[])?;
    }
    record::write_system_event(
        "activity.archive.restored_dropped",
        &serde_json::json!({"table": name}),
    )
}

fn checked_name(given: Option<&str>, partition: &str) -> Result<String, Error> {
    let name = given.map_or_else(
        || {
            let letters = partition.chars().map(|c| match c {
                'a'..='z' | '0'..='9' | '_' => c,
                _ => '_',
            });
            PREFIX.chars().chain(letters).take(MAX_TABLE_NAME).collect()
        },
        str::to_owned,
    );
    if !name.starts_with(PREFIX) || !is_table_name(&name) {
        return Err(Error::invalid(
            "table_name",
            "it must begin with restored_ and consist of lower-case letters, digits and underscores",
        ));
    }
    if db::exists(&name)? {
        return Err(Error::TableExists { name });
    }
    Ok(name)
}

/// Makes the table and fills it. An error takes all of it back with the transaction.
fn load(name: &str, opened: Opened) -> Result<(), Error> {
    let known = db::relations_of_schema()?;
    db::run(
        &format!(
            "CREATE TABLE activity.{name} (LIKE activity.events INCLUDING DEFAULTS \
             INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION)"
        ),
        &[],
    )?;
    let types = column_types(name, &opened.manifest.origin.columns)?;
    let mut batch = Batch::new(name, &opened.manifest.origin.columns, &types);
    source::printing(|| {
        opened.rows(|cells| batch.add(&cells))?;
        batch.flush()
    })?;
    for statement in [
        "ALTER TABLE activity.{} ADD PRIMARY KEY (tenant_id, occurred_at, event_id, recorded_at)",
        "CREATE INDEX ON activity.{} (event_id)",
        "ANALYZE activity.{}",
    ] {
        db::run(&statement.replace("{}", name), &[])?;
    }
    db::revoke_default_grants(&known)
}

/// The types of the archive's columns in the new table. One that the log does not have any more is
/// added.
fn column_types(table: &str, columns: &[Column]) -> Result<Vec<String>, Error> {
    let existing = columns_of(table)?;
    let unfit = || {
        Error::invalid(
            "path",
            "a column of the archive has a type that the log has not",
        )
    };
    columns
        .iter()
        .map(
            |column| match existing.iter().find(|known| known.name == column.name) {
                Some(known) if known.type_name == column.type_name => Ok(known.type_name.clone()),
                Some(_) => Err(unfit()),
                None => {
                    let type_name = known_type(&column.type_name)?.ok_or_else(unfit)?;
                    let name = quoted(&column.name);
                    db::run(
                        &format!("ALTER TABLE activity.{table} ADD COLUMN {name} {type_name}"),
                        &[],
                    )?;
                    Ok(type_name)
                }
            },
        )
        .collect()
}

fn columns_of(table: &str) -> Result<Vec<Column>, Error> {
    let oid = db::value::<pg_sys::Oid>(
        Mode::ReadLatest,
        "SELECT c.oid FROM pg_catalog.pg_class c \
         WHERE c.relnamespace = 'activity'::regnamespace AND c.relname = $1",
        &[db::text(Some(table))],
    )?;
    source::columns(oid.ok_or(Error::Internal { place: "pg_class" })?)
}

/// The name that the server itself gives to a type: a manifest's own words never get into a
/// statement. Only types of superusers count, since reading a value runs the code of its type.
fn known_type(type_name: &str) -> Result<Option<String>, Error> {
    db::value(
        Mode::ReadLatest,
        "SELECT format_type(t.oid, NULL) FROM pg_catalog.pg_type t \
         JOIN pg_catalog.pg_roles r ON r.oid = t.typowner AND r.rolsuper \
         WHERE t.oid = to_regtype($1)",
        &[db::text(Some(type_name))],
    )
}

fn quoted(name: &str) -> String {
    pgrx::spi::quote_identifier(name)
}

fn register(name: &str, path: &Path, manifest: &Manifest) -> Result<(), Error> {
    db::run(
        "INSERT INTO activity.restored_archives (table_name, manifest, lines_sha256, rows, restored_by) \
         VALUES ($1, $2, $3, $4, session_user)",
        &[
            db::text(Some(name)),
            db::text(path.to_str()),
            db::text(Some(&manifest.contents.lines_sha256)),
            db::bigint(manifest.contents.rows as i64),
        ],
    )
    .map(|_| ())
}

/// Rows on their way into the table: a vector for each column.
struct Batch {
    statement: String,
    columns: Vec<Vec<Option<String>>>,
    rows: usize,
    bytes: usize,
}

impl Batch {
    fn new(table: &str, columns: &[Column], types: &[String]) -> Self {
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        let numbered = |make: &dyn Fn(usize) -> String| -> String {
            (1..=columns.len()).map(make).collect::<Vec<_>>().join(", ")
        };
        let values = numbered(&|n| format!("c{n}::{}", types[n - 1]));
        let arrays = numbered(&|n| format!("${n}"));
        let aliases = numbered(&|n| format!("c{n}"));
        Self {
            statement: format!(
                "INSERT INTO activity.{table} ({}) SELECT {values} FROM unnest({arrays}) AS r({aliases})",
                names.join(", ")
            ),
            columns: vec![Vec::new(); columns.len()],
            rows: 0,
            bytes: 0,
        }
    }

    fn add(&mut self, cells: &[Option<&str>]) -> Result<(), Error> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            self.bytes += cell.map_or(0, str::len);
            column.push(cell.map(str::to_owned));
        }
        self.rows += 1;
        if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.rows == 0 {
            return Ok(());
        }
        let columns = self.columns.iter_mut().map(std::mem::take);
        let columns: Vec<Vec<Option<String>>> = columns.collect();
        (self.rows, self.bytes) = (0, 0);
        db::in_passing_memory(|| {
            let arrays = columns.into_iter();
            let parameters: Vec<db::Parameter> = arrays
                .map(|column| (pg_sys::TEXTARRAYOID, column.into_datum()))
                .collect();
            db::run(&self.statement, &parameters).map(|_| ())
        })
    }
}
