//! Random changes by several sessions with savepoints and rollbacks: the log rebuilds the table,
//! and `row_as_of()` gives every row as it stood when a copy was taken.

use crate::captured::{LEVELS, TENANT, assert_replays, attach, count, log, start_replay};
use activity_log_integration::{Database, Session};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::fmt::Write as _;

const SESSIONS: usize = 3;
const KEYS: i32 = 8;

const DEFINITIONS: &str = "
    CREATE TYPE pair AS (a int, b text);
    CREATE TABLE item (id int PRIMARY KEY, n numeric, body text, doc jsonb, list int[], at timestamptz,
        pair pair, raw bytea, twice numeric GENERATED ALWAYS AS (n * 2) STORED)";

/// What a session does.
#[derive(Clone, Debug)]
enum Step {
    Insert(i32, u8),
    Upsert(i32, u8),
    Update(i32, u8),
    UpdateMany(i32, u8),
    Rename(i32, i32),
    Delete(i32),
    DeleteMany(i32),
    Truncate,
    Begin,
    Savepoint,
    RollbackToSavepoint,
    Commit,
    Rollback,
    /// Everybody commits, and the table is copied.
    Copy,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS;
    prop_oneof![
        6 => (key(), any::<u8>()).prop_map(|(k, v)| Step::Insert(k, v)),
        4 => (key(), any::<u8>()).prop_map(|(k, v)| Step::Upsert(k, v)),
        8 => (key(), any::<u8>()).prop_map(|(k, v)| Step::Update(k, v)),
        2 => (1..4, any::<u8>()).prop_map(|(m, v)| Step::UpdateMany(m, v)),
        2 => (key(), key()).prop_map(|(a, b)| Step::Rename(a, b)),
        3 => key().prop_map(Step::Delete),
        1 => (2..4).prop_map(Step::DeleteMany),
        1 => Just(Step::Truncate),
        4 => Just(Step::Begin),
        2 => Just(Step::Savepoint),
        2 => Just(Step::RollbackToSavepoint),
        3 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        3 => Just(Step::Copy),
    ]
}

/// Values of all columns, chosen by a number; small numbers give NULL and odd ones.
fn values(seed: u8) -> String {
    let texts = [
        "NULL",
        "''",
        "'a \"b\" \\'",
        "repeat('long ', 900)",
        "E'line\\n\\t'",
        "'ü🎉'",
    ];
    let numbers = ["NULL", "0", "1.50", "'NaN'", "-1e20", "123456789.123456789"];
    let documents = [
        "NULL",
        "'{}'",
        r#"'{"a": [1, {"b": null}]}'"#,
        "'[1.10]'",
        "'\"text\"'",
        "'false'",
    ];
    let lists = ["NULL", "'{}'", "'{1,NULL}'", "'{{1},{2}}'"];
    let times = [
        "NULL",
        "'infinity'",
        "'2026-02-03 04:05:06.789+02'",
        "'0044-03-15 12:00+00 BC'",
    ];
    let pairs = ["NULL", "ROW(1, NULL)", "ROW(NULL, 'x \"y\"')"];
    let of = |choices: &[&str], divisor: usize| {
        choices[(usize::from(seed) / divisor + usize::from(seed)) % choices.len()].to_owned()
    };
    let raw = format!("decode(repeat('{seed:02x}', {}), 'hex')", seed % 5);
    [
        of(&numbers, 7),
        of(&texts, 3),
        of(&documents, 5),
        of(&lists, 11),
        of(&times, 13),
        of(&pairs, 17),
        raw,
    ]
    .join(", ")
}

const COLUMNS: &str = "n, body, doc, list, at, pair, raw";

impl Step {
    fn statement(&self) -> String {
        match self {
            Self::Insert(key, seed) => {
                format!("INSERT INTO item (id, {COLUMNS}) VALUES ({key}, {})", values(*seed))
            }
            Self::Upsert(key, seed) => format!(
                "INSERT INTO item (id, {COLUMNS}) VALUES ({key}, {}), ({}, {})
                 ON CONFLICT (id) DO UPDATE SET body = excluded.body, doc = excluded.doc, list = item.list",
                values(*seed),
                key + 1,
                values(seed.wrapping_mul(31))
            ),
            Self::Update(key, seed) => {
                format!("UPDATE item SET ({COLUMNS}) = ROW({}) WHERE id = {key}", values(*seed))
            }
            Self::UpdateMany(part, seed) => format!(
                "UPDATE item SET n = n + {seed}, body = body WHERE id % {part} = 0"
            ),
            Self::Rename(from, to) => format!("UPDATE item SET id = {to} WHERE id = {from}"),
            Self::Delete(key) => format!("DELETE FROM item WHERE id = {key}"),
            Self::DeleteMany(part) => format!("DELETE FROM item WHERE id % {part} = 1"),
            Self::Truncate => "TRUNCATE item".to_owned(),
            Self::Begin => "BEGIN".to_owned(),
            Self::Savepoint => "SAVEPOINT here".to_owned(),
            Self::RollbackToSavepoint => "ROLLBACK TO here".to_owned(),
            Self::Commit | Self::Copy => "COMMIT".to_owned(),
            Self::Rollback => "ROLLBACK".to_owned(),
        }
    }
}

/// One run of random steps.
struct Run {
    admin: Session,
    sessions: Vec<Session>,
    copies: usize,
}

