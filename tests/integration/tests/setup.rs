//! Installation and `setup()`: only this file sees databases before it, clusters where it can't
//! be, the extension dropped under its data, and settings that a running server can't change.

use activity_log_integration::{Cluster, Database, Options, Session, assert_same, expect_error};
use std::time::{Duration, Instant};

const TENANT: &str = "11111111-1111-4111-8111-111111111111";

/// A call of every function that needs the log, by name.
const CALLS: [(&str, &str); 15] = [
    (
        "check_event",
        "SELECT * FROM activity.check_event('user.created')",
    ),
    ("get", "SELECT * FROM activity.get(gen_random_uuid())"),
    ("helper_sql", "SELECT activity.helper_sql('user.created')"),
    ("install_taxonomy", "SELECT activity.install_taxonomy()"),
    (
        "list",
        "SELECT * FROM activity.list(tenant_id => gen_random_uuid())",
    ),
    ("migrate", "SELECT activity.migrate()"),
    (
        "record",
        "SELECT activity.record('user.created', tenant_id => gen_random_uuid())",
    ),
    (
        "record_login",
        "SELECT activity.record_login('u1', tenant_id => gen_random_uuid())",
    ),
    (
        "record_logout",
        "SELECT activity.record_logout('u1', tenant_id => gen_random_uuid())",
    ),
    (
        "record_many",
        r#"SELECT * FROM activity.record_many('[{"action": "user.created"}]')"#,
    ),
    (
        "register_action",
        "SELECT activity.register_action('user.created')",
    ),
    (
        "register_actions",
        r#"SELECT * FROM activity.register_actions('[{"action": "user.created"}]')"#,
    ),
    (
        "retire_action",
        "SELECT activity.retire_action('user.created')",
    ),
    ("rotate_ip_key", "SELECT activity.rotate_ip_key()"),
    ("tenant", "SELECT activity.tenant('org_42')"),
];

/// Functions that work before `setup()`, or that only the server calls.
const WITHOUT_LOG: [&str; 7] = [
    "clear_context",
    "client_ip",
    "context",
    "set_context",
    "setup",
    "status",
    "visible_tenant",
];

#[test]
fn before_setup_every_function_asks_for_it() {
    let database = Cluster::shared().database_before_setup();
    let mut session = database.superuser();
    for (name, call) in CALLS {
        let result = session.simple_query(call);
        assert!(result.is_err(), "{name} works before setup()");
        let refusal = expect_error(result, "55000");
        assert!(
            refusal.hint.contains("activity.setup()"),
            "{name}: {refusal:?}"
        );
    }
    session
        .batch_execute(&format!("SET activity.tenant_id = '{TENANT}'"))
        .unwrap();
    expect_error(
        session.simple_query("SELECT activity.visible_tenant()"),
        "55000",
    );
}

#[test]
fn no_function_is_left_out_of_these_tests() {
    let database = Cluster::shared().database_before_setup();
    let public = database.superuser().texts(
        "SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'activity'::regnamespace \
         AND proname NOT LIKE '\\_%' ORDER BY 1",
    );
    let mut known: Vec<&str> = CALLS
        .iter()
        .map(|(name, _)| *name)
        .chain(WITHOUT_LOG)
        .collect();
    known.sort_unstable();
    assert_eq!(public, known);
}

#[test]
fn a_second_setup_changes_nothing_and_says_so() {
    let database = Cluster::shared().database();
    let (objects, rows) = (database.objects(), database.rows());
    let said = database.superuser().text("SELECT activity.setup()");
    assert_eq!(said.as_deref(), Some("activity_log is already set up"));
    assert_same(&objects, &database.objects());
    assert_eq!(database.rows(), rows);
}

#[test]
fn a_setup_that_is_rolled_back_leaves_nothing() {
    let database = Cluster::shared().database_before_setup();
    let objects = database.objects();
    let mut session = database.superuser();
    session
        .batch_execute("BEGIN; SELECT activity.setup(); ROLLBACK")
        .unwrap();
    assert_same(&objects, &database.objects());
    expect_error(
        session.simple_query("SELECT * FROM activity.list()"),
        "55000",
    );
    session.batch_execute("SELECT activity.setup()").unwrap();
    record_and_list(&mut session);
}

#[test]
fn two_sessions_that_set_up_at_once_wait_for_each_other() {
    let database = Cluster::shared().database_before_setup();
    let mut first = database.superuser();
    let mut second = database.superuser();
    // What the second has looked up in vain must not mislead it later.
    expect_error(second.simple_query("SELECT activity.migrate()"), "55000");
    first
        .batch_execute("BEGIN; SELECT activity.setup()")
        .unwrap();
    let said = std::thread::scope(|scope| {
        let waiting = scope.spawn(move || second.text("SELECT activity.setup()"));
        wait_until(&mut database.superuser(), "advisory");
        assert!(!waiting.is_finished());
        first.batch_execute("COMMIT").unwrap();
        waiting.join().unwrap()
    });
    assert_eq!(said.as_deref(), Some("activity_log is already set up"));
    record_and_list(&mut database.superuser());
}

