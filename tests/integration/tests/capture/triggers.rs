//! Triggers of capture that somebody made, renamed or pointed at another table: none adds an event,
//! and what is missing is told and comes back.

use crate::captured::{LEVELS, attach, count, log};
use activity_log_integration::expect_error;

#[test]
fn a_trigger_of_somebody_s_own_adds_no_event() {
    let database = log();
    // Whoever may use the schema can name the function that partitions inherit.
    let owner = database.create_login(&["activity_reader"]);
    let mut admin = database.superuser();
    admin
        .batch_execute(&format!("CREATE SCHEMA shop AUTHORIZATION {owner}"))
        .unwrap();
    let mut session = database.connect_as(&owner);
    session
        .batch_execute("CREATE TABLE shop.item (id int PRIMARY KEY); CREATE TABLE shop.fake (id int PRIMARY KEY)")
        .unwrap();
    attach(&mut admin, "shop.item", ", level => 'row'");
    let capture = admin
        .text("SELECT capture_id::text FROM activity.captures")
        .unwrap();
    let trigger = |name: &str, table: &str| {
        format!(
            "CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW
             EXECUTE FUNCTION activity._capture_row('{capture}')"
        )
    };
    session
        .batch_execute(&trigger("\"!a\"", "shop.item"))
        .unwrap();
    session.batch_execute(&trigger("z", "shop.item")).unwrap();
    session.batch_execute(&trigger("z", "shop.fake")).unwrap();
    session
        .batch_execute("INSERT INTO shop.item VALUES (1); INSERT INTO shop.fake VALUES (2)")
        .unwrap();
    // A table that takes the captured one's name is not the captured one.
    session
        .batch_execute("SET activity.tenant_id = '11111111-1111-4111-8111-111111111111'; ALTER TABLE shop.item RENAME TO other; ALTER TABLE shop.fake RENAME TO item; INSERT INTO shop.item VALUES (3)")
        .unwrap();
    assert_eq!(
        admin.texts("SELECT object_id FROM activity.events WHERE source = 'capture'"),
        ["1"]
    );
}

#[test]
fn a_renamed_trigger_captures_nothing_is_told_and_comes_back_once() {
    for level in LEVELS {
        let database = log();
        let mut admin = database.superuser();
        admin
            .batch_execute("CREATE TABLE item (id int PRIMARY KEY)")
            .unwrap();
        attach(&mut admin, "item", &format!(", level => '{level}'"));
        let kind = if level == "row" { "row" } else { "insert" };
        admin
            .batch_execute(&format!(
                "ALTER TRIGGER \"!activity_capture_{kind}\" ON item RENAME TO zzz; INSERT INTO item VALUES (1);
                 SELECT activity.setup(); INSERT INTO item VALUES (2)"
            ))
            .unwrap();
        assert_eq!(
            admin.texts("SELECT object_id FROM activity.events WHERE source = 'capture'"),
            ["2"]
        );
        assert_eq!(
            admin.number(
                "SELECT count(*) FROM activity.events WHERE action = 'activity.capture.tampered'"
            ),
            1
        );
        assert_eq!(
            admin.number("SELECT count(*) FROM pg_trigger WHERE tgname = 'zzz'"),
            0
        );
    }
}

#[test]
fn nobody_points_the_trigger_of_capture_at_a_table_of_his_own() {
    for level in LEVELS {
        let database = log();
        let mut admin = database.superuser();
        admin
            .batch_execute("CREATE TABLE item (id int PRIMARY KEY, n int)")
            .unwrap();
        attach(&mut admin, "item", &format!(", level => '{level}'"));
        let triggers = admin.texts(
            "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'item'::regclass AND NOT tgisinternal",
        );
        assert!(!triggers.is_empty());
        let attacker = database.create_login(&["activity_writer"]);
        admin
            .batch_execute(&format!("CREATE SCHEMA evil AUTHORIZATION {attacker}"))
            .unwrap();
        let mut session = database.connect_as(&attacker);
        session
            .batch_execute("CREATE TABLE evil.item (id int PRIMARY KEY, n int)")
            .unwrap();
        for trigger in &triggers {
            let forged = trigger.replace(" ON public.item ", " ON evil.item ");
            assert_ne!(&forged, trigger);
            let made = session.batch_execute(&forged);
            // The row trigger is what Postgres clones for whoever makes a partition.
            if !forged.contains("_capture_row(") {
                expect_error(made, "42501");
                continue;
            }
            made.unwrap();
            session
                .batch_execute("INSERT INTO evil.item VALUES (666, 666); DELETE FROM evil.item; DROP TRIGGER \"!activity_capture_row\" ON evil.item")
                .unwrap();
        }
        // A superuser's mistake writes nothing in the other table's name either.
        for trigger in &triggers {
            admin
                .batch_execute(&trigger.replace(" ON public.item ", " ON evil.item "))
                .unwrap();
        }
        let _ = session.batch_execute("INSERT INTO evil.item VALUES (666, 666)");
        assert_eq!(
            count(&mut admin, "object_id = '666'"),
            0,
            "at {level} level"
        );
    }
}

