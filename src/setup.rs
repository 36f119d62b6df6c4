//! `setup()`, `migrate()`, and where the log is at home.

#![allow(unsafe_code)]

use crate::db::{self, Mode, Relation, Scope};
use crate::error::Error;
use crate::record;
use crate::{privacy, retention};
use activity_log_core::retention::Period;
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};
use std::cell::Cell;

/// The shape of the tables; `migrate()` brings older ones up to it.
const SCHEMA_VERSION: i32 = 1;

/// Everything that holds data, in the order in which it is made. Each file may run again.
const SCRIPTS: [&str; 6] = [
    include_str!("../sql/setup/10_log.sql"),
    include_str!("../sql/setup/20_access.sql"),
    include_str!("../sql/setup/30_registry.sql"),
    include_str!("../sql/setup/40_privacy.sql"),
    include_str!("../sql/setup/50_record.sql"),
    GUARDS,
];

const GRANTS: &str = include_str!("../sql/setup/70_grants.sql");

const GUARDS: &str = include_str!("../sql/setup/60_guards.sql");

/// Number of the advisory lock that lets one session at a time set up or migrate.
const SETUP_LOCK: i64 = 0x0061_6374_6976_6974;

const DEFAULT_PREMAKE: i32 = 12;
const MAX_PREMAKE: i32 = 1_000;

/// Length of the year that intervals are compared by; the default period in months.
const DEFAULT_MONTHS: i32 = 1;

/// The log's row in `activity.log`.
struct Log {
    system_identifier: String,
    database_oid: pg_sys::Oid,
    schema_version: i32,
    period: Period,
    premake: i32,
}

/// Makes everything that holds data, once; run again, it makes what is missing.
#[pg_extern(volatile, parallel_unsafe)]
fn setup(
    partition_interval: default!(Option<Interval>, "NULL"),
    premake: default!(Option<i32>, "NULL"),
) -> Result<String, ErrorReport> {
    let period = partition_interval.map(period_of).transpose()?;
    let premake = premake.map(checked_premake).transpose()?;
    lock()?;
    let known = read_log()?;
    if known.as_ref().is_some_and(|log| !is_home(log)) {
        return Ok("restored copy: SELECT activity.migrate() takes it over".into());
    }
    run_scripts()?;
    let text = match known {
        None => first_setup(partition_interval, premake)?,
        Some(log) => repeat_setup(&log, partition_interval, period, premake)?,
    };
    Ok(text)
}

fn first_setup(interval: Option<Interval>, premake: Option<i32>) -> Result<String, Error> {
    db::run(
        "INSERT INTO activity.log (system_identifier, database_oid, schema_version, partition_interval, premake) \
         VALUES ($1, $2, $3, coalesce($4, make_interval(months => $5)), $6)",
        &[
            db::text(Some(&system_identifier())),
            (pg_sys::OIDOID, Some(pg_sys::Datum::from(database_oid()))),
            db::int(SCHEMA_VERSION),
            interval_parameter(interval),
            db::int(DEFAULT_MONTHS),
            db::int(premake.unwrap_or(DEFAULT_PREMAKE)),
        ],
    )?;
    persist_incarnation()?;
    privacy::ensure_keys()?;
    let partitions = make_partitions()?;
    record::write_system_event(
        "activity.log.set_up",
        &serde_json::json!({"schema_version": SCHEMA_VERSION, "partitions": partitions}),
    )?;
    Ok(format!(
        "activity_log is set up with {partitions} partitions"
    ))
}

fn repeat_setup(
    log: &Log,
    interval: Option<Interval>,
    period: Option<Period>,
    premake: Option<i32>,
) -> Result<String, Error> {
    let is_changed = period.is_some_and(|period| period != log.period)
        || premake.is_some_and(|premake| premake != log.premake);
    if is_changed {
        db::run(
            "UPDATE activity.log SET partition_interval = coalesce($1, partition_interval), \
             premake = coalesce($2, premake)",
            &[
                interval_parameter(interval),
                premake.map_or((pg_sys::INT4OID, None), db::int),
            ],
        )?;
    }
    privacy::ensure_keys()?;
    let partitions = make_partitions()?;
    if is_changed {
        record::write_system_event(
            "activity.log.changed",
            &serde_json::json!({"premake": premake, "partition_interval_changed": interval.is_some()}),
        )?;
    }
    Ok(match (is_changed, partitions) {
        (false, 0) => "activity_log is already set up".into(),
        (true, _) => format!("options changed, {partitions} partitions made"),
        (false, _) => format!("activity_log is already set up; {partitions} partitions made"),
    })
}

