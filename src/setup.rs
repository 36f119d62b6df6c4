//! `setup()`, `migrate()`, and where the log is at home.

use crate::capture::{self, Place};
use crate::db::{self, Mode, Relation, Scope};
use crate::error::Error;
use crate::home;
use crate::record;
use crate::shared;
use crate::{clock, privacy, retention};
use activity_log_core::retention::Period;
use pgrx::datum::Interval;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The shape of the tables; `migrate()` brings older ones up to it.
const SCHEMA_VERSION: i32 = 1;

/// A table that holds data, and the script that makes it.
macro_rules! table {
    ($number:literal, $name:literal) => {
        (
            $name,
            include_str!(concat!("../sql/setup/", $number, "_", $name, ".sql")),
        )
    };
}

/// The tables in the order in which they are made. A script runs where its table is missing.
const TABLES: &[(&str, &str)] = &[
    table!("10", "log"),
    table!("11", "incarnations"),
    table!("20", "tenants"),
    table!("21", "role_tenants"),
    table!("30", "actions"),
    table!("31", "action_versions"),
    table!("32", "captures"),
    table!("33", "capture_rules"),
    table!("40", "key_epochs"),
    table!("50", "events"),
    table!("51", "idempotency_keys"),
    table!("52", "consumer_cursors"),
    table!("53", "partition_ranges"),
    table!("54", "retention_policies"),
    table!("55", "legal_holds"),
    table!("56", "maintenance_log"),
    table!("57", "restored_archives"),
];

/// Triggers and policies, which call functions of the extension; may run again.
const GUARDS: &str = include_str!("../sql/setup/60_guards.sql");
/// Event triggers that follow captured tables through DDL; may run again.
const EVENT_TRIGGERS: &str = include_str!("../sql/setup/61_event_triggers.sql");
/// Views that call functions of the extension, by name; each is made where it is missing.
const VIEWS: [(&str, &str); 1] = [("consumers", include_str!("../sql/setup/61_consumers.sql"))];
/// Rights on the tables; may run again.
const GRANTS: &str = include_str!("../sql/setup/70_grants.sql");

const DEFAULT_PREMAKE: i32 = 12;
const MAX_PREMAKE: i32 = 1_000;

/// The default length of a partition, in months.
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
    lock();
    let known = read_log()?;
    if known.as_ref().is_some_and(|log| !is_home(log)) {
        return Ok("restored copy: SELECT activity.migrate() takes it over".into());
    }
    let missing_guards = if known.is_some() {
        missing_guards()?
    } else {
        0
    };
    run_scripts()?;
    capture::put_right(Place::Home)?;
    let text = match known {
        None => first_setup(partition_interval, premake)?,
        Some(log) => {
            let options = Options {
                interval: partition_interval,
                period,
                premake,
            };
            repeat_setup(&log, &options, missing_guards)?
        }
    };
    Ok(text)
}

