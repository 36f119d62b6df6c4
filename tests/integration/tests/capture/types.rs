//! Every type of value is in the log as `to_jsonb()` of the server gives it, in full for INSERT and
//! DELETE, and for UPDATE where its bytes have changed. What departs from that is listed at the end.

use crate::captured::{LEVELS, TENANT, assert_replays, attach, changes, log, start_replay};
use crate::values::{CONTRIB, DEFINITIONS, DEPARTURES, TYPES};
use activity_log_integration::Session;

/// Writes the values one after another into one row, NULL in between, and beside it what the
/// server makes of each row.
fn write_values(session: &mut Session, values: &[&str]) {
    let mut step = |statement: &str, value: Option<&str>| {
        let escaped = value.map(|text| format!("'{}'", text.replace('\'', "''")));
        let statement = statement.replace("{}", escaped.as_deref().unwrap_or("NULL"));
        session
            .batch_execute(&statement)
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    };
    let update = "WITH before AS (SELECT to_jsonb(t) AS image, t.v FROM probe t)
        , changed AS (UPDATE probe t SET v = {} RETURNING t.v, to_jsonb(t) AS image)
        INSERT INTO expected (verb, old_row, new_row)
        SELECT 'updated', jsonb_build_object('v', b.image -> 'v'), jsonb_build_object('v', c.image -> 'v')
        FROM before b, changed c WHERE ROW(b.v)::record *<> ROW(c.v)::record";
    step(
        "WITH made AS (INSERT INTO probe VALUES (1, {}) RETURNING to_jsonb(probe) AS image)
        INSERT INTO expected (verb, new_row) SELECT 'created', image FROM made",
        Some(values[0]),
    );
    for value in values {
        step(update, Some(value));
    }
    step(update, None);
    for value in values {
        step(
            "INSERT INTO expected (verb, old_row) SELECT 'deleted', to_jsonb(t) FROM probe t;
            DELETE FROM probe;
            INSERT INTO probe VALUES (1, {});
            INSERT INTO expected (verb, new_row) SELECT 'created', to_jsonb(t) FROM probe t",
            Some(value),
        );
    }
}

/// The lines of log and oracle that differ.
fn differences(session: &mut Session) -> Vec<String> {
    session.texts(
        r"WITH found AS (
            SELECT row_number() OVER (ORDER BY event_id) AS place, regexp_replace(action, '^.*\.', '') AS verb,
                   (changes -> 'old')::text AS old_row, (changes -> 'new')::text AS new_row
            FROM activity.events WHERE source = 'capture' AND object_type = 'probe' AND recorded_at > (SELECT at FROM started)
        ), wanted AS (
            SELECT row_number() OVER (ORDER BY place) AS place, verb, old_row::text, new_row::text FROM expected
        )
        SELECT format('found %s, wanted %s', to_jsonb(found) - 'place', to_jsonb(wanted) - 'place')
        FROM found FULL JOIN wanted USING (place)
        WHERE (found.verb, found.old_row, found.new_row) IS DISTINCT FROM (wanted.verb, wanted.old_row, wanted.new_row)
        ORDER BY place",
    )
}

fn problems_of(session: &mut Session, level: &str, kind: &str, values: &[&str]) -> Vec<String> {
    session
        .batch_execute(&format!(
            "DROP TABLE IF EXISTS probe, expected, started;
             CREATE TABLE probe (id int PRIMARY KEY, v {kind});
             CREATE TABLE expected (place int GENERATED ALWAYS AS IDENTITY, verb text, old_row jsonb, new_row jsonb);
             CREATE TABLE started AS SELECT clock_timestamp() AS at"
        ))
        .unwrap_or_else(|error| panic!("{kind}: {error:?}"));
    attach(
        session,
        "probe",
        &format!(", level => '{level}', scrub => false"),
    );
    write_values(session, values);
    let problems = differences(session);
    session
        .batch_execute("SELECT activity.detach('probe')")
        .unwrap();
    problems
        .into_iter()
        .map(|problem| format!("{kind} at {level} level: {problem}"))
        .collect()
}

