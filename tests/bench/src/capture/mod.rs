//! What it costs to audit the changes of a table: by nothing, by triggers written by hand, and by
//! capture, each of one row and of many.

mod report;

pub use report::CaptureReport;

use crate::Outcome;
use crate::event::{ACTOR, TENANT};
use crate::meter::{Meter, Usage};
use activity_log_integration::{Cluster, Session};
use postgres::Statement;

/// How a table is audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    Unaudited,
    PlpgsqlRow,
    PlpgsqlStatement,
    Row,
    Statement,
}

impl Way {
    /// All, in the order of the report.
    pub const ALL: [Self; 5] = [
        Self::Unaudited,
        Self::PlpgsqlRow,
        Self::PlpgsqlStatement,
        Self::Row,
        Self::Statement,
    ];

    /// The name in the machine-readable results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unaudited => "none",
            Self::PlpgsqlRow => "plpgsql_row",
            Self::PlpgsqlStatement => "plpgsql_statement",
            Self::Row => "row",
            Self::Statement => "statement",
        }
    }

    /// What it is, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Unaudited => "no audit",
            Self::PlpgsqlRow => "PL/pgSQL row trigger",
            Self::PlpgsqlStatement => "PL/pgSQL statement trigger",
            Self::Row => "capture, row level",
            Self::Statement => "capture, statement level",
        }
    }

    /// Its table.
    fn table(self) -> &'static str {
        match self {
            Self::Unaudited => "orders_none",
            Self::PlpgsqlRow => "orders_prow",
            Self::PlpgsqlStatement => "orders_psta",
            Self::Row => "orders_crow",
            Self::Statement => "orders_csta",
        }
    }

    /// Where it writes what has changed.
    fn events(self) -> Option<&'static str> {
        match self {
            Self::Unaudited => None,
            Self::PlpgsqlRow | Self::PlpgsqlStatement => Some("bench.events"),
            Self::Row | Self::Statement => Some("activity.events"),
        }
    }
}

/// What is done to the table, in this order: the rows that one makes are those of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Insert,
    Update,
    Delete,
}

impl Operation {
    /// All, in their order.
    pub const ALL: [Self; 3] = [Self::Insert, Self::Update, Self::Delete];

    /// Its SQL keyword.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    /// A statement for the rows with the numbers $1 to $2.
    fn statement(self, way: Way) -> String {
        let table = format!("bench.{}", way.table());
        match self {
            Self::Insert => format!(
                "INSERT INTO {table} SELECT n, '{TENANT}', 'customer_' || n % 5000, 'open', n % 100000 / 100.0,
                     'EUR', n % 9 + 1, false, 'Please deliver to the back door, after six',
                     jsonb_build_object('channel', 'web', 'campaign', n % 50, 'gift', false), now(), NULL
                 FROM generate_series($1::bigint, $2::bigint) n"
            ),
            Self::Update => {
                format!("UPDATE {table} SET amount = amount + 1 WHERE id BETWEEN $1::bigint AND $2::bigint")
            }
            Self::Delete => {
                format!("DELETE FROM {table} WHERE id BETWEEN $1::bigint AND $2::bigint")
            }
        }
    }
}

/// Whether every row has a statement of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Size {
    Single,
    Bulk,
}

impl Size {
    /// Both, in the order of the report.
    pub const ALL: [Self; 2] = [Self::Single, Self::Bulk];

    /// The name in the machine-readable results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Bulk => "bulk",
        }
    }
}

/// One operation of one way in one round.
#[derive(Clone, Copy)]
pub struct CaptureSample {
    pub way: Way,
    pub operation: Operation,
    pub size: Size,
    pub round: usize,
    pub rows: u32,
    pub usage: Usage,
}

/// How much is measured.
pub struct CaptureExtent {
    pub single_rounds: usize,
    pub single_rows: u32,
    pub bulk_rounds: usize,
    pub bulk_rows: u32,
}

/// A way with its prepared statements.
struct Shop {
    way: Way,
    meter: Meter,
    statements: [Statement; 3],
}

impl Shop {
    fn new(session: &mut Session, way: Way) -> Outcome<Self> {
        let [insert, update, delete] = Operation::ALL.map(|o| session.prepare(&o.statement(way)));
        Ok(Self {
            way,
            meter: Meter::new(session, way.events())?,
            statements: [insert?, update?, delete?],
        })
    }

    fn run(
        &self,
        session: &mut Session,
        operation: Operation,
        size: Size,
        rows: u32,
    ) -> Outcome<Usage> {
        let statement = &self.statements[operation as usize];
        self.meter.measure(session, |session| {
            let all = i64::from(rows);
            match size {
                Size::Bulk => {
                    session.execute(statement, &[&1_i64, &all])?;
                }
                Size::Single => {
                    for row in 1..=all {
                        session.execute(statement, &[&row, &row])?;
                    }
                }
            }
            Ok(())
        })
    }
}

/// Measures every way once a round; each round begins with another one.
pub fn measure(cluster: &Cluster, extent: &CaptureExtent) -> Outcome<Vec<CaptureSample>> {
    let database = cluster.database();
    let mut superuser = database.superuser();
    superuser.batch_execute(include_str!("../../sql/capture.sql"))?;
    let mut session = database.connect_as("bench_shop");
    session.batch_execute(&format!(
        "SET activity.actor_type = '{}'; SET activity.actor_id = '{}'; SET activity.request_id = 'request-4711';
         SET plan_cache_mode = force_generic_plan",
        ACTOR.0, ACTOR.1
    ))?;
    let mut shops = Vec::new();
    for way in Way::ALL {
        shops.push(Shop::new(&mut session, way)?);
    }
    let mut samples = Vec::new();
    for (size, rounds, rows) in [
        (Size::Single, extent.single_rounds, extent.single_rows),
        (Size::Bulk, extent.bulk_rounds, extent.bulk_rows),
    ] {
        // The first round fills caches.
        for round in 0..=rounds {
            let begin = round % shops.len();
            for shop in shops[begin..].iter().chain(&shops[..begin]) {
                for operation in Operation::ALL {
                    let usage = shop.run(&mut session, operation, size, rows)?;
                    if round > 0 {
                        samples.push(CaptureSample {
                            way: shop.way,
                            operation,
                            size,
                            round,
                            rows,
                            usage,
                        });
                    }
                }
                superuser.batch_execute(&format!("VACUUM bench.{}", shop.way.table()))?;
            }
        }
    }
    check_counts(&mut superuser, extent)?;
    Ok(samples)
}

/// A trigger that writes nothing would be the fastest of all.
fn check_counts(session: &mut Session, extent: &CaptureExtent) -> Outcome<()> {
    let rows = |rounds: usize, rows: u32| (rounds + 1) * rows as usize;
    let expected = Operation::ALL.len()
        * (rows(extent.single_rounds, extent.single_rows)
            + rows(extent.bulk_rounds, extent.bulk_rows));
    for way in Way::ALL {
        let Some(events) = way.events() else { continue };
        let found = session.number(&format!(
            "SELECT count(*) FROM {events} WHERE object_type = '{}' AND changes IS NOT NULL
             AND tenant_id = '{TENANT}' AND actor_id = '{}' AND request_id IS NOT NULL",
            way.table(),
            ACTOR.1
        ));
        if usize::try_from(found)? != expected {
            return Err(format!(
                "{} has left {found} events instead of {expected}",
                way.title()
            )
            .into());
        }
    }
    Ok(())
}
