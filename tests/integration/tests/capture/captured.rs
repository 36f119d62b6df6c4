//! Tables under capture, and what capture has put into the log, in a form that tests compare.

use activity_log_integration::{Cluster, Database, Session};

pub const TENANT: &str = "ca970000-0000-4000-8000-0000000000aa";
pub const OTHER_TENANT: &str = "ca970000-0000-4000-8000-0000000000bb";

/// The two ways of capturing. What is expected holds for both.
pub const LEVELS: [&str; 2] = ["row", "statement"];

/// What can be asked for where a change of a row causes others, and for partitions: row level.
pub const ROW_LEVELS: [&str; 2] = ["row", "auto"];

/// A fresh log of the shared cluster, and what replays it.
pub fn log() -> Database<'static> {
    log_in(Cluster::shared())
}

/// A fresh log of a cluster, and what replays it.
pub fn log_in(cluster: &Cluster) -> Database<'_> {
    let database = cluster.database();
    let mut session = database.superuser();
    session
        .batch_execute(include_str!("replay.sql"))
        .expect("the replay is well-formed");
    database
}

/// Attaches a table of [`TENANT`], with further arguments in SQL.
#[track_caller]
pub fn attach(session: &mut Session, table: &str, arguments: &str) {
    let call = format!("SELECT activity.attach('{table}', tenant_id => '{TENANT}' {arguments})");
    session
        .batch_execute(&call)
        .unwrap_or_else(|error| panic!("{call}: {error:?}"));
}

/// Begins the copy of a table that the replay will change; `keys` are separated by commas.
pub fn start_replay(session: &mut Session, table: &str, keys: &str) {
    session
        .execute(
            "SELECT replayed.start($1::text::regclass, string_to_array($2, ','))",
            &[&table, &keys],
        )
        .unwrap_or_else(|error| panic!("{table}: {error:?}"));
}

/// Fails where the log of `object_type` does not lead from the copy to the table as it stands, or
/// an old value is not what the replay had there.
#[track_caller]
pub fn assert_replays(session: &mut Session, table: &str, object_type: &str) {
    let problems = session.texts(&format!(
        "SELECT * FROM replayed.problems('{table}', '{object_type}')"
    ));
    assert!(problems.is_empty(), "{table}: {problems:#?}");
}

/// Every captured change in the order of the log: `item 1 updated {"qty": 1} -> {"qty": 2}`.
pub fn changes(session: &mut Session) -> Vec<String> {
    session.texts(
        r"SELECT concat_ws(' ', object_type, coalesce(object_id, '-'), regexp_replace(action, '^.*\.', ''),
                 nullif(concat_ws(' -> ', changes ->> 'old', changes ->> 'new'), ''))
          FROM activity.events WHERE source = 'capture' ORDER BY event_id",
    )
}

/// The same with the changes of each object together. Where a statement changes several rows, the
/// order of its rows says nothing.
pub fn by_object(mut changes: Vec<String>) -> Vec<String> {
    let object = |change: &String| {
        let words: Vec<&str> = change.splitn(3, ' ').take(2).collect();
        words.join(" ")
    };
    changes.sort_by_key(object);
    changes
}

/// How many events capture has written that fulfil a condition.
pub fn count(session: &mut Session, condition: &str) -> i64 {
    session.number(&format!(
        "SELECT count(*) FROM activity.events WHERE source = 'capture' AND {condition}"
    ))
}

/// Tables of a fresh database, attached at one level.
pub struct Attached {
    pub database: Database<'static>,
    pub session: Session,
    tables: Vec<String>,
}

impl Attached {
    /// Runs the definitions and attaches the tables, each named with its key: `item(id)`.
    #[track_caller]
    pub fn new(definitions: &str, tables: &[&str], level: &str) -> Self {
        let database = log();
        let mut session = database.superuser();
        session
            .batch_execute(definitions)
            .unwrap_or_else(|error| panic!("{definitions}: {error:?}"));
        let mut names = Vec::new();
        for table in tables {
            let (name, keys) = table.trim_end_matches(')').split_once('(').unwrap();
            start_replay(&mut session, name, keys);
            attach(&mut session, name, &format!(", level => '{level}'"));
            names.push(name.to_owned());
        }
        Self {
            database,
            session,
            tables: names,
        }
    }

    /// Runs statements; `;;` parts those that must not share a transaction.
    #[track_caller]
    pub fn run(&mut self, statements: &str) {
        for part in statements.split(";;") {
            self.session
                .batch_execute(part)
                .unwrap_or_else(|error| panic!("{part}: {error:?}"));
        }
    }

    /// Fails unless the log rebuilds every attached table.
    #[track_caller]
    pub fn assert_replays(&mut self) {
        for table in self.tables.clone() {
            let object_type = table.rsplit('.').next().unwrap();
            assert_replays(&mut self.session, &table, object_type);
        }
    }
}

/// Runs a story at both levels. Afterwards the log must rebuild the tables and hold exactly these
/// changes, those of each object in this order.
#[track_caller]
pub fn tell(definitions: &str, tables: &[&str], story: &str, expected: &[&str]) {
    tell_at(LEVELS, definitions, tables, story, expected);
}

/// The same at these levels.
#[track_caller]
pub fn tell_at(
    levels: [&str; 2],
    definitions: &str,
    tables: &[&str],
    story: &str,
    expected: &[&str],
) {
    for level in levels {
        let mut attached = Attached::new(definitions, tables, level);
        attached.run(story);
        let found = by_object(changes(&mut attached.session));
        let expected = by_object(expected.iter().map(ToString::to_string).collect());
        assert_eq!(found, expected, "at {level} level");
        attached.assert_replays();
    }
}

/// The same, with the order of all changes as given: a cause comes before its effect.
#[track_caller]
pub fn tell_in_order(
    levels: [&str; 2],
    definitions: &str,
    tables: &[&str],
    story: &str,
    expected: &[&str],
) {
    for level in levels {
        let mut attached = Attached::new(definitions, tables, level);
        attached.run(story);
        assert_eq!(changes(&mut attached.session), expected, "at {level} level");
        attached.assert_replays();
    }
}
