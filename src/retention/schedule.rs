//! pg_cron as the driver: the job that calls `maintain()`, and jobs of one statement that detach.

use super::ledger;
use crate::db::{self, Mode};
use crate::error::Error;
use crate::record;
use crate::value::given;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::{quote_identifier, quote_literal};
use serde_json::json;

const EVERY_FIVE_MINUTES: &str = "*/5 * * * *";
const EVERY_MINUTE: &str = "* * * * *";
const EVERY_NIGHT: &str = "17 3 * * *";
const MAINTAIN: &str = "CALL activity.maintain()";
/// pg_cron keeps every run for ever; these are ours.
const PURGE_RUNS: &str = "DELETE FROM cron.job_run_details WHERE end_time < now() - interval '14 days' \
    AND command IN ('CALL activity.maintain()') AND database = current_database()";

/// Where pg_cron is.
enum Cron {
    Here,
    /// In the database of this name.
    Elsewhere(String),
}

/// Registers maintain() with pg_cron, or gives the statements that do it where pg_cron is.
#[pg_extern(volatile, parallel_unsafe)]
fn schedule_maintenance(
    schedule: default!(Option<&str>, "'*/5 * * * *'"),
) -> Result<String, ErrorReport> {
    db::oid(db::Relation::Events)?;
    let schedule = given(schedule).unwrap_or(EVERY_FIVE_MINUTES);
    let database = database()?;
    match find_cron()? {
        Cron::Elsewhere(home) => Ok(statements(&home, &database, schedule)),
        Cron::Here => {
            let job = register(&job_name("maintain", &database), schedule, MAINTAIN)?;
            register(&job_name("purge_runs", &database), EVERY_NIGHT, PURGE_RUNS)?;
            record::write_system_event(
                "activity.maintenance.scheduled",
                &json!({"schedule": schedule, "job": job}),
            )?;
            Ok(format!(
                "scheduled as job {job} of pg_cron: {schedule} (GMT)"
            ))
        }
    }
}

/// Takes the jobs of this database out of pg_cron, or gives the statement that does it.
#[pg_extern(volatile, parallel_unsafe)]
fn unschedule_maintenance() -> Result<String, ErrorReport> {
    let database = database()?;
    match find_cron()? {
        Cron::Elsewhere(home) => Ok(format!(
            "-- Run this in the database {}, where pg_cron is:\n{};",
            quote_identifier(&home),
            removal(&database)
        )),
        Cron::Here => {
            let removed = db::query(Mode::Write, &removal(&database), &[], |_| Ok(()))?.len();
            if removed > 0 && db::find(db::Relation::Events).is_some() {
                record::write_system_event(
                    "activity.maintenance.unscheduled",
                    &json!({"jobs": removed}),
                )?;
            }
            Ok(format!("{removed} jobs taken out of pg_cron"))
        }
    }
}

/// The names of all our jobs for a database begin like this.
fn job_name(kind: &str, database: &str) -> String {
    format!("activity_log:{kind}:{database}")
}

fn statements(home: &str, database: &str, schedule: &str) -> String {
    let job = |kind, schedule, command, database_of_job| {
        format!(
            "SELECT cron.schedule_in_database({}, {}, {}, {});",
            quote_literal(job_name(kind, database)),
            quote_literal(schedule),
            quote_literal(command),
            quote_literal(database_of_job)
        )
    };
    format!(
        "-- Run these in the database {}, where pg_cron is, as a superuser:\n{}\n{}",
        quote_identifier(home),
        job("maintain", schedule, MAINTAIN, database),
        job(
            "purge_runs",
            EVERY_NIGHT,
            &PURGE_RUNS.replace("current_database()", &quote_literal(database)),
            home
        )
    )
}

fn removal(database: &str) -> String {
    format!(
        "SELECT cron.unschedule(j.jobid) FROM cron.job j WHERE j.jobname IN ({}, {}) OR starts_with(j.jobname, {})",
        quote_literal(job_name("maintain", database)),
        quote_literal(job_name("purge_runs", database)),
        quote_literal(job_name("detach", database) + ":")
    )
}

