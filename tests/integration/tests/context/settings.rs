//! Which values the settings take, before and after the library is loaded.

use super::*;

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
        expect_unknown(&mut session, statement);
    }
    assert_eq!(session.text(CONTEXT).unwrap(), "{}");
}

/// Postgres 14 knows no reserved prefixes: it takes any name after a known one.
#[track_caller]
fn expect_unknown(session: &mut Session, statement: &str) {
    if session.major() < 15 {
        session.batch_execute(statement).unwrap();
    } else {
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
    expect_unknown(session, "SET activity.tenantid = 'x'");
}

/// Who may not set it afterwards must gain nothing by setting it before.
fn policy_set_before_is_not_applied(session: &mut Session) {
    session
        .batch_execute("SET activity.registry = 'off'; SET activity.on_error = 'warn'")
        .unwrap();
    let call = format!("SELECT activity.record('not.registered', tenant_id => '{TENANT_A}')");
    expect_error(session.simple_query(&call), "42704");
}