/// Takes a restored or cloned log over, and brings its tables up to the installed code.
#[pg_extern(volatile, parallel_unsafe)]
fn migrate() -> Result<String, ErrorReport> {
    lock()?;
    let log = read_log()?.ok_or(Error::NotSetUp)?;
    let (was_home, was_current) = (is_home(&log), log.schema_version == SCHEMA_VERSION);
    run_scripts()?;
    if !was_home || !was_current {
        db::run(
            "UPDATE activity.log SET system_identifier = $1, database_oid = $2, schema_version = $3",
            &[
                db::text(Some(&system_identifier())),
                (pg_sys::OIDOID, Some(pg_sys::Datum::from(database_oid()))),
                db::int(SCHEMA_VERSION),
            ],
        )?;
    }
    persist_incarnation()?;
    let epoch = privacy::ensure_keys()?;
    let partitions = make_partitions()?;
    if was_home && was_current && epoch.is_none() {
        return Ok("nothing to migrate".into());
    }
    record::write_system_event(
        "activity.log.migrated",
        &serde_json::json!({
            "taken_over": !was_home,
            "schema_version": SCHEMA_VERSION,
            "key_epoch": epoch,
            "partitions": partitions,
        }),
    )?;
    Ok(format!(
        "{}; {partitions} partitions made{}",
        if was_home { "migrated" } else { "taken over" },
        epoch.map_or_else(String::new, |epoch| format!(", key epoch {epoch} begins")),
    ))
}

/// Starts a new epoch of the keys that addresses are hashed with; its number.
#[pg_extern(volatile, parallel_unsafe)]
fn rotate_ip_key() -> Result<i32, ErrorReport> {
    db::oid(Relation::Events)?;
    let epoch = privacy::rotate()?;
    record::write_system_event("activity.key.rotated", &serde_json::json!({"epoch": epoch}))?;
    Ok(epoch)
}

/// Where the key for addresses comes from, and whether it is at hand; for `status()`.
#[pg_extern(name = "_key_state", stable, parallel_unsafe)]
fn key_state() -> Result<String, ErrorReport> {
    let (source, is_at_hand) = privacy::key_source()?;
    Ok(if is_at_hand { source } else { "missing" }.into())
}

/// Whether this database is the one that `setup()` or `migrate()` ran in; for `status()`.
#[pg_extern(name = "_is_home", stable, parallel_unsafe)]
fn is_at_home() -> Result<Option<bool>, ErrorReport> {
    Ok(read_log()?.map(|log| is_home(&log)))
}

fn checked_premake(premake: i32) -> Result<i32, Error> {
    if (1..=MAX_PREMAKE).contains(&premake) {
        Ok(premake)
    } else {
        Err(Error::invalid(
            "premake",
            format!("it must be between 1 and {MAX_PREMAKE}"),
        ))
    }
}

fn period_of(interval: Interval) -> Result<Period, Error> {
    Period::from_interval(interval.months(), interval.days(), interval.micros()).map_err(|problem| {
        Error::Invalid {
            argument: "partition_interval",
            problem: problem.to_string().into(),
            hint: Some("Give whole days or months, as in '1 day', '1 week', '1 month', '3 months' or '1 year'."),
        }
    })
}

fn interval_parameter(interval: Option<Interval>) -> db::Parameter {
    (
        pg_sys::INTERVALOID,
        interval.and_then(pgrx::IntoDatum::into_datum),
    )
}

/// A second session waits here and then finds the work done.
fn lock() -> Result<(), Error> {
    db::run(
        "SELECT pg_advisory_xact_lock($1)",
        &[db::bigint(SETUP_LOCK)],
    )
    .map(|_| ())
}

/// Runs the scripts without the notices about what is there already.
fn run_scripts() -> Result<(), Error> {
    let known = db::relations_of_schema()?;
    for script in SCRIPTS {
        run_quietly(script)?;
    }
    db::revoke_default_grants(&known)?;
    run_quietly(GRANTS)
}

