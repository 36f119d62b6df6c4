//! What a policy that is set again keeps, and whether anything is in its scope.

use super::*;
use activity_log_integration::give_to_server;

#[test]
fn who_changes_how_long_does_not_change_where_it_is_archived() {
    let database = quiet_cluster().database();
    let folder = database
        .cluster()
        .folder()
        .join(format!("kept-{}", database.name()));
    std::fs::create_dir(&folder).unwrap();
    give_to_server(&folder);
    let archive = folder.display().to_string();
    let mut session = database.superuser();
    let policy =
        "SELECT concat_ws(' ', preset, keep, online, archive_to) FROM activity.retention_policies";
    for (arguments, expected) in [
        (
            format!("keep => '2 years', online => '3 months', archive_to => '{archive}'"),
            format!("2 years 3 mons {archive}"),
        ),
        (
            "keep => '3 years'".into(),
            format!("3 years 3 mons {archive}"),
        ),
        (
            "keep => '3 years', online => '1 year'".into(),
            format!("3 years 1 year {archive}"),
        ),
        // What a preset says of it counts.
        (
            "preset => 'hipaa'".into(),
            format!("hipaa 6 years {archive}"),
        ),
        (
            "preset => 'pci'".into(),
            format!("pci 1 year 3 mons {archive}"),
        ),
    ] {
        keep_for(&mut session, &arguments);
        assert_eq!(session.texts(policy), [expected], "{arguments}");
    }
    let told = session.text(
        "SELECT metadata ->> 'archive_to' FROM activity.events WHERE action = 'activity.retention.changed' ORDER BY event_id DESC LIMIT 1",
    );
    assert_eq!(told, Some(archive));
    // A scope of its own begins without, and one that was taken away as well.
    keep_for(
        &mut session,
        &format!("keep => '1 year', tenant_id => '{TENANT_A}'"),
    );
    std::fs::remove_dir(&folder).unwrap();
    keep_for(&mut session, "preset => 'none'");
    keep_for(&mut session, "keep => '1 year'");
    assert_eq!(session.texts(policy), ["1 year", "1 year"]);
}

#[test]
fn a_policy_for_what_nobody_has_registered_is_set_with_a_warning() {
    let mut session = quiet_cluster().database().superuser();
    session
        .batch_execute(
            "SELECT activity.register_action('auth.login.failure', category => 'security')",
        )
        .unwrap();
    for (scope, warns) in [
        ("category => 'secrity'", true),
        ("category => 'security'", false),
        ("action => 'auth.logn.*'", true),
        ("action => 'auth.*'", false),
        ("action => 'auth.login'", true),
        ("action => 'auth.login.failure'", false),
        ("action => 'activity.read.*'", false),
        ("preset => NULL", false),
    ] {
        drop(session.take_notices());
        keep_for(&mut session, &format!("keep => '9 years', {scope}"));
        let warned = session
            .take_notices()
            .iter()
            .any(|notice| notice.message.contains("no registered action"));
        assert_eq!(warned, warns, "{scope}");
    }
    assert_eq!(
        session.number("SELECT count(*) FROM activity.retention_policies"),
        8
    );
}
