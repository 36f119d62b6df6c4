//! The context across transactions, sessions and a pooler: only this file sees when a setting is
//! checked, when it vanishes, and whose it is behind a shared connection.

use activity_log_integration::{
    Cluster, Database, Options, Session, as_server, expect_error, give_to_server,
};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const TENANT_A: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const TENANT_B: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

/// The context as its document.
const CONTEXT: &str = "SELECT activity.context()::text";

fn database() -> Database<'static> {
    let database = Cluster::shared().database();
    let register = "SELECT activity.register_action('user.created')";
    database.superuser().batch_execute(register).unwrap();
    database
}

fn writer(database: &Database<'_>) -> Session {
    database.connect_as(&database.create_login(&["activity_writer"]))
}

fn tenant(session: &mut Session) -> Option<String> {
    session.text("SELECT activity.context() ->> 'tenant_id'")
}

// --- what SET accepts --------------------------------------------------------------------------

#[test]
fn a_bad_value_is_refused_where_it_is_set_and_not_repeated() {
    let database = database();
    let mut session = writer(&database);
    let bad = [
        ("activity.tenant_id", "tenant-with-secret"),
        ("activity.tenant_id", "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa"),
        ("activity.client_ip", "secret.example.org"),
        ("activity.client_ip", "192.0.2.999"),
        ("activity.client_ip", "192.0.2.0/24"),
    ];
    for (setting, value) in bad {
        for statement in [
            format!("SET {setting} = '{value}'"),
            format!("SET LOCAL {setting} = '{value}'"),
            format!("SELECT set_config('{setting}', '{value}', false)"),
            format!("ALTER ROLE CURRENT_USER SET {setting} = '{value}'"),
        ] {
            let refusal = expect_error(session.simple_query(&statement), "22023");
            assert!(refusal.message.contains(setting), "{refusal:?}");
            assert!(!refusal.text().contains(value), "{refusal:?}");
        }
    }
    assert_eq!(session.text(CONTEXT).unwrap(), "{}");
}

#[test]
fn a_bad_value_at_connection_is_refused() {
    let database = database();
    let mut config = database.config("postgres");
    let refused = config
        .options("-c activity.tenant_id=nonsense")
        .connect(postgres::NoTls);
    expect_error(refused, "22023");
    let good = config
        .options(&format!("-c activity.tenant_id={TENANT_A}"))
        .clone();
    assert_eq!(tenant(&mut Session::open(good)).as_deref(), Some(TENANT_A));
}

#[test]
fn a_mistyped_setting_is_refused() {
    let mut session = writer(&database());
    for statement in [
        "SET activity.tenantid = 'x'",
        "SELECT set_config('activity.actor', 'x', true)",
    ] {
        expect_error(session.simple_query(statement), "42602");
    }
}

#[test]
fn settings_of_policy_are_for_superusers() {
    let mut session = writer(&database());
    for setting in [
        "activity.registry = off",
        "activity.on_error = warn",
        "activity.require_pin = off",
        "activity.redact_addresses = off",
        "activity.redact_keys = ''",
        "activity.max_metadata_size = 1000000",
    ] {
        expect_error(session.simple_query(&format!("SET {setting}")), "42501");
    }
    expect_error(session.simple_query("SHOW activity.key_file"), "42501");
}

// --- before the library is loaded --------------------------------------------------------------

#[test]
fn before_the_library_is_loaded_a_bad_value_is_dropped_with_a_warning() {
    let cluster = Cluster::start(&Options {
        preload: false,
        settings: &[],
    });
    let database = cluster.database();
    database
        .superuser()
        .batch_execute("SELECT activity.register_action('user.created')")
        .unwrap();

    let mut session = writer(&database);
    session
        .batch_execute("SET activity.tenant_id = 'nonsense'; SET activity.actor_id = 'u1'")
        .unwrap();
    let refusal = expect_error(
        session.simple_query("SELECT activity.record('user.created')"),
        "22004",
    );
    assert!(refusal.message.contains("no tenant"), "{refusal:?}");
    let warnings = session.take_notices();
    assert!(
        warnings
            .iter()
            .any(|w| w.message.contains("activity.tenant_id")),
        "{warnings:?}"
    );
    assert!(
        warnings.iter().all(|w| !w.message.contains("nonsense")),
        "{warnings:?}"
    );
    assert_eq!(
        session.text(CONTEXT).unwrap(),
        r#"{"actor_id": "u1"}"#,
        "a good value is kept"
    );
    expect_error(
        session.simple_query("SET activity.tenant_id = 'nonsense'"),
        "22023",
    );

    a_mistyped_placeholder_is_dropped(&mut writer(&database));
    policy_set_before_is_not_applied(&mut writer(&database));
}

