//! Where the extension installs and where it refuses to.

use super::*;

#[test]
fn a_database_in_another_encoding_is_refused() {
    let cluster = Cluster::shared();
    cluster.create_database("latin", "ENCODING 'LATIN1' LOCALE 'C'");
    let mut session = cluster.existing_database("latin").superuser();
    let refusal = expect_error(
        session.batch_execute("CREATE EXTENSION activity_log"),
        "0A000",
    );
    assert!(refusal.message.contains("UTF8"), "{refusal:?}");
}

/// Its owner could drop the log, or put functions beside ours that callers take for them.
#[test]
fn a_schema_that_others_rule_over_is_refused_and_shown() {
    let database = Cluster::shared().empty_database();
    let stranger = database.create_login(&[]);
    let mut session = database.superuser();
    for (taken, given_back) in [
        (
            format!("CREATE SCHEMA activity AUTHORIZATION {stranger}"),
            "ALTER SCHEMA activity OWNER TO postgres".to_owned(),
        ),
        (
            format!(
                "CREATE FUNCTION activity.record(text, text) RETURNS int LANGUAGE sql AS 'SELECT 1';
                 ALTER FUNCTION activity.record(text, text) OWNER TO {stranger}"
            ),
            "DROP FUNCTION activity.record(text, text)".to_owned(),
        ),
    ] {
        session.batch_execute(&taken).unwrap();
        let install = session.batch_execute("CREATE EXTENSION activity_log");
        let refusal = expect_error(install, "42501");
        assert!(refusal.hint.contains("superuser"), "{refusal:?}");
        session.batch_execute(&given_back).unwrap();
    }
    // A right to create is taken back, also where default privileges gave it.
    session
        .batch_execute(&format!(
            "GRANT CREATE ON SCHEMA activity TO {stranger};
             CREATE EXTENSION activity_log; SELECT activity.setup()"
        ))
        .unwrap();
    let item = "schema ruled by superusers only";
    assert_eq!(advice(&mut session, item), None);
    session
        .batch_execute(&format!("GRANT CREATE ON SCHEMA activity TO {stranger}"))
        .unwrap();
    assert!(advice(&mut session, item).is_some());
}

#[test]
fn a_role_of_ours_with_rights_of_its_own_is_refused_at_installation_and_shown_later() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.empty_database();
    let mut session = database.superuser();
    for (right, without) in [
        ("LOGIN", "NOLOGIN"),
        ("SUPERUSER", "NOSUPERUSER"),
        ("CREATEROLE", "NOCREATEROLE"),
        ("BYPASSRLS", "NOBYPASSRLS"),
    ] {
        session
            .batch_execute(&format!("CREATE ROLE activity_reader {right}"))
            .unwrap();
        let refusal = expect_error(
            session.batch_execute("CREATE EXTENSION activity_log"),
            "0P000",
        );
        assert!(refusal.message.contains("activity_reader"), "{refusal:?}");
        assert!(refusal.hint.contains(without), "{refusal:?}");
        session.batch_execute("DROP ROLE activity_reader").unwrap();
    }
    session
        .batch_execute("CREATE EXTENSION activity_log; SELECT activity.setup()")
        .unwrap();
    session
        .batch_execute("ALTER ROLE activity_auditor LOGIN")
        .unwrap();
    let advice = advice(&mut session, "role activity_auditor").unwrap();
    session.batch_execute(&advice).unwrap();
    assert_eq!(advice_count(&mut session, "role activity_auditor"), 0);
}

#[test]
fn two_databases_of_a_new_cluster_install_at_the_same_time() {
    let cluster = Cluster::start(&Options::default());
    let databases = [cluster.empty_database(), cluster.empty_database()];
    let installed = std::thread::scope(|scope| {
        let installing: Vec<_> = databases
            .iter()
            .map(|database| {
                scope.spawn(|| {
                    database
                        .superuser()
                        .batch_execute("CREATE EXTENSION activity_log")
                })
            })
            .collect();
        installing
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect::<Vec<_>>()
    });
    for result in installed {
        result.unwrap();
    }
}

#[test]
fn everything_works_without_shared_preload_libraries() {
    let cluster = Cluster::start(&Options {
        preload: false,
        settings: &[],
    });
    let database = cluster.database();
    let mut session = database.superuser();
    assert!(
        advice(&mut session, "library")
            .unwrap()
            .contains("shared_preload_libraries")
    );
    record_and_list(&mut session);
    let writer = database.create_login(&["activity_writer"]);
    let mut writing = database.connect_as(&writer);
    writing
        .batch_execute(&format!(
            "BEGIN; SET LOCAL activity.tenant_id = '{TENANT}'; SET LOCAL activity.actor_id = 'u1';
             SELECT activity.record('user.created', client_ip => '192.0.2.1'); COMMIT"
        ))
        .unwrap();
    let stored = session.text(
        "SELECT concat_ws(' ', actor_id, ip_prefix, ip_hash IS NOT NULL) FROM activity.events \
         WHERE actor_id IS NOT NULL",
    );
    assert_eq!(stored.as_deref(), Some("u1 192.0.2.0/24 t"));
    expect_error(session.simple_query("DELETE FROM activity.events"), "42501");
}