#[test]
fn a_trigger_that_somebody_made_neither_moves_nor_holds_up_a_capture() {
    for level in LEVELS {
        let database = log();
        let attacker = database.create_login(&["activity_writer"]);
        let mut admin = database.superuser();
        admin
            .batch_execute(&format!(
                "CREATE TABLE item (id int PRIMARY KEY, n int);
                 CREATE SCHEMA evil AUTHORIZATION {attacker}"
            ))
            .unwrap();
        attach(&mut admin, "item", &format!(", level => '{level}'"));
        let trigger = admin
            .text(
                "SELECT pg_get_triggerdef(oid) FROM pg_trigger \
             WHERE tgrelid = 'item'::regclass AND tgname = '!activity_capture_row'",
            )
            .unwrap();
        let mut session = database.connect_as(&attacker);
        session
            .batch_execute(&format!(
                "CREATE TABLE evil.item (id int PRIMARY KEY, n int); {}",
                trigger.replace(" ON public.item ", " ON evil.item ")
            ))
            .unwrap();
        session
            .batch_execute("BEGIN; INSERT INTO evil.item VALUES (666, 666)")
            .unwrap();
        // The capture stays with its table, which has lost its triggers, and gets them back while
        // the other table is in use.
        admin
            .batch_execute(
                "DO $$ DECLARE t record; BEGIN
                     FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'item'::regclass AND tgname LIKE '!activity%' LOOP
                         EXECUTE format('DROP TRIGGER %I ON item', t.tgname);
                     END LOOP;
                 END $$;
                 SET lock_timeout = '2s'; SELECT activity.setup()",
            )
            .unwrap();
        assert_eq!(
            admin.texts("SELECT schema_name || ' ' || state FROM activity.coverage() WHERE table_name = 'item' ORDER BY 1"),
            ["evil orphan trigger", "public active"],
            "at {level} level"
        );
        admin
            .batch_execute("SELECT activity.detach('item')")
            .unwrap();
        session.batch_execute("COMMIT").unwrap();
        assert_eq!(count(&mut admin, "object_id = '666'"), 0);
    }
}

#[test]
fn an_owner_gets_no_second_event_and_no_later_one_from_a_trigger_of_his_own() {
    let database = log();
    let owner = database.create_login(&["activity_writer"]);
    let mut admin = database.superuser();
    admin
        .batch_execute(&format!(
            "CREATE TABLE item (id int PRIMARY KEY, n int); ALTER TABLE item OWNER TO {owner}"
        ))
        .unwrap();
    attach(&mut admin, "item", ", level => 'row'");
    let id = admin
        .text("SELECT capture_id::text FROM activity.captures")
        .unwrap();
    let mut session = database.connect_as(&owner);
    session
        .batch_execute(&format!(
            "CREATE TRIGGER twice AFTER INSERT OR UPDATE OR DELETE ON item FOR EACH ROW
                 EXECUTE FUNCTION activity._capture_row('{id}');
             INSERT INTO item VALUES (1, 1); DROP TRIGGER IF EXISTS twice ON item"
        ))
        .unwrap();
    assert_eq!(count(&mut admin, "object_id = '1'"), 1);
    // One that is deferred would log changes in another order.
    session
        .batch_execute(&format!(
            r#"DROP TRIGGER "!activity_capture_row" ON item;
               CREATE CONSTRAINT TRIGGER "!activity_capture_row" AFTER INSERT OR UPDATE OR DELETE ON item
                   DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION activity._capture_row('{id}');
               ALTER TABLE item ENABLE ALWAYS TRIGGER "!activity_capture_row""#
        ))
        .unwrap();
    let state =
        "SELECT state || ' ' || captured FROM activity.coverage() WHERE table_name = 'item'";
    assert_eq!(admin.texts(state), ["partly disabled false"]);
    admin.batch_execute("SELECT activity.setup()").unwrap();
    assert_eq!(admin.texts(state), ["active true"]);
    assert_eq!(
        admin.texts(
            "SELECT tgconstraint::text FROM pg_trigger WHERE tgname = '!activity_capture_row'"
        ),
        ["0"]
    );
}

#[test]
fn the_functions_of_the_triggers_are_no_functions_for_callers() {
    let database = log();
    let mut admin = database.superuser();
    admin
        .batch_execute("CREATE TABLE item (id int PRIMARY KEY)")
        .unwrap();
    attach(&mut admin, "item", "");
    let functions = admin.texts(
        "SELECT DISTINCT tgfoid::regproc::text FROM pg_trigger WHERE tgrelid = 'item'::regclass AND NOT tgisinternal",
    );
    let login = database.create_login(&["activity_admin"]);
    let mut session = database.connect_as(&login);
    for function in functions {
        let call = format!("SELECT {function}()");
        let refused = session.batch_execute(&call).unwrap_err();
        let code = refused.code().unwrap().code().to_owned();
        // The row trigger is what Postgres clones for whoever makes a partition.
        let expected = if function.ends_with("_capture_row") {
            ["0A000", "39P01"]
        } else {
            ["0A000", "42501"]
        };
        assert!(expected.contains(&code.as_str()), "{call}: {refused:?}");
        let refused = admin.batch_execute(&call).unwrap_err();
        let code = refused.code().unwrap().code().to_owned();
        assert!(
            ["0A000", "39P01"].contains(&code.as_str()),
            "{call}: {refused:?}"
        );
    }
}
