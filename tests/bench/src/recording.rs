//! The ways to write an event that are compared.

use crate::Outcome;
use crate::event::{ACTION, ACTOR, COLUMNS, Event, TENANT, USER_AGENT, WIDTH};
use activity_log_integration::Session;
use postgres::Statement;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{ToSql, Type};
use serde_json::Value;

/// Rows of one statement, for the works that write many.
pub const BATCH: usize = 1_000;

/// A way to write events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    Insert,
    PlpgsqlRecord,
    Record,
    RecordWithContext,
    RecordWithKey,
    InsertMany,
    CopyMany,
    RecordMany,
    InsertSelect,
    RecordSelect,
}

impl Work {
    /// All, in the order of the report.
    pub const ALL: [Self; 10] = [
        Self::Insert,
        Self::PlpgsqlRecord,
        Self::Record,
        Self::RecordWithContext,
        Self::RecordWithKey,
        Self::InsertMany,
        Self::CopyMany,
        Self::RecordMany,
        Self::InsertSelect,
        Self::RecordSelect,
    ];

    /// The name in the machine-readable results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::PlpgsqlRecord => "plpgsql_record",
            Self::Record => "record",
            Self::RecordWithContext => "record_with_context",
            Self::RecordWithKey => "record_with_key",
            Self::InsertMany => "insert_many",
            Self::CopyMany => "copy_many",
            Self::RecordMany => "record_many",
            Self::InsertSelect => "insert_select",
            Self::RecordSelect => "record_select",
        }
    }

    /// What it does, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Insert => "prepared INSERT of the row",
            Self::PlpgsqlRecord => "hand-written PL/pgSQL function",
            Self::Record => "record()",
            Self::RecordWithContext => "record() FROM set_context()",
            Self::RecordWithKey => "record() with idempotency_key",
            Self::InsertMany => "INSERT ... VALUES of 1,000 rows",
            Self::CopyMany => "COPY of 1,000 rows, binary",
            Self::RecordMany => "record_many() of 1,000",
            Self::InsertSelect => "INSERT ... SELECT, one statement",
            Self::RecordSelect => "SELECT record(), one statement",
        }
    }

    /// The table that it writes to.
    pub fn table(self) -> &'static str {
        match self {
            Self::Record
            | Self::RecordWithContext
            | Self::RecordWithKey
            | Self::RecordMany
            | Self::RecordSelect => "activity.events",
            _ => "bench.events",
        }
    }

    fn reads_staged(self) -> bool {
        matches!(self, Self::InsertSelect | Self::RecordSelect)
    }
}

/// Statements that are prepared once, as a driver with a cache of statements does.
pub struct Recorder {
    insert: Statement,
    plpgsql_record: Statement,
    record: Statement,
    record_with_context: Statement,
    record_with_key: Statement,
    insert_many: Statement,
    record_many: Statement,
    insert_select: Statement,
    record_select: Statement,
}

const NAMED: &str = "action => $1, metadata => $2, object_type => $3, object_id => $4";