fn a_mistyped_placeholder_is_dropped(session: &mut Session) {
    session
        .batch_execute("SET activity.tenantid = 'x'")
        .unwrap();
    assert_eq!(session.text(CONTEXT).unwrap(), "{}");
    let warnings = session.take_notices();
    assert!(
        warnings
            .iter()
            .any(|w| w.message.contains("activity.tenantid")),
        "{warnings:?}"
    );
    expect_error(session.simple_query("SET activity.tenantid = 'x'"), "42602");
}

/// Who may not set it afterwards must gain nothing by setting it before.
fn policy_set_before_is_not_applied(session: &mut Session) {
    session
        .batch_execute("SET activity.registry = 'off'; SET activity.on_error = 'warn'")
        .unwrap();
    let call = format!("SELECT activity.record('not.registered', tenant_id => '{TENANT_A}')");
    expect_error(session.simple_query(&call), "42704");
}

// --- how long it lasts -------------------------------------------------------------------------

#[test]
fn a_local_context_ends_with_its_transaction() {
    let mut session = writer(&database());
    for (begin, end) in [
        (
            format!("SELECT activity.set_context('{TENANT_A}', 'u1')"),
            "COMMIT",
        ),
        (
            format!("SELECT activity.set_context('{TENANT_A}', 'u1')"),
            "ROLLBACK",
        ),
        (
            format!("SET LOCAL activity.tenant_id = '{TENANT_A}'"),
            "COMMIT",
        ),
        (
            format!("SET LOCAL activity.tenant_id = '{TENANT_A}'"),
            "ROLLBACK",
        ),
    ] {
        session.batch_execute("BEGIN").unwrap();
        session.batch_execute(&begin).unwrap();
        assert_eq!(tenant(&mut session).as_deref(), Some(TENANT_A));
        session
            .batch_execute("SELECT activity.record('user.created')")
            .unwrap();
        session.batch_execute(end).unwrap();
        assert_eq!(session.text(CONTEXT).unwrap(), "{}");
        let refusal = expect_error(
            session.simple_query("SELECT activity.record('user.created')"),
            "22004",
        );
        assert!(refusal.hint.contains("one transaction"), "{refusal:?}");
    }
}

