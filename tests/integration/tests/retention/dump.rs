//! Dump, restore and upgrade of a log with two years of partitions, policies and holds.

use super::*;
use activity_log_integration::{as_server, program_folder};

fn full_log(cluster: &Cluster) -> Database<'_> {
    let months: Vec<i32> = (2..26).collect();
    let database = log_with_months(cluster, &months);
    let mut session = database.superuser();
    session
        .batch_execute(&format!(
            "SELECT activity.set_retention(keep => '3 years');
             SELECT activity.set_retention(keep => '7 years', category => 'security');
             SELECT activity.hold('{TENANT_A}', 'a case');"
        ))
        .unwrap();
    maintain(&mut session);
    database
}

fn contents(session: &mut Session) -> Vec<String> {
    let mut all = session.texts(
        "SELECT concat_ws(' ', count(*), md5(string_agg(e::text, '' ORDER BY e.event_id))) FROM activity.events e",
    );
    for table in ["retention_policies", "legal_holds", "partition_ranges"] {
        all.extend(session.texts(&format!(
            "SELECT md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) FROM activity.{table} t"
        )));
    }
    all.extend(attached(session));
    all
}

/// What a copy does before and after it is taken over. Its hold must be respected.
fn check_copy(session: &mut Session, expected: &[String]) {
    assert_eq!(contents(session), expected);
    let summary = maintain(session);
    assert!(
        summary["skipped"].as_str().unwrap().contains("migrate()"),
        "{summary}"
    );
    session.batch_execute("SELECT activity.migrate()").unwrap();
    keep_for(session, "keep => '1 year'");
    assert_eq!(maintain(session)["ok"], true);
    let old = |tenant: &str| {
        format!(
            "SELECT count(*) FROM activity.events WHERE tenant_id = '{tenant}' AND recorded_at < test.month(13)"
        )
    };
    assert!(session.number(&old(TENANT_A)) > 300, "held");
    assert_eq!(session.number(&old(TENANT_B)), 0);
}

#[test]
fn a_dump_restores_with_its_policies_and_holds() {
    let source = full_log(quiet_cluster());
    let expected = contents(&mut source.superuser());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    let dump = source
        .program("pg_dump")
        .arg("-Fc")
        .arg("-f")
        .arg(&file)
        .output()
        .unwrap();
    assert!(dump.status.success(), "{dump:?}");
    let cluster = Cluster::start(&QUIET);
    cluster.create_database("restored", "");
    let database = cluster.existing_database("restored");
    let restore = database
        .program("pg_restore")
        .args(["--exit-on-error", "-d", "restored"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(restore.status.success(), "{restore:?}");
    check_copy(&mut database.superuser(), &expected);
}

#[test]
fn an_upgraded_cluster_has_everything_and_goes_on_after_migrate() {
    let old = Cluster::start(&QUIET);
    let (name, expected) = {
        let database = full_log(&old);
        let expected = contents(&mut database.superuser());
        (database.name().to_owned(), expected)
    };
    let new = Cluster::start(&QUIET);
    old.stop(Stop::Fast);
    new.stop(Stop::Fast);
    let programs = program_folder();
    let upgraded = as_server(programs.join("pg_upgrade"))
        .current_dir(new.folder())
        .args(["-U", "postgres", "-b"])
        .arg(&programs)
        .arg("-B")
        .arg(&programs)
        .arg("-d")
        .arg(old.folder().join("data"))
        .arg("-D")
        .arg(new.folder().join("data"))
        .arg("-s")
        .arg(new.folder())
        .output()
        .unwrap();
    assert!(upgraded.status.success(), "{upgraded:?}");
    new.start_again();
    check_copy(&mut new.existing_database(&name).superuser(), &expected);
}