fn find_cron() -> Result<Cron, Error> {
    if is_here()? {
        return Ok(Cron::Here);
    }
    let home = db::value::<String>(
        Mode::ReadLatest,
        "SELECT current_setting('cron.database_name', true)",
        &[],
    )?;
    if home == Some(database()?) {
        return Err(Error::NotAvailable {
            what: "pg_cron",
            hint: "This is its database: CREATE EXTENSION pg_cron;",
        });
    }
    home.map(Cron::Elsewhere).ok_or(Error::NotAvailable {
        what: "pg_cron",
        hint: "The preloaded worker calls maintain() by itself; so can any cron with psql -c 'CALL activity.maintain()'. \
               pg_cron has to be in shared_preload_libraries.",
    })
}

fn is_here() -> Result<bool, Error> {
    let is_here = db::value(
        Mode::ReadLatest,
        "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') AND to_regclass('cron.job') IS NOT NULL",
        &[],
    )?;
    Ok(is_here.unwrap_or(false))
}

fn database() -> Result<String, Error> {
    db::value(Mode::ReadLatest, "SELECT current_database()::text", &[])?
        .ok_or(Error::Internal { place: "database" })
}

/// Makes the job, or changes the one of this name.
fn register(name: &str, schedule: &str, command: &str) -> Result<i64, Error> {
    db::value(
        Mode::Write,
        "SELECT cron.schedule($1, $2, $3)",
        &[
            db::text(Some(name)),
            db::text(Some(schedule)),
            db::text(Some(command)),
        ],
    )?
    .ok_or(Error::Internal { place: "cron.job" })
}

/// Whether pg_cron calls `maintain()` here, so that it can detach as well.
pub fn detaches() -> Result<bool, Error> {
    if !is_here()? {
        return Ok(false);
    }
    let has_job = db::value(
        Mode::ReadLatest,
        "SELECT EXISTS (SELECT FROM cron.job WHERE jobname = $1 AND active)",
        &[db::text(Some(&job_name("maintain", &database()?)))],
    )?;
    Ok(has_job.unwrap_or(false))
}

/// Has pg_cron detach a partition: DETACH CONCURRENTLY has to be a command of its own. The number of
/// the job, if it is new.
pub fn detach(partition: &str) -> Result<Option<i64>, Error> {
    let name = format!("{}:{partition}", job_name("detach", &database()?));
    let is_known = db::value(
        Mode::ReadLatest,
        "SELECT EXISTS (SELECT FROM cron.job WHERE jobname = $1)",
        &[db::text(Some(&name))],
    )?;
    if is_known == Some(true) {
        return Ok(None);
    }
    let command = format!(
        "ALTER TABLE activity.events DETACH PARTITION activity.{} CONCURRENTLY",
        quote_identifier(partition)
    );
    register(&name, EVERY_MINUTE, &command).map(Some)
}

/// Takes the jobs out of pg_cron that have detached their partition, or need not any more.
pub fn clear_detached() -> Result<(), Error> {
    if !is_here()? {
        return Ok(());
    }
    let prefix = job_name("detach", &database()?) + ":";
    let jobs = db::query(
        Mode::ReadLatest,
        "SELECT jobid, substr(jobname, length($1) + 1) FROM cron.job WHERE starts_with(jobname, $1)",
        &[db::text(Some(&prefix))],
        |row| {
            Ok((
                row.must::<i64>(1, "cron.job")?,
                row.must::<String>(2, "cron.job")?,
            ))
        },
    )?;
    if jobs.is_empty() {
        return Ok(());
    }
    let entries = ledger::entries()?;
    for (job, partition) in jobs {
        if entries
            .get(&partition)
            .is_none_or(|entry| entry.state != "detaching")
        {
            db::run("SELECT cron.unschedule($1)", &[db::bigint(job)])?;
        }
    }
    Ok(())
}
