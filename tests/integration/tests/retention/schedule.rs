//! Drivers: pg_cron in this database, in another one, and not at all.

use super::maintain::until;
use super::*;
use activity_log_integration::program_folder;
use std::time::Duration;

const WITH_CRON: [(&str, &str); 4] = [
    ("shared_preload_libraries", "activity_log,pg_cron"),
    ("cron.database_name", "app"),
    ("cron.use_background_workers", "on"),
    // The worker would be faster.
    ("activity.maintenance_interval", "0"),
];

/// A cluster in which pg_cron lives in the database `app`, or `None` where it is not installed.
fn cluster_with_cron() -> Option<Cluster> {
    let library = std::process::Command::new(program_folder().join("pg_config"))
        .arg("--pkglibdir")
        .output()
        .unwrap();
    let folder = String::from_utf8(library.stdout).unwrap();
    if !std::path::Path::new(folder.trim())
        .join("pg_cron.so")
        .exists()
    {
        eprintln!("skipped: pg_cron is not installed");
        return None;
    }
    let cluster = Cluster::start(&Options {
        preload: false,
        settings: &WITH_CRON,
    });
    cluster.create_database("app", "");
    Some(cluster)
}

fn log_of_app(cluster: &Cluster) -> Database<'_> {
    let database = cluster.existing_database("app");
    let mut session = database.superuser();
    session
        .batch_execute("CREATE EXTENSION activity_log; SELECT activity.setup()")
        .unwrap();
    let refusal = expect_error(
        session.simple_query("SELECT activity.schedule_maintenance()"),
        "0A000",
    );
    assert!(
        refusal.hint.contains("CREATE EXTENSION pg_cron"),
        "{refusal:?}"
    );
    session.batch_execute("CREATE EXTENSION pg_cron").unwrap();
    session.batch_execute(OLD_MONTH).unwrap();
    add_month(&mut session, 14);
    session.batch_execute("SELECT activity.setup()").unwrap();
    database
}

fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !holds() {
        assert!(begin.elapsed() < limit, "never: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn pg_cron_really_runs_it_and_detaches_concurrently() {
    let Some(cluster) = cluster_with_cron() else {
        return;
    };
    let database = log_of_app(&cluster);
    let mut session = database.superuser();
    keep_for(&mut session, "keep => '1 year'");
    let admin = database.create_login(&["activity_admin"]);
    let mut admin = database.connect_as(&admin);
    let said = admin
        .text("SELECT activity.schedule_maintenance('* * * * *')")
        .unwrap();
    assert!(said.contains("scheduled as job"), "{said}");
    let again = admin
        .text("SELECT activity.schedule_maintenance('* * * * *')")
        .unwrap();
    assert_eq!(said, again, "the same job");
    let jobs = "SELECT count(*) FROM cron.job WHERE jobname LIKE 'activity_log:%'";
    assert_eq!(session.number(jobs), 2);

    // A long reader: the procedure can't detach without a stall, so a job of one statement does.
    let mut reader = database.superuser();
    let mut transaction = reader.transaction().unwrap();
    transaction
        .simple_query("SELECT count(*) FROM activity.events")
        .unwrap();
    within(
        Duration::from_secs(130),
        "the job that detaches has begun",
        || session.number("SELECT count(*) FROM pg_inherits WHERE inhdetachpending") == 1,
    );
    drop(transaction);
    // The minute of pg_cron, then that of the job that detaches, then the one that drops.
    let minutes = Duration::from_secs(4 * 60 + 20);
    within(minutes, "the partition is dropped", || {
        session.number("SELECT count(*) FROM activity.partition_ranges WHERE state = 'dropped'")
            == 1
    });
    let how = session.texts(
        "SELECT status FROM cron.job_run_details WHERE command LIKE 'ALTER TABLE activity.events DETACH PARTITION % CONCURRENTLY'",
    );
    assert!(how.contains(&"succeeded".to_owned()), "{how:?}");
    within(minutes, "the job that detached is gone", || {
        session.number(jobs) == 2
    });
    assert_eq!(advice(&mut session, "maintain() ran last"), None);

    let said = admin
        .text("SELECT activity.unschedule_maintenance()")
        .unwrap();
    assert!(said.starts_with("2 jobs"), "{said}");
    assert_eq!(session.number(jobs), 0);
    let said = admin
        .text("SELECT activity.unschedule_maintenance()")
        .unwrap();
    assert!(said.starts_with("0 jobs"), "{said}");
}

#[test]
fn where_pg_cron_lives_in_another_database_its_statements_are_given() {
    let Some(cluster) = cluster_with_cron() else {
        return;
    };
    let database = cluster.database();
    let mut session = database.superuser();
    let statements = session
        .text("SELECT activity.schedule_maintenance('*/7 * * * *')")
        .unwrap();
    assert!(statements.contains("database app"), "{statements}");
    let mut home = cluster.existing_database("app").superuser();
    home.batch_execute("CREATE EXTENSION pg_cron").unwrap();
    home.batch_execute(&statements).unwrap();
    home.batch_execute(&statements).unwrap();
    let job = home
        .texts("SELECT concat_ws(' ', schedule, command, database) FROM cron.job ORDER BY jobname");
    assert_eq!(
        job[0],
        format!("*/7 * * * * CALL activity.maintain() {}", database.name())
    );
    assert_eq!(job.len(), 2, "{job:?}");
    let statements = session
        .text("SELECT activity.unschedule_maintenance()")
        .unwrap();
    home.batch_execute(&statements).unwrap();
    assert_eq!(home.number("SELECT count(*) FROM cron.job"), 0);
}

#[test]
fn without_pg_cron_there_is_advice() {
    let database = quiet_cluster().database();
    for call in ["schedule_maintenance", "unschedule_maintenance"] {
        let refused = database
            .superuser()
            .simple_query(&format!("SELECT activity.{call}()"));
        let refusal = expect_error(refused, "0A000");
        assert!(refusal.hint.contains("psql -c"), "{refusal:?}");
    }
}

#[test]
fn any_cron_can_call_it_with_psql() {
    let database = quiet_cluster().database();
    let output = database
        .program("psql")
        .args([
            "-X",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            "CALL activity.maintain()",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut session = database.superuser();
    until("the run is written down", || {
        advice(&mut session, "maintain() ran last").is_none()
    });
}

fn has_run(session: &mut Session) -> bool {
    session.number("SELECT count(*) FROM activity.maintenance_log WHERE step = 'run'") > 0
}

/// A preloaded cluster whose worker runs the maintenance every second.
fn busy_cluster() -> Cluster {
    Cluster::start(&Options {
        preload: true,
        settings: &[("activity.maintenance_interval", "1s")],
    })
}

#[test]
fn the_worker_runs_it_by_itself_and_detaches_concurrently() {
    let cluster = busy_cluster();
    let database = log_with_months(&cluster, &[3, 14, 15]);
    let mut session = database.superuser();
    keep_for(&mut session, "keep => '1 year'");
    until("the worker has dropped what is old", || {
        session.number("SELECT count(*) FROM activity.partition_ranges WHERE state = 'dropped'")
            == 2
    });
    assert!(is_attached(&mut session, 3));
    let how = session.texts("SELECT detail ->> 'how' FROM activity.maintenance_log WHERE step = 'detach' AND outcome = 'done'");
    assert_eq!(how, ["concurrently", "concurrently"]);
    until("the run is written down", || has_run(&mut session));
}

#[test]
fn a_long_reader_lets_the_worker_wait_while_writers_go_on() {
    let cluster = busy_cluster();
    let database = log_with_months(&cluster, &[14]);
    let mut session = database.superuser();
    session
        .batch_execute("SELECT activity.register_action('user.created')")
        .unwrap();
    let mut reader = database.superuser();
    let mut transaction = reader.transaction().unwrap();
    transaction
        .simple_query("SELECT count(*) FROM activity.events")
        .unwrap();
    keep_for(&mut session, "keep => '1 year'");
    let pending = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending";
    let record = format!("SELECT activity.record('user.created', tenant_id => '{TENANT_A}')");
    let mut slowest = Duration::ZERO;
    until("the detach is pending", || {
        let begin = std::time::Instant::now();
        session.batch_execute(&record).unwrap();
        slowest = slowest.max(begin.elapsed());
        session.number(pending) == 1
    });
    assert!(slowest < Duration::from_millis(400), "{slowest:?}");
    // The worker rings, and does what else it has to do.
    until("it gave up for now", || {
        session.number("SELECT count(*) FROM activity.maintenance_log WHERE step = 'detach' AND outcome = 'gave_up'") > 0
    });
    drop(transaction);
    until("a later run has brought it to its end", || {
        session.number("SELECT count(*) FROM activity.partition_ranges WHERE state = 'dropped'")
            == 1
    });
}

#[test]
fn a_new_log_is_left_alone_for_an_interval_and_a_restart_does_not_begin_it_anew() {
    let cluster = Cluster::start(&Options {
        preload: true,
        settings: &[("activity.maintenance_interval", "1h")],
    });
    let database = log_with_months(&cluster, &[3]);
    let mut session = database.superuser();
    std::thread::sleep(Duration::from_secs(3));
    let runs = "SELECT count(*) FROM activity.maintenance_log WHERE step = 'run'";
    assert_eq!(session.number(runs), 0);
    maintain(&mut session);
    session
        .batch_execute(
            "UPDATE activity.maintenance_log SET finished_at = finished_at - interval '2 hours'",
        )
        .unwrap();
    drop(session);
    cluster.restart(Stop::Fast);
    let mut session = database.superuser();
    until("the run that is overdue", || session.number(runs) == 2);
}