impl Run {
    fn new(database: &Database<'_>, level: &str) -> Self {
        let mut admin = database.superuser();
        admin
            .batch_execute(&format!(
                "SET timezone = 'UTC'; {DEFINITIONS}; CREATE TABLE copies (copy int, at timestamptz, id int, image jsonb)"
            ))
            .unwrap();
        start_replay(&mut admin, "item", "id");
        attach(&mut admin, "item", &format!(", level => '{level}'"));
        let sessions = (0..SESSIONS)
            .map(|_| {
                let mut session = database.superuser();
                session.batch_execute("SET lock_timeout = '15ms'").unwrap();
                session
            })
            .collect();
        Self {
            admin,
            sessions,
            copies: 0,
        }
    }

    /// A step that is refused, or would wait for another session, ends its transaction.
    fn step(&mut self, session: usize, step: &Step) {
        if matches!(step, Step::Copy) {
            return self.copy();
        }
        let session = &mut self.sessions[session];
        if session.batch_execute(&step.statement()).is_err() {
            session.batch_execute("ROLLBACK").unwrap();
        }
    }

    fn copy(&mut self) {
        for session in &mut self.sessions {
            session.batch_execute("COMMIT").unwrap();
        }
        self.copies += 1;
        let copy = self.copies;
        self.admin
            .batch_execute(&format!(
                "INSERT INTO copies SELECT {copy}, clock_timestamp(), id, (SELECT to_jsonb(item) FROM item WHERE item.id = keys.id)
                 FROM generate_series(0, {KEYS}) keys (id)"
            ))
            .unwrap();
    }

    /// Rows that `row_as_of()` gives otherwise than the copies have them.
    fn wrong_rows(&mut self) -> Vec<String> {
        self.admin.texts(
            "SELECT format('copy %s, row %s: %s instead of %s', copy, id, found, image) FROM (
                 SELECT *, activity.row_as_of('item', jsonb_build_object('id', id), at) AS found FROM copies
             ) c WHERE found::text IS DISTINCT FROM image::text",
        )
    }
}

fn check(level: &str, steps: &[(usize, Step)]) -> Result<(), TestCaseError> {
    let database = log();
    let mut run = Run::new(&database, level);
    for (session, step) in steps {
        run.step(*session, step);
    }
    run.copy();
    assert_replays(&mut run.admin, "item", "item");
    let wrong = run.wrong_rows();
    prop_assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

fn check_random(cases: u32, length: usize) {
    for level in LEVELS {
        let mut runner = TestRunner::new(Config {
            cases,
            failure_persistence: None,
            max_shrink_iters: 40,
            ..Config::default()
        });
        let program = prop::collection::vec((0..SESSIONS, step()), 1..length);
        // Where shrinking ends early, the runner's last program is not the last that failed.
        let smallest = RefCell::new(String::new());
        let outcome = runner.run(&program, |steps| {
            check(level, &steps).inspect_err(|error| {
                *smallest.borrow_mut() = format!("{error}\n{}", listing(&steps));
            })
        });
        assert!(outcome.is_ok(), "at {level} level: {}", smallest.borrow());
    }
}

/// The steps as a script that can be run by hand.
fn listing(steps: &[(usize, Step)]) -> String {
    let mut text = String::new();
    for (session, step) in steps {
        writeln!(text, "{session}: {}", step.statement()).unwrap();
    }
    text
}

#[test]
fn the_log_of_random_changes_rebuilds_the_table_and_each_row_at_each_time() {
    check_random(6, 120);
}

#[test]
#[ignore = "long"]
fn the_log_of_many_more_random_changes_rebuilds_the_table_and_each_row_at_each_time() {
    check_random(200, 250);
}

#[test]
fn sessions_that_change_the_same_rows_at_the_same_time_are_logged_in_the_order_of_the_rows() {
    for level in LEVELS {
        let database = log();
        let mut admin = database.superuser();
        admin
            .batch_execute("CREATE TABLE item (id int PRIMARY KEY, n int); INSERT INTO item SELECT n, 0 FROM generate_series(1, 5) n")
            .unwrap();
        start_replay(&mut admin, "item", "id");
        attach(&mut admin, "item", &format!(", level => '{level}'"));
        std::thread::scope(|scope| {
            for number in 0..4 {
                let mut session = database.superuser();
                scope.spawn(move || {
                    for round in 0..150 {
                        let key = 1 + (number + round) % 5;
                        let update = format!("UPDATE item SET n = n + 1 WHERE id = {key}");
                        session.batch_execute(&update).unwrap();
                    }
                });
            }
        });
        assert_eq!(count(&mut admin, "true"), 600);
        assert_eq!(admin.number("SELECT sum(n) FROM item"), 600);
        assert_replays(&mut admin, "item", "item");
    }
}

#[test]
fn a_row_may_take_the_name_of_one_that_truncate_has_removed() {
    for level in LEVELS {
        let database = log();
        let mut session = database.superuser();
        session
            .batch_execute(&format!(
                "SET activity.tenant_id = '{TENANT}'; CREATE TABLE item (id int PRIMARY KEY, n int)"
            ))
            .unwrap();
        attach(&mut session, "item", &format!(", level => '{level}'"));
        session
            .batch_execute(
                "INSERT INTO item VALUES (4, 1), (5, 1); TRUNCATE item; INSERT INTO item VALUES (3, 30);
                 UPDATE item SET id = 4 WHERE id = 3",
            )
            .unwrap();
        let mut row = |id| {
            session.text(&format!(
                "SELECT activity.row_as_of('item', '{{\"id\": {id}}}', clock_timestamp())::text"
            ))
        };
        assert_eq!(
            row(4).as_deref(),
            Some(r#"{"n": 30, "id": 4}"#),
            "at {level} level"
        );
        assert_eq!(row(5), None, "at {level} level");
    }
}