#[test]
fn every_type_of_the_server_is_logged_as_to_jsonb_gives_it() {
    let database = log();
    let mut session = database.superuser();
    session.batch_execute(DEFINITIONS).unwrap();
    let mut problems = Vec::new();
    for level in LEVELS {
        for (kind, values) in TYPES {
            problems.extend(problems_of(&mut session, level, kind, values));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn types_of_other_extensions_are_logged_as_to_jsonb_gives_them() {
    let database = log();
    let mut session = database.superuser();
    let mut problems = Vec::new();
    for (extension, kind, values) in CONTRIB {
        let made = session.batch_execute(&format!("CREATE EXTENSION {extension}"));
        if made.is_err() {
            eprintln!("skipped: the extension {extension} is not installed");
            continue;
        }
        for level in LEVELS {
            problems.extend(problems_of(&mut session, level, kind, values));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn what_departs_from_to_jsonb_does_so_as_listed_and_can_be_read_back() {
    let database = log();
    let mut session = database.superuser();
    session.batch_execute(DEFINITIONS).unwrap();
    for level in LEVELS {
        for (kind, value, json) in DEPARTURES {
            if *kind == "hstore"
                && session
                    .batch_execute("CREATE EXTENSION IF NOT EXISTS hstore")
                    .is_err()
            {
                eprintln!("skipped: the extension hstore is not installed");
                continue;
            }
            session
                .batch_execute(&format!(
                    "DROP TABLE IF EXISTS item; CREATE TABLE item (id int PRIMARY KEY, v {kind})"
                ))
                .unwrap();
            attach(&mut session, "item", &format!(", level => '{level}'"));
            session
                .batch_execute(&format!("INSERT INTO item VALUES (1, '{value}')"))
                .unwrap();
            let query = "SELECT concat_ws(' ', e.changes #> '{new,v}', r.v::text = i.v::text)
                FROM (SELECT * FROM activity.events WHERE action = 'item.created' ORDER BY event_id DESC LIMIT 1) e,
                     item i, jsonb_populate_record(NULL::item, e.changes -> 'new') r";
            assert_eq!(
                session.text(query),
                Some(format!("{json} t")),
                "{kind} at {level} level"
            );
            session
                .batch_execute("SELECT activity.detach('item')")
                .unwrap();
        }
    }
}

#[test]
fn what_a_session_has_set_for_output_changes_nothing_that_is_logged() {
    let database = log();
    let mut session = database.superuser();
    session
        .batch_execute(
            "CREATE TABLE item (id int PRIMARY KEY, f8 float8, f4 real, at timestamptz, plain timestamp, day date,
                 lasts interval, raw bytea, price money, list float8[], days date[], pair tstzrange)",
        )
        .unwrap();
    let values = "1, 0.1 + 0.2, 1.1, '2026-02-03 04:05:06.789+00', '2026-02-03 04:05:06', '2026-02-03',
        '-1 year 2 days -00:00:03', '\\xdead', '12.34', '{0.30000000000000004}', '{2026-02-03}', '[2026-02-03 00:00+00,)'";
    for level in LEVELS {
        session
            .batch_execute("DROP SCHEMA IF EXISTS replayed CASCADE")
            .unwrap();
        session.batch_execute(include_str!("replay.sql")).unwrap();
        session
            .batch_execute("TRUNCATE item; SELECT activity.detach(target) FROM (SELECT 'item'::regclass WHERE EXISTS (SELECT FROM activity.captures)) c (target)")
            .unwrap();
        let before = changes(&mut session).len();
        start_replay(&mut session, "item", "id");
        attach(&mut session, "item", &format!(", level => '{level}'"));
        let mut other = database.superuser();
        other
            .batch_execute(&format!(
                "SET extra_float_digits = -10; SET datestyle = 'SQL, DMY'; SET intervalstyle = 'sql_standard';
                 SET bytea_output = 'escape'; SET timezone = 'Asia/Kathmandu'; SET xmlbinary = hex;
                 INSERT INTO item VALUES ({values});
                 UPDATE item SET f8 = f8 * 3, f4 = f4 * 3, lasts = lasts * 3, at = at + '1 day', day = day + 1,
                     plain = plain + '1 day', raw = raw || raw, list = list || 0.1 + 0.7, days = days || days;"
            ))
            .unwrap();
        let found = changes(&mut session).split_off(before);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("0.30000000000000004"), "{found:?}");
        assert!(found[0].contains(r#""\\xdead""#), "{found:?}");
        // Only the new events: those of the other level are of another capture.
        session
            .batch_execute(&format!(
                "CREATE VIEW replayed.rows AS SELECT r.* FROM activity.events e,
                     jsonb_populate_record(NULL::item, e.changes -> 'new') r
                 WHERE e.tenant_id = '{TENANT}' AND e.action = 'item.created'"
            ))
            .unwrap();
        let wrong = session.texts(&format!(
            "SELECT r::text FROM replayed.rows r WHERE r IS DISTINCT FROM (SELECT ROW({values})::item)"
        ));
        assert!(wrong.is_empty(), "at {level} level: {wrong:?}");
        if level == LEVELS[0] {
            assert_replays(&mut session, "item", "item");
        }
    }
}

#[test]
fn a_document_that_jsonb_cannot_hold_is_logged_as_its_text() {
    // to_jsonb() fails for these rows; capture must not.
    for level in LEVELS {
        let database = log();
        let mut session = database.superuser();
        session
            .batch_execute("CREATE TABLE item (id int PRIMARY KEY, doc json, list json[])")
            .unwrap();
        attach(&mut session, "item", &format!(", level => '{level}'"));
        session
            .batch_execute(
                r#"INSERT INTO item VALUES (1, '{"a": "\u0000"}', ARRAY['"\ud800"'::json]);
                INSERT INTO item VALUES (2, '{"a": 1, "a": 2}', NULL), (3, '1e200000', NULL);
                UPDATE item SET doc = '"\u0000"' WHERE id = 2; DELETE FROM item"#,
            )
            .unwrap();
        let found = changes(&mut session);
        assert_eq!(found.len(), 7, "{found:#?}");
        let doc = session.text("SELECT changes #>> '{new,doc}' FROM activity.events WHERE object_id = '1' AND action = 'item.created'");
        assert_eq!(doc.as_deref(), Some(r#"{"a": "\u0000"}"#));
        // Of keys that come twice the last counts, as in jsonb.
        let doc = session.text("SELECT changes #>> '{new,doc}' FROM activity.events WHERE object_id = '2' AND action = 'item.created'");
        assert_eq!(doc.as_deref(), Some(r#"{"a": 2}"#));
    }
}

#[test]
fn rows_of_many_columns_and_of_none_are_logged() {
    for level in LEVELS {
        let database = log();
        let mut session = database.superuser();
        let columns: Vec<String> = (0..1_200)
            .map(|n| format!("column_{n} int DEFAULT {n}"))
            .collect();
        session
            .batch_execute(&format!(
                "CREATE TABLE wide (id int PRIMARY KEY, {}); CREATE TABLE bare ()",
                columns.join(", ")
            ))
            .unwrap();
        attach(&mut session, "wide", &format!(", level => '{level}'"));
        attach(&mut session, "bare", &format!(", level => '{level}'"));
        session
            .batch_execute("INSERT INTO wide VALUES (1); UPDATE wide SET column_7 = -7; INSERT INTO bare DEFAULT VALUES; DELETE FROM bare")
            .unwrap();
        let same = session.texts(
            "SELECT (changes -> 'new' = (SELECT to_jsonb(w) || '{\"column_7\": 7}' FROM wide w))::text
             FROM activity.events WHERE action = 'wide.created'",
        );
        assert_eq!(same, ["true"], "at {level} level");
        let rest: Vec<String> = changes(&mut session).split_off(1);
        assert_eq!(
            rest,
            [
                r#"wide 1 updated {"column_7": 7} -> {"column_7": -7}"#,
                "bare - created {}",
                "bare - deleted {}"
            ],
            "at {level} level"
        );
    }
}
