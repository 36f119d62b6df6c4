//! What an administrator adds to the log's tables takes effect, for single events and batches:
//! the direct writer leaves such tables to the executor. Triggers run as the log's owner with
//! `search_path` pinned to pg_catalog, so they name their tables with the schema.

use super::{TENANT, log, noted, objects, record};
use activity_log_integration::{Session, expect_error};
use serde_json::json;

const MIRROR: &str = "
    CREATE TABLE mirror (object_id text);
    CREATE FUNCTION mirror() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO public.mirror VALUES (NEW.object_id);
        RETURN NEW;
    END $$;";

fn live_partition(session: &mut Session) -> String {
    session
        .text("SELECT tableoid::regclass::text FROM activity.events ORDER BY recorded_at DESC LIMIT 1")
        .unwrap()
}

fn noted_in_batch(session: &mut Session, objects: [&str; 2]) -> Result<u64, postgres::Error> {
    let events = objects
        .map(|object| json!({"action": "thing.noted", "tenant_id": TENANT, "object_id": object}));
    session.execute("SELECT * FROM activity.record_many($1)", &[&json!(events)])
}

#[test]
fn a_trigger_fires_from_the_next_event_of_any_session_on_until_it_is_dropped() {
    let database = log();
    let (mut admin, mut writer) = (database.superuser(), database.superuser());
    let partition = live_partition(&mut admin);
    admin.batch_execute(MIRROR).unwrap();
    for (index, target) in ["activity.events", &partition].into_iter().enumerate() {
        noted(&mut writer, "unseen");
        admin
            .batch_execute(&format!(
                "CREATE TRIGGER mirror AFTER INSERT ON {target} FOR EACH ROW EXECUTE FUNCTION mirror()"
            ))
            .unwrap();
        noted(&mut writer, &format!("single {index}"));
        noted_in_batch(&mut writer, ["batch a", "batch b"]).unwrap();
        admin
            .batch_execute(&format!("DROP TRIGGER mirror ON {target}"))
            .unwrap();
        noted(&mut writer, "unseen");
    }
    let seen = admin.texts("SELECT object_id FROM mirror");
    assert_eq!(
        seen,
        [
            "single 0", "batch a", "batch b", "single 1", "batch a", "batch b"
        ]
    );
    assert_eq!(objects(&mut admin).len(), 10);
}

#[test]
fn a_trigger_made_in_the_writers_own_transaction_fires_and_goes_with_it() {
    let database = log();
    let mut session = database.superuser();
    session.batch_execute(MIRROR).unwrap();
    noted(&mut session, "before");
    session
        .batch_execute("BEGIN; CREATE TRIGGER mirror AFTER INSERT ON activity.events FOR EACH ROW EXECUTE FUNCTION mirror()")
        .unwrap();
    noted(&mut session, "inside");
    assert_eq!(session.texts("SELECT object_id FROM mirror"), ["inside"]);
    session.batch_execute("ROLLBACK").unwrap();
    noted(&mut session, "after");
    assert_eq!(session.number("SELECT count(*) FROM mirror"), 0);
}

#[test]
fn a_trigger_may_change_what_is_stored() {
    let database = log();
    let mut session = database.superuser();
    session
        .batch_execute(
            "CREATE FUNCTION blank() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN NEW.user_agent := 'blanked'; RETURN NEW; END $$;
             CREATE TRIGGER blank BEFORE INSERT ON activity.events FOR EACH ROW EXECUTE FUNCTION blank()",
        )
        .unwrap();
    record(&mut session, "user_agent => 'browser/1.0'").unwrap();
    noted_in_batch(&mut session, ["a", "b"]).unwrap();
    let agents =
        session.texts("SELECT user_agent FROM activity.events WHERE action = 'thing.noted'");
    assert_eq!(agents, ["blanked"; 3]);
}

#[test]
fn a_statement_trigger_sees_all_rows_of_the_log() {
    let database = log();
    let mut session = database.superuser();
    session
        .batch_execute(
            "CREATE TABLE mirror (object_id text);
             CREATE FUNCTION mirror() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN INSERT INTO public.mirror SELECT object_id FROM new_rows; RETURN NULL; END $$;
             CREATE TRIGGER mirror AFTER INSERT ON activity.events
                 REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION mirror()",
        )
        .unwrap();
    noted(&mut session, "single");
    noted_in_batch(&mut session, ["batch a", "batch b"]).unwrap();
    assert_eq!(
        session.texts("SELECT object_id FROM mirror"),
        ["single", "batch a", "batch b"]
    );
}

