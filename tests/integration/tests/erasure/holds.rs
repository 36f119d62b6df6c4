//! What is under legal hold is not erased.

use super::*;

#[test]
fn a_hold_that_covers_any_event_refuses_all_and_is_named() {
    let database = database();
    let mut owner = database.superuser();
    for hold in [
        format!("tenant_id => '{TENANT}'"),
        format!("tenant_id => '{TENANT}', actor_id => '{ACTOR}'"),
        format!("tenant_id => '{TENANT}', object_type => 'note', object_id => 'note-7'"),
        // The hold on somebody else covers what she did to Zoë.
        format!("tenant_id => '{TENANT}', actor_id => 'anna'"),
    ] {
        let id = owner
            .text(&format!(
                "SELECT activity.hold({hold}, reason => 'case 1')::text"
            ))
            .unwrap();
        let before = rows(&mut owner, "true");
        let refusal = expect_error(owner.query(&erase_statement(ACTOR, TENANT), &[]), "55000");
        assert!(refusal.message.contains(&id), "{refusal:?}");
        assert!(!refusal.text().contains(ACTOR), "{refusal:?}");
        assert_eq!(rows(&mut owner, "true"), before, "{hold}");
        let release = format!("SELECT activity.release_hold('{id}', 'done')");
        owner.batch_execute(&release).unwrap();
    }
    assert_eq!(erase(&mut owner), 2);
}

#[test]
fn holds_on_others_do_not_matter() {
    let database = database();
    let mut owner = database.superuser();
    for hold in [
        format!("tenant_id => '{OTHER_TENANT}'"),
        format!("tenant_id => '{TENANT}', actor_id => 'nobody'"),
        format!("tenant_id => '{TENANT}', object_type => 'note', object_id => 'note-8'"),
    ] {
        let place = format!("SELECT activity.hold({hold}, reason => 'case 2')");
        owner.batch_execute(&place).unwrap();
    }
    assert_eq!(erase(&mut owner), 2);
}

#[test]
fn a_released_hold_forgets_whom_it_was_about() {
    let database = database();
    let mut owner = database.superuser();
    let id = owner
        .text(&format!(
            "SELECT activity.hold(tenant_id => '{TENANT}', actor_id => '{ACTOR}', reason => 'she, {ACTOR}, sues')::text"
        ))
        .unwrap();
    owner
        .batch_execute(&format!(
            "SELECT activity.release_hold('{id}', '{ACTOR} gave up')"
        ))
        .unwrap();
    erase(&mut owner);
    for table in ["activity.legal_holds", "activity.events"] {
        let left = format!(
            "SELECT count(*) FROM {table} t WHERE t::text LIKE '%{ACTOR}%' AND t.tenant_id <> '{OTHER_TENANT}'"
        );
        assert_eq!(owner.number(&left), 0, "{table}");
    }
    let placed = event(&mut owner, "action = 'activity.hold.placed'");
    assert_eq!(placed["metadata"]["hold_id"], id.as_str());
}

#[test]
fn a_hold_waits_for_an_erasure_and_an_erasure_for_a_hold() {
    let database = database();
    let mut owner = database.superuser();
    let hold = format!("SELECT activity.hold(tenant_id => '{TENANT}', reason => 'case 3')");
    owner.batch_execute("BEGIN").unwrap();
    erase(&mut owner);
    let mut other = database.superuser();
    other.batch_execute("SET lock_timeout = '100ms'").unwrap();
    expect_error(other.batch_execute(&hold), "55P03");
    owner.batch_execute("ROLLBACK").unwrap();

    other.batch_execute("BEGIN").unwrap();
    other.batch_execute(&hold).unwrap();
    let erasing = std::thread::spawn(move || {
        owner
            .query(&erase_statement(ACTOR, TENANT), &[])
            .map(|_| ())
    });
    std::thread::sleep(std::time::Duration::from_millis(200));
    other.batch_execute("COMMIT").unwrap();
    expect_error(erasing.join().unwrap(), "55000");
}
