//! Keys of every type, names that need quoting, other schemas and owners, and values that TOAST
//! keeps out of the row.

use crate::captured::{
    Attached, LEVELS, assert_replays, attach, changes, count, log, start_replay,
};
use activity_log_integration::expect_error;

#[test]
fn the_object_is_the_key_as_text_whatever_its_type() {
    let keys = [
        (
            "uuid",
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        ("text", r#"a "b" {c}"#, r#"a "b" {c}"#),
        ("bigint", "9223372036854775807", "9223372036854775807"),
        ("numeric", "1.50", "1.50"),
        ("date", "2026-02-03", "2026-02-03"),
        ("inet", "10.0.0.0/8", "10.0.0.0/8"),
        ("bytea", r"\xdead", r"\xdead"),
        // The server takes no notice of the blanks either.
        ("char(4)", "ab  ", "ab"),
        ("boolean", "true", "t"),
        ("int[]", "{1,2}", "{1,2}"),
    ];
    for level in LEVELS {
        let database = log();
        let mut session = database.superuser();
        for (place, (kind, value, name)) in keys.iter().enumerate() {
            session
                .batch_execute(&format!(
                    "CREATE TABLE item_{place} (id {kind} PRIMARY KEY)"
                ))
                .unwrap();
            attach(
                &mut session,
                &format!("item_{place}"),
                &format!(", level => '{level}'"),
            );
            session
                .batch_execute(&format!("INSERT INTO item_{place} VALUES ('{value}')"))
                .unwrap();
            let object = session.text(&format!(
                "SELECT object_id FROM activity.events WHERE object_type = 'item_{place}'"
            ));
            assert_eq!(object.as_deref(), Some(*name), "{kind} at {level} level");
        }
    }
}

#[test]
fn a_key_of_several_columns_is_a_json_array_of_their_texts_in_the_order_of_the_key() {
    for level in LEVELS {
        let mut attached = Attached::new(
            "CREATE TABLE item (b text, n int, a uuid, PRIMARY KEY (a, b))",
            &["item(a,b)"],
            level,
        );
        attached.run(
            r#"INSERT INTO item VALUES ('x "y", \z', 1, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11');
               UPDATE item SET n = 2; DELETE FROM item"#,
        );
        let objects = attached
            .session
            .texts("SELECT DISTINCT object_id FROM activity.events WHERE object_type = 'item'");
        assert_eq!(
            objects,
            [r#"["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11","x \"y\", \\z"]"#],
            "at {level} level"
        );
        attached.assert_replays();
    }
}

#[test]
fn names_that_need_quotes_and_names_of_63_bytes_work() {
    let long = "ü".repeat(31) + "x";
    assert_eq!(long.len(), 63);
    let tables = [
        ("public", r#"We "ird; Tåble'%s"#),
        (r#"the "schema"."#, "order"),
        ("public", long.as_str()),
        ("public", "CamelCase"),
        ("public", "1st"),
    ];
    for level in LEVELS {
        let database = log();
        let mut session = database.superuser();
        session
            .batch_execute(r#"CREATE SCHEMA "the ""schema"".""#)
            .unwrap();
        for (schema, table) in tables {
            let name = session
                .query_one(
                    "SELECT format('%I.%I', $1::text, $2::text)",
                    &[&schema, &table],
                )
                .unwrap()
                .get::<_, String>(0);
            session
                .batch_execute(&format!(
                    r#"CREATE TABLE {name} ("the id" int, "Old" int, "new" text, "$omitted" int, "{long}" int, PRIMARY KEY ("the id"))"#
                ))
                .unwrap();
            let copied = name.replace('\'', "''");
            start_replay(&mut session, &name, "the id");
            attach(&mut session, &copied, &format!(", level => '{level}'"));
            session
                .batch_execute(&format!(
                    r#"INSERT INTO {name} VALUES (1, 1, 'a', 1, 1), (2, 2, 'b', 2, 2);
                       UPDATE {name} SET "Old" = 3, "$omitted" = 3, "{long}" = 3 WHERE "the id" = 1;
                       DELETE FROM {name} WHERE "the id" = 2"#
                ))
                .unwrap();
            assert_eq!(
                count(
                    &mut session,
                    &format!("object_type = '{}'", table.replace('\'', "''"))
                ),
                4,
                "{name} at {level} level"
            );
            assert_replays(&mut session, &copied, &table.replace('\'', "''"));
        }
        // Every action can be asked for like any other.
        let bad = session.texts(
            r"SELECT DISTINCT action FROM activity.events
              WHERE source = 'capture' AND action !~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$'",
        );
        assert!(bad.is_empty(), "{bad:?}");
    }
}

#[test]
fn a_role_that_owns_its_table_attaches_it_and_others_may_write_without_any_right_on_the_log() {
    for level in LEVELS {
        let database = log();
        let owner = database.create_login(&["activity_admin"]);
        let writer = database.create_login(&[]);
        database
            .superuser()
            .batch_execute(&format!("CREATE SCHEMA theirs AUTHORIZATION {owner}; GRANT USAGE ON SCHEMA theirs TO {writer}"))
            .unwrap();
        let mut session = database.connect_as(&owner);
        session
            .batch_execute(&format!("CREATE TABLE theirs.item (id int PRIMARY KEY); GRANT ALL ON theirs.item TO {writer}"))
            .unwrap();
        attach(
            &mut session,
            "theirs.item",
            &format!(", level => '{level}'"),
        );
        let mut writing = database.connect_as(&writer);
        writing.batch_execute("INSERT INTO theirs.item VALUES (1); UPDATE theirs.item SET id = 2; DELETE FROM theirs.item").unwrap();
        expect_error(
            writing.batch_execute("SELECT * FROM activity.events"),
            "42501",
        );
        let roles = database
            .superuser()
            .texts("SELECT DISTINCT db_role FROM activity.events WHERE source = 'capture'");
        assert_eq!(roles, [writer]);
    }
}

#[test]
fn values_of_a_megabyte_that_did_not_change_are_not_in_the_log_of_an_update() {
    for level in LEVELS {
        let mut attached = Attached::new(
            "CREATE TABLE item (id int PRIMARY KEY, n int, body text, raw bytea, doc jsonb);
             ALTER TABLE item ALTER body SET STORAGE EXTERNAL;
             INSERT INTO item SELECT 1, 1, string_agg(md5(n::text), ''), decode(string_agg(md5(n::text), ''), 'hex'),
                 jsonb_agg(md5(n::text)) FROM generate_series(1, 35000) n",
            &["item(id)"],
            level,
        );
        attached.run(
            "UPDATE item SET n = 2; UPDATE item SET body = body; UPDATE item SET body = body || ''",
        );
        assert_eq!(
            changes(&mut attached.session),
            [r#"item 1 updated {"n": 1} -> {"n": 2}"#],
            "at {level} level"
        );
        // A change of one byte is seen, also in a value that is stored anew.
        attached.run("UPDATE item SET body = overlay(body PLACING '!' FROM 700000)");
        assert_eq!(count(&mut attached.session, "changes -> 'new' ? 'body'"), 1);
    }
}

#[test]
fn large_values_within_the_cap_come_back_whole() {
    for level in LEVELS {
        let mut attached = Attached::new(
            "CREATE TABLE item (id int PRIMARY KEY, body text, raw bytea, doc jsonb)",
            &["item(id)"],
            level,
        );
        attached.run(
            "INSERT INTO item SELECT 1, string_agg(md5(n::text), ''), decode(string_agg(md5(n::text), ''), 'hex'),
                 jsonb_agg(md5(n::text)) FROM generate_series(1, 100) n;
             UPDATE item SET body = body || '!', doc = doc || '[1]';
             DELETE FROM item",
        );
        assert_eq!(count(&mut attached.session, "true"), 3);
        attached.assert_replays();
    }
}

#[test]
fn without_a_primary_key_the_replica_identity_names_the_object() {
    for level in LEVELS {
        let mut attached = Attached::new(
            "CREATE TABLE item (code text NOT NULL UNIQUE, n int);
             ALTER TABLE item REPLICA IDENTITY USING INDEX item_code_key",
            &["item(code)"],
            level,
        );
        attached.run("INSERT INTO item VALUES ('a', 1); UPDATE item SET n = 2; DELETE FROM item");
        assert_eq!(
            changes(&mut attached.session),
            [
                r#"item a created {"n": 1, "code": "a"}"#,
                r#"item a updated {"n": 1} -> {"n": 2}"#,
                r#"item a deleted {"n": 2, "code": "a"}"#,
            ],
            "at {level} level"
        );
        attached.assert_replays();
    }
}