#[test]
fn a_check_is_checked_on_the_log_and_on_a_partition() {
    let database = log();
    let mut session = database.superuser();
    let partition = live_partition(&mut session);
    for target in ["activity.events", &partition] {
        session
            .batch_execute(&format!(
                "ALTER TABLE {target} ADD CONSTRAINT polite CHECK (object_id <> 'rude') NOT VALID"
            ))
            .unwrap();
        expect_error(record(&mut session, "object_id => 'rude'"), "23514");
        expect_error(noted_in_batch(&mut session, ["polite", "rude"]), "23514");
        noted(&mut session, "polite");
        session
            .batch_execute(&format!("ALTER TABLE {target} DROP CONSTRAINT polite"))
            .unwrap();
    }
    noted(&mut session, "rude");
    assert_eq!(objects(&mut session), ["polite", "polite", "rude"]);
}

#[test]
fn a_column_that_is_added_gets_its_default() {
    let database = log();
    let (mut admin, mut writer) = (database.superuser(), database.superuser());
    noted(&mut writer, "before");
    admin
        .batch_execute(
            "ALTER TABLE activity.events ADD COLUMN region text DEFAULT 'eu',
                 ADD COLUMN weight int GENERATED ALWAYS AS (length(object_id)) STORED",
        )
        .unwrap();
    noted(&mut writer, "single");
    noted_in_batch(&mut writer, ["a", "bb"]).unwrap();
    let stored = admin.texts(
        "SELECT object_id || ' ' || region || ' ' || weight FROM activity.events WHERE object_id IS NOT NULL ORDER BY event_id",
    );
    assert_eq!(stored, ["before eu 6", "single eu 6", "a eu 1", "bb eu 2"]);
    let listed = admin.number(&format!(
        "SELECT count(*) FROM activity.list(tenant_id => '{TENANT}')"
    ));
    assert_eq!(listed, 4);
}

#[test]
fn a_column_that_must_not_be_null_is_not() {
    let database = log();
    let mut session = database.superuser();
    let partition = live_partition(&mut session);
    let bounds = session
        .text(&format!(
            "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = '{partition}'::regclass"
        ))
        .unwrap();
    session
        .batch_execute(&format!(
            "ALTER TABLE activity.events DETACH PARTITION {partition};
             CREATE TABLE activity.strict (LIKE activity.events INCLUDING ALL);
             ALTER TABLE activity.strict ALTER actor_id SET NOT NULL;
             ALTER TABLE activity.events ATTACH PARTITION activity.strict {bounds}"
        ))
        .unwrap();
    expect_error(record(&mut session, "object_id => 'nobody'"), "23502");
    record(&mut session, "object_id => 'somebody', actor_id => 'alice'").unwrap();
    assert_eq!(objects(&mut session), ["somebody"]);
}

#[test]
fn a_unique_index_and_a_deferred_constraint_hold() {
    let database = log();
    let mut session = database.superuser();
    let partition = live_partition(&mut session);
    session
        .batch_execute(&format!("CREATE UNIQUE INDEX ON {partition} (object_id)"))
        .unwrap();
    noted(&mut session, "once");
    expect_error(record(&mut session, "object_id => 'once'"), "23505");
    session
        .batch_execute(&format!(
            "ALTER TABLE {partition} ADD CONSTRAINT later UNIQUE (request_id) DEFERRABLE INITIALLY DEFERRED; BEGIN"
        ))
        .unwrap();
    record(&mut session, "request_id => 'r'").unwrap();
    record(&mut session, "request_id => 'r'").unwrap();
    expect_error(session.batch_execute("COMMIT"), "23505");
}

#[test]
fn an_index_that_is_added_finds_later_events() {
    let database = log();
    let (mut admin, mut writer) = (database.superuser(), database.superuser());
    noted(&mut writer, "before");
    admin
        .batch_execute(
            "CREATE INDEX ON activity.events (lower(object_id)) WHERE object_id <> 'hidden';
             SET enable_seqscan = off",
        )
        .unwrap();
    noted(&mut writer, "After");
    noted_in_batch(&mut writer, ["Batch", "hidden"]).unwrap();
    for object in ["before", "after", "batch"] {
        let found = admin.number(&format!(
            "SELECT count(*) FROM activity.events WHERE lower(object_id) = '{object}' AND object_id <> 'hidden'"
        ));
        assert_eq!(found, 1, "{object}");
    }
}