fn run_quietly(script: &str) -> Result<(), Error> {
    db::as_owner(|| {
        db::set_option(c"client_min_messages", c"warning", Scope::Block);
        db::run(script, &[]).map(|_| ())
    })
}

/// Makes the partitions that are missing, with their guards; how many.
fn make_partitions() -> Result<usize, Error> {
    let log = read_log()?.ok_or(Error::NotSetUp)?;
    let known = db::relations_of_schema()?;
    let made = retention::make_ahead(record::now(), log.period, log.premake.unsigned_abs())?;
    if made > 0 {
        db::revoke_default_grants(&known)?;
        run_quietly(GUARDS)?;
    }
    Ok(made)
}

fn read_log() -> Result<Option<Log>, Error> {
    if db::find(Relation::Log).is_none() {
        return Ok(None);
    }
    let rows = db::query(
        Mode::ReadLatest,
        "SELECT system_identifier, database_oid, schema_version, partition_interval, premake FROM activity.log",
        &[],
        |row| {
            Ok(Log {
                system_identifier: row.must(1, "log")?,
                database_oid: row.must(2, "log")?,
                schema_version: row.must(3, "log")?,
                period: period_of(row.must(4, "log")?)?,
                premake: row.must(5, "log")?,
            })
        },
    )?;
    Ok(rows.into_iter().next())
}

fn is_home(log: &Log) -> bool {
    log.system_identifier == system_identifier() && log.database_oid == database_oid()
}

fn system_identifier() -> String {
    // SAFETY: reads a constant of the cluster.
    unsafe { pg_sys::GetSystemIdentifier() }.to_string()
}

fn database_oid() -> pg_sys::Oid {
    // SAFETY: a constant of the session.
    unsafe { pg_sys::MyDatabaseId }
}

thread_local! {
    static LOG_ID: Cell<(u64, [u8; 16])> = const { Cell::new((0, [0; 16])) };
}

/// The identity of this log, which dump and restore keep.
pub fn log_id() -> Result<[u8; 16], Error> {
    db::oid(Relation::Log)?;
    let at = db::changes(Relation::Log);
    let (seen, log_id) = LOG_ID.get();
    if seen == at {
        return Ok(log_id);
    }
    let log_id = db::value::<Uuid>(Mode::ReadLatest, "SELECT log_id FROM activity.log", &[])?
        .ok_or(Error::NotSetUp)?;
    LOG_ID.set((at, *log_id.as_bytes()));
    Ok(*log_id.as_bytes())
}

/// The number of this life of the database. One that is not written down yet counts as the next,
/// which every session works out alike; `setup()` and `migrate()` write it down.
pub fn incarnation() -> Result<i32, Error> {
    db::value::<i32>(
        Mode::ReadLatest,
        "SELECT coalesce(max(gen) FILTER (WHERE system_identifier = $1 AND timeline = $2 AND database_oid = $3), \
                         max(gen) + 1, 1) FROM activity.incarnations",
        &incarnation_parameters(),
    )?
    .ok_or(Error::Internal { place: "incarnations" })
}

fn persist_incarnation() -> Result<(), Error> {
    db::run(
        "INSERT INTO activity.incarnations (gen, system_identifier, timeline, database_oid) \
         SELECT coalesce(max(gen), 0) + 1, $1, $2, $3 FROM activity.incarnations \
         ON CONFLICT (system_identifier, timeline, database_oid) DO NOTHING",
        &incarnation_parameters(),
    )
    .map(|_| ())
}

fn incarnation_parameters() -> [db::Parameter; 3] {
    [
        db::text(Some(&system_identifier())),
        db::bigint(i64::from(timeline())),
        (pg_sys::OIDOID, Some(pg_sys::Datum::from(database_oid()))),
    ]
}

/// The timeline that is written to. Called by writers only, so recovery is over.
fn timeline() -> u32 {
    // SAFETY: a session that writes runs after recovery, when the timeline no longer changes.
    #[cfg(not(feature = "pg14"))]
    unsafe {
        pg_sys::GetWALInsertionTimeLine()
    }
    // SAFETY: as above; this server keeps the timeline in a variable of each process.
    #[cfg(feature = "pg14")]
    unsafe {
        pg_sys::ThisTimeLineID
    }
}