impl Recorder {
    /// Sets the context of the session and prepares the statements.
    pub fn new(session: &mut Session) -> Outcome<Self> {
        session.execute(
            "SELECT activity.set_context(tenant_id => $1, actor_type => $2, actor_id => $3,
                user_agent => $4, is_local => false)",
            &[&TENANT, &ACTOR.0, &ACTOR.1, &USER_AGENT],
        )?;
        let mut prepare = |statement: &str| session.prepare(statement);
        Ok(Self {
            insert: prepare(&insert_statement(1))?,
            plpgsql_record: prepare("SELECT bench.record($1, $2, $3, $4, $5, $6)")?,
            record: prepare(&format!(
                "SELECT activity.record({NAMED}, client_ip => $5, request_id => $6)"
            ))?,
            record_with_context: prepare(&format!(
                "SELECT activity.record({NAMED}) FROM activity.set_context(client_ip => $5, \
                 request_id => $6, tenant_id => $7, actor_type => $8, actor_id => $9, user_agent => $10)"
            ))?,
            record_with_key: prepare(&format!(
                "SELECT activity.record({NAMED}, client_ip => $5, request_id => $6, idempotency_key => $6)"
            ))?,
            insert_many: prepare(&insert_statement(BATCH))?,
            record_many: prepare("SELECT count(*) FROM activity.record_many(events => $1)")?,
            insert_select: prepare(&format!(
                "INSERT INTO bench.events ({COLUMNS}) SELECT {COLUMNS} FROM bench.staged"
            ))?,
            record_select: prepare(
                "SELECT count(activity.record(action => action, metadata => metadata, \
                 object_type => object_type, object_id => object_id, client_ip => client_ip, \
                 request_id => request_id)) FROM bench.staged",
            )?,
        })
    }

    /// What a work needs besides its events, and what is not part of its cost.
    pub fn stage(&self, session: &mut Session, work: Work, events: &[Event]) -> Outcome<()> {
        if !work.reads_staged() {
            return Ok(());
        }
        session.batch_execute("TRUNCATE bench.staged")?;
        let statement = format!("COPY bench.staged ({COLUMNS}, client_ip) FROM STDIN BINARY");
        let types = [self.insert.params(), &[Type::INET]].concat();
        let rows = events.iter().map(|event| {
            let mut row = event.row();
            row.push(&event.client_ip);
            row
        });
        copy(session, &statement, &types, rows)
    }

    /// Writes the events.
    pub fn run(&self, session: &mut Session, work: Work, events: &[Event]) -> Outcome<()> {
        match work {
            Work::Insert => {
                for event in events {
                    session.execute(&self.insert, &event.row())?;
                }
            }
            Work::PlpgsqlRecord => each(session, &self.plpgsql_record, events, arguments)?,
            Work::Record => each(session, &self.record, events, arguments)?,
            Work::RecordWithKey => each(session, &self.record_with_key, events, arguments)?,
            Work::RecordWithContext => {
                each(
                    session,
                    &self.record_with_context,
                    events,
                    arguments_and_context,
                )?;
            }
            Work::InsertMany => {
                for batch in events.chunks(BATCH) {
                    let values: Vec<_> = batch.iter().flat_map(Event::row).collect();
                    session.execute(&self.insert_many, &values)?;
                }
            }
            Work::CopyMany => {
                let statement = format!("COPY bench.events ({COLUMNS}) FROM STDIN BINARY");
                for batch in events.chunks(BATCH) {
                    let rows = batch.iter().map(Event::row);
                    copy(session, &statement, self.insert.params(), rows)?;
                }
            }
            Work::RecordMany => {
                for batch in events.chunks(BATCH) {
                    let document = Value::Array(batch.iter().map(Event::element).collect());
                    session.query_one(&self.record_many, &[&document])?;
                }
            }
            Work::InsertSelect => {
                session.execute(&self.insert_select, &[])?;
            }
            Work::RecordSelect => {
                session.query_one(&self.record_select, &[])?;
            }
        }
        Ok(())
    }
}

type Parameters<'e> = Vec<&'e (dyn ToSql + Sync)>;

/// One statement an event.
fn each(
    session: &mut Session,
    statement: &Statement,
    events: &[Event],
    parameters: impl Fn(&Event) -> Parameters<'_>,
) -> Outcome<()> {
    for event in events {
        session.query_one(statement, &parameters(event))?;
    }
    Ok(())
}

fn arguments(event: &Event) -> Parameters<'_> {
    vec![
        &ACTION,
        &event.metadata,
        &"invoice",
        &event.object_id,
        &event.client_ip,
        &event.request_id,
    ]
}

fn arguments_and_context(event: &Event) -> Parameters<'_> {
    let mut parameters = arguments(event);
    let context: [&(dyn ToSql + Sync); 4] = [&TENANT, &ACTOR.0, &ACTOR.1, &USER_AGENT];
    parameters.extend(context);
    parameters
}

fn copy<'e>(
    session: &mut Session,
    statement: &str,
    types: &[Type],
    rows: impl Iterator<Item = Parameters<'e>>,
) -> Outcome<()> {
    let mut writer = BinaryCopyInWriter::new(session.copy_in(statement)?, types);
    for row in rows {
        writer.write(&row)?;
    }
    writer.finish()?;
    Ok(())
}

/// INSERT of so many rows, whose values are all parameters.
fn insert_statement(rows: usize) -> String {
    let row = |index: usize| {
        let values: Vec<String> = (1..=WIDTH)
            .map(|column| format!("${}", index * WIDTH + column))
            .collect();
        format!("({})", values.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!(
        "INSERT INTO bench.events ({COLUMNS}) VALUES {}",
        rows.join(", ")
    )
}
