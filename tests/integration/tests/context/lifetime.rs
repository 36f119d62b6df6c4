//! How long a context lasts, and what replaces it.

use super::*;

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