fn first_setup(interval: Option<Interval>, premake: Option<i32>) -> Result<String, Error> {
    db::run(
        "INSERT INTO activity.log (system_identifier, database_oid, schema_version, partition_interval, premake) \
         VALUES ($1, $2, $3, coalesce($4, make_interval(months => $5)), $6)",
        &[
            db::text(Some(&home::system_identifier())),
            (
                pg_sys::OIDOID,
                Some(pg_sys::Datum::from(home::database_oid())),
            ),
            db::int(SCHEMA_VERSION),
            interval_parameter(interval),
            db::int(DEFAULT_MONTHS),
            db::int(premake.unwrap_or(DEFAULT_PREMAKE)),
        ],
    )?;
    home::persist_incarnation()?;
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

/// What a repeated `setup()` is asked to change.
struct Options {
    interval: Option<Interval>,
    period: Option<Period>,
    premake: Option<i32>,
}

impl Options {
    fn differ_from(&self, log: &Log) -> bool {
        self.period.is_some_and(|period| period != log.period)
            || self.premake.is_some_and(|premake| premake != log.premake)
    }
}

fn repeat_setup(log: &Log, options: &Options, restored_guards: i64) -> Result<String, Error> {
    let is_changed = options.differ_from(log);
    if is_changed {
        db::run(
            "UPDATE activity.log SET partition_interval = coalesce($1, partition_interval), \
             premake = coalesce($2, premake)",
            &[
                interval_parameter(options.interval),
                options.premake.map_or((pg_sys::INT4OID, None), db::int),
            ],
        )?;
    }
    let epoch = privacy::ensure_keys()?;
    let partitions = make_partitions()?;
    if is_changed || restored_guards > 0 || epoch.is_some() {
        record::write_system_event(
            "activity.log.changed",
            &serde_json::json!({
                "premake": options.premake,
                "partition_interval_changed": options.interval.is_some(),
                "guards_restored": restored_guards,
                "key_epoch": epoch,
                "partitions": partitions,
            }),
        )?;
    }
    Ok(said(is_changed, partitions, restored_guards, epoch))
}

/// What `setup()` did, in words.
fn said(is_changed: bool, partitions: usize, restored_guards: i64, epoch: Option<i32>) -> String {
    let mut done = Vec::new();
    if is_changed {
        done.push("options changed".to_owned());
    }
    if is_changed || partitions > 0 {
        done.push(format!("{partitions} partitions made"));
    }
    if restored_guards > 0 {
        done.push(format!("{restored_guards} guards put back"));
    }
    if let Some(epoch) = epoch {
        done.push(format!("key epoch {epoch} begins"));
    }
    match (is_changed, done.is_empty()) {
        (_, true) => "activity_log is already set up".into(),
        (true, false) => done.join(", "),
        (false, false) => format!("activity_log is already set up; {}", done.join(", ")),
    }
}

/// Triggers and policies that are not as `setup()` makes them: taken away, or gone with the
/// extension.
fn missing_guards() -> Result<i64, Error> {
    let missing = db::value(
        Mode::Write,
        include_str!("../sql/query/missing_guards.sql"),
        &[],
    )?;
    missing.ok_or(Error::Internal { place: "guards" })
}

/// Takes a restored or cloned log over, and brings its tables up to the installed code.
#[pg_extern(volatile, parallel_unsafe)]
fn migrate() -> Result<String, ErrorReport> {
    lock();
    let log = read_log()?.ok_or(Error::NotSetUp)?;
    let (was_home, was_current) = (is_home(&log), log.schema_version == SCHEMA_VERSION);
    run_scripts()?;
    capture::put_right(if was_home { Place::Home } else { Place::Copy })?;
    if !was_home || !was_current {
        db::run(
            "UPDATE activity.log SET system_identifier = $1, database_oid = $2, schema_version = $3",
            &[
                db::text(Some(&home::system_identifier())),
                (
                    pg_sys::OIDOID,
                    Some(pg_sys::Datum::from(home::database_oid())),
                ),
                db::int(SCHEMA_VERSION),
            ],
        )?;
    }
    home::persist_incarnation()?;
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
    Ok(privacy::key_state()?.into())
}

/// Whether this database is the one that `setup()` or `migrate()` ran in; for `status()`.
#[pg_extern(name = "_is_home", stable, parallel_unsafe)]
fn is_at_home() -> Result<Option<bool>, ErrorReport> {
    Ok(at_home()?)
}

/// Whether this database is the one that `setup()` or `migrate()` ran in; `None` before that.
pub fn at_home() -> Result<Option<bool>, Error> {
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

/// A second session waits here and then finds the work done. What follows may be a reason for the
/// worker to start.
fn lock() {
    shared::announce_at_commit();
    db::Exclusive::Setup.wait();
}

/// Makes the tables that are missing, and brings triggers, policies and rights into order.
fn run_scripts() -> Result<(), Error> {
    let known = db::relations_of_schema()?;
    refuse_foreign_tables()?;
    for (name, script) in TABLES {
        if !db::exists(name)? {
            run_quietly(script)?;
        }
    }
    run_quietly(GUARDS)?;
    run_quietly(EVENT_TRIGGERS)?;
    for (name, script) in VIEWS {
        if !db::exists(name)? {
            run_quietly(script)?;
        }
    }
    db::revoke_default_grants(&known)?;
    run_quietly(GRANTS)
}

/// A table that somebody put into the schema before us could carry triggers that run with our
/// rights, so only those of superusers are taken for ours.
fn refuse_foreign_tables() -> Result<(), Error> {
    let names: Vec<_> = TABLES.iter().map(|(name, _)| Some(*name)).collect();
    let foreign = db::value::<bool>(
        Mode::Write,
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_roles r ON r.oid = c.relowner \
         WHERE c.relnamespace = 'activity'::regnamespace AND c.relname = ANY ($1) AND NOT r.rolsuper)",
        &[(pg_sys::TEXTARRAYOID, pgrx::IntoDatum::into_datum(names))],
    )?;
    if foreign == Some(true) {
        return Err(Error::Denied {
            what: "the schema activity holds a table of a role that is no superuser".into(),
            hint: "Find out where it comes from; drop it, or give it to a superuser.",
        });
    }
    Ok(())
}

/// Runs a script without the notices about what is there already.
fn run_quietly(script: &str) -> Result<(), Error> {
    db::as_owner(|| {
        db::set_option(c"client_min_messages", c"warning", Scope::Block);
        db::run(script, &[]).map(|_| ())
    })
}

/// Brings triggers and policies into order, also on tables that were just made.
pub fn put_guards() -> Result<(), Error> {
    run_quietly(GUARDS)
}

/// Makes the partitions that are missing, with their guards; how many.
pub fn make_partitions() -> Result<usize, Error> {
    let log = read_log()?.ok_or(Error::NotSetUp)?;
    let known = db::relations_of_schema()?;
    let made = retention::make_ahead(clock::now(), log.period, log.premake.unsigned_abs())?;
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

/// The length of a partition, and how many are made ahead.
pub fn plan() -> Result<(Period, u32), Error> {
    let log = read_log()?.ok_or(Error::NotSetUp)?;
    Ok((log.period, log.premake.unsigned_abs()))
}

fn is_home(log: &Log) -> bool {
    log.system_identifier == home::system_identifier() && log.database_oid == home::database_oid()
}
