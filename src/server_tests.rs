//! What only a test inside the server can see: this extension's binary forms against the server's
//! own, and its direct writer against an ordinary INSERT.
//!
//! Everything a user can do is tested from outside, in tests/.

use pgrx::prelude::*;

// pgrx calls each test as a function of this schema.
#[pg_schema]
mod tests {
    use crate::db::{self, Mode};
    use crate::error::Error;
    use crate::value::{self, Address, JsonbOut};
    use activity_log_core::jsonb::{Jsonb, to_json};
    use pgrx::pg_sys::panic::ErrorReport;
    use pgrx::prelude::*;
    use pgrx::{IntoDatum, pg_sys};

    /// Documents whose stored form has something of its own.
    const DOCUMENTS: [&str; 12] = [
        "{}",
        "[]",
        "null",
        "true",
        "\"text\"",
        "-12.340",
        r#"{"b": 1, "a": 2, "ab": 3, "": 4}"#,
        r#"{"deep": [{"er": [[], {}, [null, false]]}]}"#,
        r#"{"big": 123456789012345678901234567890.000, "small": 1e-20, "huge": 1e300}"#,
        r#"{"ü": "ß", "emoji": "🦀", "escaped": "a\"b\\c\nd"}"#,
        "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33]",
        r#"{"duplicate": 1, "duplicate": 2}"#,
    ];

    /// The server's own form of a document.
    fn stored(text: &str) -> Result<JsonbOut, Error> {
        db::value(Mode::Read, "SELECT $1::jsonb", &[db::text(Some(text))])?
            .ok_or(Error::Internal { place: "test" })
    }

    fn is_true(sql: &str, parameters: &[db::Parameter]) -> Result<bool, Error> {
        Ok(db::value(Mode::Write, sql, parameters)?.unwrap_or(false))
    }

    #[pg_test]
    fn a_document_built_here_is_what_the_server_stores() -> Result<(), ErrorReport> {
        for text in DOCUMENTS {
            let theirs = stored(text)?;
            let document = Jsonb::new(&theirs.0).map_err(|_| Error::Internal { place: "test" })?;
            let ours = value::document(document.root());
            assert_eq!(ours.as_deref(), Some(&theirs.0[..]), "{text}");
        }
        Ok(())
    }

    #[pg_test]
    fn a_document_reads_as_the_server_prints_it() -> Result<(), ErrorReport> {
        for text in DOCUMENTS {
            let theirs = stored(text)?;
            let document = Jsonb::new(&theirs.0).map_err(|_| Error::Internal { place: "test" })?;
            let read = to_json(document.root());
            let same = is_true(
                "SELECT $1::jsonb = $2::jsonb",
                &[db::text(Some(&read)), db::text(Some(text))],
            )?;
            assert!(same, "{text} was read as {read}");
        }
        Ok(())
    }

    #[pg_test]
    fn a_json_text_is_parsed_as_the_server_parses_it_and_anything_else_is_none()
    -> Result<(), ErrorReport> {
        for text in DOCUMENTS {
            assert_eq!(value::parse_jsonb(text), Some(stored(text)?.0), "{text}");
        }
        for text in ["", "{", "{'a': 1}", "nul", "\"\\u0000\""] {
            assert_eq!(value::parse_jsonb(text), None, "{text}");
        }
        Ok(())
    }

    #[pg_test]
    fn an_address_is_what_the_server_makes_of_its_text() -> Result<(), ErrorReport> {
        for text in [
            "10.1.2.3",
            "255.255.255.255",
            "::1",
            "2001:db8::ff00:42:8329",
        ] {
            let ip = text
                .parse()
                .map_err(|_| Error::Internal { place: "test" })?;
            let ours = Address::host(ip).into_datum();
            assert!(is_true(
                "SELECT $1 = $2::inet",
                &[(pg_sys::INETOID, ours), db::text(Some(text))]
            )?);
            let read =
                db::value::<Address>(Mode::Read, "SELECT $1::inet", &[db::text(Some(text))])?;
            assert_eq!(read, Some(Address::host(ip)));
        }
        Ok(())
    }

    #[pg_test]
    fn a_time_is_read_as_the_server_reads_it() -> Result<(), ErrorReport> {
        for text in [
            "2023-07-10T11:42:36Z",
            "2026-02-28 23:59:59.999999+05:30",
            "infinity",
        ] {
            let theirs = db::value::<TimestampWithTimeZone>(
                Mode::Read,
                "SELECT $1::timestamptz",
                &[db::text(Some(text))],
            )?;
            assert_eq!(value::parse_time(text), theirs.map(i64::from), "{text}");
        }
        assert_eq!(value::parse_time("yesterdayish"), None);
        Ok(())
    }

    /// A trigger that changes nothing sends events the ordinary way, so that both can be compared.
    #[pg_test]
    fn the_direct_writer_stores_what_an_insert_stores() -> Result<(), ErrorReport> {
        const RECORD: &str = "SELECT activity.record('test.compared', '{\"a\": [1, {\"b\": null}]}', \
            tenant_id => 'a0000000-0000-0000-0000-000000000001', actor_id => 'u', actor_type => 'user', \
            object_type => 'thing', object_id => 'o', status => 'denied', client_ip => '2001:db8::1', \
            user_agent => 'agent', request_id => 'r', occurred_at => '2020-01-01Z')";
        db::run("SELECT activity.setup()", &[])?;
        db::run("SELECT activity.register_action('test.compared')", &[])?;
        db::run(RECORD, &[])?;
        db::run(
            "CREATE FUNCTION tests.pass() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            &[],
        )?;
        db::run(
            "CREATE TRIGGER pass BEFORE INSERT ON activity.events FOR EACH ROW EXECUTE FUNCTION tests.pass()",
            &[],
        )?;
        db::run(RECORD, &[])?;
        let kinds = db::value::<i64>(
            Mode::Write,
            "SELECT count(DISTINCT to_jsonb(e) - 'event_id' - 'recorded_at') FROM activity.events e \
             WHERE action = 'test.compared' HAVING count(*) = 2",
            &[],
        )?;
        assert_eq!(kinds, Some(1));
        Ok(())
    }
}