/// Waits until a session of the database waits for a lock of this kind.
fn wait_until(observer: &mut Session, lock: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let waiting = format!(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = '{lock}' AND database = \
         (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    while observer.number(&waiting) == 0 {
        assert!(Instant::now() < deadline, "nobody waits");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn only_an_admin_sets_up() {
    let database = Cluster::shared().database_before_setup();
    for groups in [
        &[] as &[&str],
        &["activity_writer", "activity_reader", "activity_auditor"],
    ] {
        let role = database.create_login(groups);
        let mut session = database.connect_as(&role);
        expect_error(session.simple_query("SELECT activity.setup()"), "42501");
        expect_error(session.simple_query("SELECT activity.migrate()"), "42501");
    }
    let admin = database.create_login(&["activity_admin"]);
    let mut session = database.connect_as(&admin);
    session.batch_execute("SELECT activity.setup()").unwrap();
    record_and_list(&mut session);
    let owners = database.superuser().texts(
        "SELECT DISTINCT relowner::regrole::text FROM pg_class \
         WHERE relnamespace = 'activity'::regnamespace AND relkind IN ('r', 'p')",
    );
    assert_eq!(
        owners,
        ["postgres"],
        "the admin who sets up owns nothing of the log"
    );
}

#[test]
fn partitions_cover_the_time_from_before_now_to_far_ahead_in_utc() {
    for (interval, premake) in [
        ("1 day", None),
        ("1 week", None),
        ("1 month", None),
        ("3 months", None),
        ("1 year", Some(2)),
        ("1 day", Some(120)),
    ] {
        let database = Cluster::shared().database_before_setup();
        let mut session = database.superuser();
        // Bounds must not follow the clock of whoever sets up.
        session
            .batch_execute("SET timezone = 'Asia/Kolkata'")
            .unwrap();
        let arguments = premake.map_or_else(String::new, |n: i32| format!(", premake => {n}"));
        let call = format!("SELECT activity.setup(partition_interval => '{interval}'{arguments})");
        session.batch_execute(&call).unwrap();
        check_partitions(&mut session, interval, premake.unwrap_or(12));
        record_and_list(&mut session);
    }
}

const BOUNDS: &str = "
    CREATE TEMP TABLE bound AS
    SELECT (regexp_match(b, 'FROM \\(''([^'']+)'))[1]::timestamptz AS lower,
           (regexp_match(b, 'TO \\(''([^'']+)'))[1]::timestamptz AS upper
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid, pg_get_expr(c.relpartbound, c.oid) b
    WHERE i.inhparent = 'activity.events'::regclass";

fn check_partitions(session: &mut Session, interval: &str, premake: i32) {
    session.batch_execute(BOUNDS).unwrap();
    let mut holds = |what: &str, condition: String| {
        let holds = session.text(&format!("SELECT ({condition})::text"));
        assert_eq!(holds.as_deref(), Some("true"), "{interval}: {what}");
    };
    holds(
        "the period before now",
        "EXISTS (SELECT FROM bound WHERE upper <= now())".into(),
    );
    holds(
        "now",
        "EXISTS (SELECT FROM bound WHERE lower <= now() AND upper > now())".into(),
    );
    holds(
        "90 days ahead",
        "(SELECT max(upper) FROM bound) >= now() + interval '90 days'".into(),
    );
    holds(
        "the periods ahead",
        format!("(SELECT max(upper) FROM bound) >= now() + {premake} * interval '{interval}'"),
    );
    holds(
        "no gap and no overlap",
        "NOT EXISTS (SELECT FROM (SELECT lower, lag(upper) OVER (ORDER BY lower) AS before FROM bound) b \
         WHERE before <> lower)"
            .into(),
    );
    holds(
        "midnight in UTC",
        "NOT EXISTS (SELECT FROM bound WHERE (lower AT TIME ZONE 'UTC')::time <> '00:00')".into(),
    );
    holds(
        "the length of the period",
        format!(
            "NOT EXISTS (SELECT FROM bound WHERE upper AT TIME ZONE 'UTC' <> \
             (lower AT TIME ZONE 'UTC') + interval '{interval}')"
        ),
    );
}

#[test]
fn a_bad_option_is_refused_with_advice_and_sets_nothing_up() {
    let database = Cluster::shared().database_before_setup();
    let mut session = database.superuser();
    for interval in [
        "0",
        "-1 month",
        "1 hour",
        "36 hours",
        "1 month 1 day",
        "1 day 1 second",
    ] {
        let call = format!("SELECT activity.setup(partition_interval => '{interval}')");
        let refusal = expect_error(session.simple_query(&call), "22023");
        assert!(
            refusal.message.contains("partition_interval"),
            "{refusal:?}"
        );
        assert!(refusal.hint.contains("'1 month'"), "{refusal:?}");
    }
    for premake in [i32::MIN, -1, 0, 1001, i32::MAX] {
        let call = format!("SELECT activity.setup(premake => {premake})");
        let refusal = expect_error(session.simple_query(&call), "22023");
        assert!(refusal.message.contains("premake"), "{refusal:?}");
    }
    expect_error(
        session.simple_query("SELECT * FROM activity.list()"),
        "55000",
    );
    session
        .batch_execute("SELECT activity.setup(NULL, NULL)")
        .unwrap();
    check_partitions(&mut session, "1 month", 12);
}

#[test]
fn options_that_change_are_kept_and_used() {
    let database = Cluster::shared().database();
    let mut session = database.superuser();
    let said = session
        .text("SELECT activity.setup(premake => 30)")
        .unwrap();
    assert!(said.contains("18 partitions made"), "{said}");
    let said = session.text("SELECT activity.setup()").unwrap();
    assert_eq!(said, "activity_log is already set up");
    check_partitions(&mut session, "1 month", 30);
    // A shorter period begins where the longer ones end.
    session
        .batch_execute("SELECT activity.setup(partition_interval => '1 week')")
        .unwrap();
    session
        .batch_execute("SELECT activity.setup(premake => 200)")
        .unwrap();
    session.batch_execute("DROP TABLE bound").unwrap();
    session.batch_execute(BOUNDS).unwrap();
    let weeks = "SELECT count(*) FROM bound WHERE upper - lower = interval '7 days'";
    assert!(session.number(weeks) > 0);
    record_and_list(&mut session);
}

#[test]
fn dropping_the_extension_and_setting_up_again_loses_nothing() {
    let database = Cluster::shared().database();
    let (writer, reader) = fill(&database);
    let mut old_writer = database.connect_as(&writer);
    old_writer.batch_execute(&record("user.created")).unwrap();
    let (objects, rows) = (database.objects(), database.rows());

    let mut owner = database.superuser();
    owner
        .batch_execute("DROP EXTENSION activity_log CASCADE")
        .unwrap();
    let events = owner.number("SELECT count(*) FROM activity.events");
    assert_eq!(events, i64::try_from(rows["events"].len()).unwrap());
    let mut reading = database.connect_as(&reader);
    reading
        .batch_execute(&format!("SET activity.tenant_id = '{TENANT}'"))
        .unwrap();
    assert_eq!(
        reading.number("SELECT count(*) FROM activity.events"),
        0,
        "no policy, no rows"
    );

    owner
        .batch_execute("CREATE EXTENSION activity_log; SELECT activity.setup()")
        .unwrap();
    assert_same(&objects, &database.objects());
    assert_kept(&rows, &database);
    // Both in sessions that knew the extension before, and in new ones.
    for session in [&mut old_writer, &mut database.connect_as(&writer)] {
        session.batch_execute(&record("user.created")).unwrap();
    }
    for session in [&mut reading, &mut database.connect_as(&reader)] {
        session
            .batch_execute(&format!("SET activity.tenant_id = '{TENANT}'"))
            .unwrap();
        assert_eq!(session.number("SELECT count(*) FROM activity.events"), 4);
        assert_eq!(session.number("SELECT count(*) FROM activity.list()"), 4);
    }
    expect_error(owner.simple_query("DELETE FROM activity.events"), "42501");
    assert_eq!(
        owner.text("SELECT activity.setup()").unwrap(),
        "activity_log is already set up"
    );
}

/// A log with something in each of its tables; a writer and a reader.
fn fill(database: &Database<'_>) -> (String, String) {
    let writer = database.create_login(&["activity_writer"]);
    let reader = database.create_login(&["activity_reader"]);
    database
        .superuser()
        .batch_execute(&format!(
            r#"SELECT activity.register_action('user.created', metadata_schema => '{{"type": "object"}}');
            SELECT activity.register_action('user.deleted');
            SELECT activity.retire_action('user.deleted');
            INSERT INTO activity.tenants (tenant_id, external_id) VALUES ('{TENANT}', 'org_42');
            INSERT INTO activity.role_tenants VALUES ('{reader}', '{TENANT}');
            SELECT activity.record('user.created', '{{"plan": "pro"}}', tenant_id => '{TENANT}',
                                   client_ip => '192.0.2.1', idempotency_key => 'k1');"#
        ))
        .unwrap();
    (writer, reader)
}

fn record(action: &str) -> String {
    format!("SELECT activity.record('{action}', tenant_id => '{TENANT}')")
}

/// Every row is still there. The keys are the extension's and go with it; new epochs begin.
fn assert_kept(before: &std::collections::BTreeMap<String, Vec<String>>, database: &Database<'_>) {
    let after = database.rows();
    for (table, rows) in before {
        let may_grow = matches!(table.as_str(), "events" | "key_epochs" | "keys");
        let lost: Vec<_> = rows
            .iter()
            .filter(|row| !after[table].contains(row))
            .collect();
        assert!(
            lost.is_empty() || table == "keys" || table == "key_epochs",
            "{table} lost {lost:?}"
        );
        assert!(
            may_grow || after[table].len() == rows.len(),
            "{table} has new rows"
        );
    }
}

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
fn status_says_what_to_do_before_setup_and_nothing_important_after() {
    let database = Cluster::shared().database_before_setup();
    let mut session = database.superuser();
    assert_eq!(
        advice(&mut session, "set up").as_deref(),
        Some("SELECT activity.setup();")
    );
    session
        .batch_execute("SELECT activity.setup(); SELECT activity.install_taxonomy()")
        .unwrap();
    let complaints =
        session.texts("SELECT item FROM activity.status() WHERE ok IS NOT TRUE ORDER BY item");
    assert_eq!(complaints, ["key for addresses"]);
    let without_advice =
        "SELECT count(*) FROM activity.status() WHERE (ok IS NOT TRUE) <> (advice IS NOT NULL)";
    assert_eq!(session.number(without_advice), 0);
}

#[test]
fn status_shows_tampering_and_its_advice_mends_it() {
    let database = Cluster::shared().database();
    let mut session = database.superuser();
    let partition = session
        .text("SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'activity.events'::regclass")
        .unwrap();
    let guards = "tables that are not append only";
    let security = "tables without row security";
    let policy = "policy of activity_reader";
    for (tampering, item) in [
        (
            "DROP TRIGGER append_only ON activity.events".to_owned(),
            guards,
        ),
        (format!("DROP TRIGGER append_only ON {partition}"), guards),
        (
            format!("ALTER TABLE {partition} DISABLE TRIGGER append_only"),
            guards,
        ),
        (
            "ALTER TABLE activity.events DISABLE TRIGGER append_only".to_owned(),
            guards,
        ),
        // Fires for nobody who sets session_replication_role.
        (
            "ALTER TABLE activity.events ENABLE TRIGGER append_only".to_owned(),
            guards,
        ),
        (
            "ALTER TABLE activity.events DISABLE ROW LEVEL SECURITY".to_owned(),
            security,
        ),
        (
            format!("ALTER TABLE {partition} DISABLE ROW LEVEL SECURITY"),
            security,
        ),
        (
            "DROP POLICY reader_sees_tenant ON activity.events".to_owned(),
            policy,
        ),
    ] {
        assert_eq!(advice_count(&mut session, item), 0, "{item}");
        session.batch_execute(&tampering).unwrap();
        let advice =
            advice(&mut session, item).unwrap_or_else(|| panic!("{tampering} is not seen"));
        assert!(
            advice.contains("activity.setup()") || advice.contains("ENABLE ROW LEVEL SECURITY"),
            "{advice}"
        );
        session.batch_execute("SELECT activity.setup()").unwrap();
        for table in ["activity.events", &partition] {
            session
                .batch_execute(&format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"))
                .unwrap();
        }
        assert_eq!(
            advice_count(&mut session, item),
            0,
            "{tampering} is not mended"
        );
    }
}

/// The advice of the item, if it is not well.
fn advice(session: &mut Session, item: &str) -> Option<String> {
    session
        .query_opt(
            "SELECT advice FROM activity.status() WHERE item = $1 AND ok IS NOT TRUE",
            &[&item],
        )
        .unwrap()
        .map(|row| row.get(0))
}

fn advice_count(session: &mut Session, item: &str) -> i64 {
    let count = "SELECT count(*) FROM activity.status() WHERE item = $1 AND ok IS NOT TRUE";
    session.query_one(count, &[&item]).unwrap().get(0)
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

/// Shows that the log is in use: an action, an event, a page.
fn record_and_list(session: &mut Session) {
    session
        .batch_execute("SELECT activity.register_action('user.created')")
        .unwrap();
    session.batch_execute(&record("user.created")).unwrap();
    let listed = format!("SELECT count(*) FROM activity.list(tenant_id => '{TENANT}')");
    assert_eq!(session.number(&listed), 1);
}