#[test]
fn a_savepoint_brings_back_the_context_that_it_found() {
    let mut session = writer(&database());
    session
        .batch_execute(&format!(
            "BEGIN; SELECT activity.set_context('{TENANT_A}', 'u1');
             SAVEPOINT s; SELECT activity.set_context('{TENANT_B}')"
        ))
        .unwrap();
    assert_eq!(
        session.text(CONTEXT).unwrap(),
        format!(r#"{{"tenant_id": "{TENANT_B}"}}"#)
    );
    session.batch_execute("ROLLBACK TO s").unwrap();
    let before = format!(r#"{{"actor_id": "u1", "tenant_id": "{TENANT_A}"}}"#);
    assert_eq!(session.text(CONTEXT).unwrap(), before);
    session
        .batch_execute("SAVEPOINT t; SELECT activity.clear_context(); ROLLBACK TO t")
        .unwrap();
    assert_eq!(session.text(CONTEXT).unwrap(), before);
    session.batch_execute("COMMIT").unwrap();
    assert_eq!(session.text(CONTEXT).unwrap(), "{}");
}

#[test]
fn a_context_of_the_session_stays_until_it_is_cleared() {
    let mut session = writer(&database());
    let set = format!("SELECT activity.set_context('{TENANT_A}', is_local => false)");
    session
        .batch_execute(&format!("BEGIN; {set}; ROLLBACK"))
        .unwrap();
    assert_eq!(
        tenant(&mut session),
        None,
        "set in a transaction that did not happen"
    );
    session.batch_execute(&set).unwrap();
    session.batch_execute("BEGIN; COMMIT").unwrap();
    assert_eq!(tenant(&mut session).as_deref(), Some(TENANT_A));
    session
        .batch_execute(&format!(
            "BEGIN; SELECT activity.set_context('{TENANT_B}'); COMMIT"
        ))
        .unwrap();
    assert_eq!(
        tenant(&mut session).as_deref(),
        Some(TENANT_A),
        "back to that of the session"
    );
    session
        .batch_execute("SELECT activity.clear_context()")
        .unwrap();
    assert_eq!(session.text(CONTEXT).unwrap(), "{}");
    assert!(session.take_notices().is_empty());
}

#[test]
fn clearing_takes_the_local_context_away_too() {
    let mut session = writer(&database());
    session
        .batch_execute(&format!(
            "SELECT activity.set_context('{TENANT_A}', is_local => false);
             BEGIN; SELECT activity.set_context('{TENANT_B}', 'u1'); SELECT activity.clear_context()"
        ))
        .unwrap();
    assert_eq!(session.text(CONTEXT).unwrap(), "{}");
    session.batch_execute("COMMIT").unwrap();
    assert_eq!(session.text(CONTEXT).unwrap(), "{}");
}

#[test]
fn setting_the_context_replaces_all_of_it() {
    let mut session = writer(&database());
    let set = format!(
        "SELECT activity.set_context(tenant_id => '{TENANT_A}', actor_id => 'u1', actor_type => 'user',
         client_ip => '2001:db8::1', user_agent => 'curl/8', request_id => 'r1', is_local => false)::text"
    );
    assert_eq!(
        session.text(&set).as_deref(),
        Some(TENANT_A),
        "it returns the tenant"
    );
    let all = format!(
        r#"{{"actor_id": "u1", "client_ip": "2001:db8::1", "tenant_id": "{TENANT_A}", "actor_type": "user", "request_id": "r1", "user_agent": "curl/8"}}"#
    );
    assert_eq!(session.text(CONTEXT).unwrap(), all);
    session
        .batch_execute("SELECT activity.set_context(actor_id => 'u2', is_local => false)")
        .unwrap();
    assert_eq!(session.text(CONTEXT).unwrap(), r#"{"actor_id": "u2"}"#);
    assert_eq!(
        session.text("SELECT activity.set_context(is_local => false)::text"),
        None
    );
    assert_eq!(session.text(CONTEXT).unwrap(), "{}");
}

#[test]
fn null_and_empty_mean_unset() {
    let mut session = writer(&database());
    for statement in [
        "SELECT activity.set_context(NULL, NULL, NULL, NULL, NULL, NULL, false)",
        "SELECT activity.set_context(NULL, '', '', NULL, '', '', false)",
        "SET activity.tenant_id = ''; SET activity.client_ip = ''; SET activity.actor_id = ''",
        "SET activity.tenant_id = DEFAULT",
        "RESET activity.client_ip",
        "RESET ALL",
    ] {
        session.batch_execute(statement).unwrap();
        assert_eq!(session.text(CONTEXT).unwrap(), "{}", "{statement}");
    }
    expect_error(
        session.simple_query("SELECT activity.record('user.created')"),
        "22004",
    );
    // An explicit NULL for is_local means its default.
    session
        .batch_execute(
            "BEGIN; SELECT activity.set_context(actor_id => 'u1', is_local => NULL); COMMIT",
        )
        .unwrap();
    assert_eq!(session.text(CONTEXT).unwrap(), "{}");
}

#[test]
fn a_local_context_outside_a_transaction_warns_unless_the_statement_uses_it() {
    let mut session = writer(&database());
    session
        .batch_execute(&format!("SELECT activity.set_context('{TENANT_A}')"))
        .unwrap();
    let warnings = session.take_notices();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(
        (&*warnings[0].severity, &*warnings[0].sqlstate),
        ("WARNING", "25P01")
    );
    assert_eq!(tenant(&mut session), None);

    for statement in [
        format!("SELECT activity.record('user.created') FROM activity.set_context('{TENANT_A}')"),
        format!("SELECT activity.set_context('{TENANT_A}', is_local => false)"),
        format!("BEGIN; SELECT activity.set_context('{TENANT_A}'); COMMIT"),
        format!(
            "DO $$ BEGIN PERFORM activity.set_context('{TENANT_A}'); PERFORM activity.record('user.created'); END $$"
        ),
    ] {
        session.batch_execute(&statement).unwrap();
        assert!(session.take_notices().is_empty(), "{statement}");
    }
    let recorded = "SELECT count(*) FROM activity.events WHERE action = 'user.created'";
    assert!(
        session.simple_query(recorded).is_err(),
        "a writer does not read"
    );
}

// --- behind a transaction pooler ---------------------------------------------------------------

/// A PgBouncer with one server connection for all its clients.
struct Pooler {
    process: Child,
    folder: PathBuf,
}

impl Pooler {
    fn start(database: &Database<'_>, role: &str) -> Self {
        let cluster = database.cluster();
        let folder = cluster.folder().join(format!("pooler-{}", database.name()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("users.txt"), format!("\"{role}\" \"\"\n")).unwrap();
        let settings = format!(
            "[databases]\n{name} = host={socket} user={role}\n[pgbouncer]\npool_mode = transaction\n\
             default_pool_size = 1\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {folder}\n\
             auth_type = trust\nauth_file = {folder}/users.txt\n",
            name = database.name(),
            socket = cluster.folder().display(),
            folder = folder.display(),
        );
        std::fs::write(folder.join("pgbouncer.ini"), settings).unwrap();
        give_to_server(&folder);
        let mut command = as_server(pgbouncer());
        command.arg("-q").arg(folder.join("pgbouncer.ini"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let pooler = Self { process, folder };
        pooler.wait();
        pooler
    }

    fn wait(&self) {
        let socket = self.folder.join(".s.PGSQL.6432");
        for _ in 0..500 {
            if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("pgbouncer does not answer at {}", socket.display());
    }

    fn connect(&self, database: &Database<'_>, role: &str) -> Session {
        let mut config = postgres::Config::new();
        config
            .host_path(&self.folder)
            .port(6432)
            .user(role)
            .dbname(database.name());
        Session::open(config)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pgbouncer() -> PathBuf {
    let debian = Path::new("/usr/sbin/pgbouncer");
    if debian.exists() {
        debian.to_owned()
    } else {
        PathBuf::from("pgbouncer")
    }
}

fn has_pgbouncer() -> bool {
    let found = Command::new(pgbouncer()).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: pgbouncer is not installed");
    }
    found
}

/// The first value of the last row that a simple query gives. A transaction pooler keeps no
/// prepared statements.
fn simple(session: &mut Session, query: &str) -> Option<String> {
    let messages = session.simple_query(query).unwrap();
    let value = messages.iter().rev().find_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
        _ => None,
    });
    value.flatten()
}

#[test]
fn clients_of_a_transaction_pooler_do_not_see_each_others_context() {
    if !has_pgbouncer() {
        return;
    }
    let database = database();
    let role = database.create_login(&["activity_writer"]);
    let pooler = Pooler::start(&database, &role);
    let mut one = pooler.connect(&database, &role);
    let mut other = pooler.connect(&database, &role);
    let backend = "SELECT pg_backend_pid()";
    assert_eq!(
        simple(&mut one, backend),
        simple(&mut other, backend),
        "they share a connection"
    );

    let set = format!("BEGIN; SELECT activity.set_context('{TENANT_A}', 'u1')");
    one.batch_execute(&format!(
        "{set}; SELECT activity.record('user.created'); COMMIT"
    ))
    .unwrap();
    assert_eq!(simple(&mut other, CONTEXT).unwrap(), "{}");
    assert_eq!(simple(&mut one, CONTEXT).unwrap(), "{}");
    expect_error(
        other.simple_query("SELECT activity.record('user.created')"),
        "22004",
    );

    one.batch_execute(&format!("{set}; ROLLBACK")).unwrap();
    assert_eq!(simple(&mut other, CONTEXT).unwrap(), "{}");

    // A client that goes away in the middle of its transaction takes its context along.
    one.batch_execute(&set).unwrap();
    drop(one);
    assert_eq!(simple(&mut other, CONTEXT).unwrap(), "{}");
}

#[test]
fn concurrent_clients_of_a_transaction_pooler_record_for_their_own_tenant() {
    if !has_pgbouncer() {
        return;
    }
    const EACH: usize = 100;
    let database = database();
    let role = database.create_login(&["activity_writer"]);
    let pooler = Pooler::start(&database, &role);
    std::thread::scope(|scope| {
        for tenant in [TENANT_A, TENANT_B] {
            let mut session = pooler.connect(&database, &role);
            scope.spawn(move || {
                let set = format!("SELECT activity.set_context('{tenant}', '{tenant}')");
                for _ in 0..EACH {
                    session.batch_execute("BEGIN").unwrap();
                    session.batch_execute(&set).unwrap();
                    session
                        .batch_execute("SELECT activity.record('user.created')")
                        .unwrap();
                    session.batch_execute("COMMIT").unwrap();
                }
            });
        }
    });
    let mut owner = database.superuser();
    let own = format!(
        "SELECT count(*) FROM activity.events WHERE actor_id = tenant_id::text AND db_role = '{role}'"
    );
    assert_eq!(owner.number(&own), 2 * EACH as i64);
    let all = "SELECT count(*) FROM activity.events WHERE action = 'user.created'";
    assert_eq!(owner.number(all), 2 * EACH as i64);
}

#[test]
fn a_context_of_the_session_leaks_through_a_transaction_pooler_as_documented() {
    if !has_pgbouncer() {
        return;
    }
    let database = database();
    let role = database.create_login(&["activity_writer"]);
    let pooler = Pooler::start(&database, &role);
    let mut one = pooler.connect(&database, &role);
    let mut other = pooler.connect(&database, &role);
    let set = format!("SELECT activity.set_context('{TENANT_A}', is_local => false)");
    one.batch_execute(&set).unwrap();
    let seen = simple(&mut other, CONTEXT).unwrap();
    assert!(
        seen.contains(TENANT_A),
        "the reason why is_local is the default: {seen}"
    );
    other
        .batch_execute("SELECT activity.clear_context()")
        .unwrap();
    assert_eq!(simple(&mut one, CONTEXT).unwrap(), "{}");
}

// --- client_ip() -------------------------------------------------------------------------------

/// X-Forwarded-For, X-Real-IP, peer, trusted proxies, and the client that they make.
type Hops = (
    Option<&'static str>,
    Option<&'static str>,
    Option<&'static str>,
    &'static [&'static str],
    Option<&'static str>,
);

const HOPS: [Hops; 18] = [
    // Nothing said, nothing known.
    (None, None, None, &[], None),
    (
        Some(""),
        Some(""),
        Some("203.0.113.9"),
        &[],
        Some("203.0.113.9"),
    ),
    // The peer is no proxy: what it says about others does not count.
    (
        Some("198.51.100.1"),
        Some("198.51.100.2"),
        Some("203.0.113.9"),
        &["10.0.0.0/8"],
        Some("203.0.113.9"),
    ),
    // One trusted proxy.
    (
        Some("198.51.100.1"),
        None,
        Some("10.0.0.1"),
        &["10.0.0.0/8"],
        Some("198.51.100.1"),
    ),
    // A chain of trusted proxies is read from the right.
    (
        Some("198.51.100.1, 10.0.0.3, 10.0.0.2"),
        None,
        Some("10.0.0.1"),
        &["10.0.0.0/8"],
        Some("198.51.100.1"),
    ),
    // The client wrote the left entry itself.
    (
        Some("192.0.2.66, 198.51.100.1"),
        None,
        Some("10.0.0.1"),
        &["10.0.0.0/8"],
        Some("198.51.100.1"),
    ),
    (
        Some("10.0.0.9, 198.51.100.1"),
        None,
        Some("10.0.0.1"),
        &["10.0.0.0/8"],
        Some("198.51.100.1"),
    ),
    (
        Some("127.0.0.1, 192.0.2.66, 198.51.100.1, 10.0.0.2"),
        None,
        Some("10.0.0.1"),
        &["10.0.0.0/8"],
        Some("198.51.100.1"),
    ),
    // Ports, brackets, white space.
    (
        Some("198.51.100.1:4711"),
        None,
        Some("10.0.0.1"),
        &["10.0.0.0/8"],
        Some("198.51.100.1"),
    ),
    (
        Some(" [2001:db8::1]:4711 "),
        None,
        Some("10.0.0.1"),
        &["10.0.0.0/8"],
        Some("2001:db8::1"),
    ),
    (
        Some("[2001:db8::1]"),
        None,
        Some("10.0.0.1"),
        &["10.0.0.0/8"],
        Some("2001:db8::1"),
    ),
    (
        Some("2001:db8::1"),
        None,
        Some("10.0.0.1"),
        &["10.0.0.0/8"],
        Some("2001:db8::1"),
    ),
    // Proxies of both families, and single addresses in the list.
    (
        Some("2001:db8::1, 2001:db8:ffff::2"),
        None,
        Some("10.0.0.1"),
        &["10.0.0.1", "2001:db8:ffff::/48"],
        Some("2001:db8::1"),
    ),
    // X-Real-IP where there is no chain.
    (
        None,
        Some("198.51.100.2"),
        Some("10.0.0.1"),
        &["10.0.0.0/8"],
        Some("198.51.100.2"),
    ),
    // Everything is a proxy: the outermost of them.
    (
        Some("10.0.0.3, 10.0.0.2"),
        None,
        Some("10.0.0.1"),
        &["10.0.0.0/8"],
        Some("10.0.0.3"),
    ),
    // No peer: the application already knows that it is behind a proxy.
    (Some("198.51.100.1"), None, None, &[], Some("198.51.100.1")),
    // Garbage says nothing; what is nearer than it counts.
    (
        Some("unknown"),
        None,
        Some("10.0.0.1"),
        &["10.0.0.0/8"],
        Some("10.0.0.1"),
    ),
    (
        Some("198.51.100.1, '; DROP TABLE x, 10.0.0.2"),
        None,
        Some("10.0.0.1"),
        &["10.0.0.0/8"],
        Some("10.0.0.2"),
    ),
];

#[test]
fn the_client_is_picked_from_the_headers_of_trusted_proxies_only() {
    let mut session = writer(&database());
    for (forwarded_for, real_ip, peer, trusted, client) in HOPS {
        let trusted: Vec<&str> = trusted.to_vec();
        let picked: Option<String> = session
            .query_one(
                "SELECT host(activity.client_ip($1, $2, $3::text::inet, $4))",
                &[&forwarded_for, &real_ip, &peer, &trusted],
            )
            .unwrap()
            .get(0);
        assert_eq!(
            picked.as_deref(),
            client,
            "{forwarded_for:?} {real_ip:?} {peer:?} {trusted:?}"
        );
    }
}

#[test]
fn a_bad_list_of_trusted_proxies_is_refused() {
    let mut session = writer(&database());
    for bad in [
        "ARRAY['10.0.0.0/33']",
        "ARRAY['proxy.example.org']",
        "ARRAY['10.0.0.0/8', '']",
    ] {
        let call = format!("SELECT activity.client_ip('198.51.100.1', NULL, '10.0.0.1', {bad})");
        let refusal = expect_error(session.simple_query(&call), "22023");
        assert!(refusal.message.contains("trusted_proxies"), "{refusal:?}");
        assert!(!refusal.text().contains("proxy.example.org"), "{refusal:?}");
    }
    session
        .batch_execute(
            "SELECT activity.client_ip('198.51.100.1', trusted_proxies => ARRAY[NULL]::text[])",
        )
        .unwrap();
}
