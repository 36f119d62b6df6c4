//! What a page of a long log costs, near its beginning and deep inside.

use crate::Outcome;
use crate::event::TENANT;
use crate::meter::{Meter, Usage};
use activity_log_integration::{Cluster, Session};
use postgres::Statement;

const PAGE_SIZE: i32 = 50;

/// Where a page is, in hundredths of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Depth(pub u8);

impl Depth {
    /// The depths that are compared.
    pub const ALL: [Self; 3] = [Self(0), Self(50), Self(99)];

    /// How the report calls it.
    pub fn title(self) -> String {
        match self.0 {
            0 => "first page".to_owned(),
            percent => format!("page at {percent} % of the log"),
        }
    }
}

/// A page that was read, again and again, in one round.
#[derive(Clone, Copy)]
pub struct PageSample {
    pub depth: Depth,
    pub round: usize,
    pub pages: usize,
    pub usage: Usage,
}

/// How much there is and how often it is read.
pub struct Extent {
    pub events: u64,
    pub rounds: usize,
    pub pages: usize,
}

/// Fills a log of two years and reads pages of it as a plain reader.
pub fn measure(cluster: &Cluster, extent: &Extent) -> Outcome<Vec<PageSample>> {
    let database = cluster.database();
    let mut superuser = database.superuser();
    let history = include_str!("../sql/history.sql")
        .replace("{events}", &extent.events.to_string())
        .replace("{tenant}", &TENANT.to_string());
    superuser.batch_execute(&history)?;
    superuser.batch_execute("VACUUM ANALYZE activity.events")?;
    // As in a log that is looked after: past partitions are closed.
    superuser.batch_execute("CALL activity.maintain()")?;
    let mut session = database.connect_as("bench_reader");
    let page = session
        .prepare("SELECT * FROM activity.list(tenant_id => $1, cursor => $2, page_size => $3)")?;
    let cursors = Depth::ALL.map(|depth| cursor_at(&mut superuser, depth, extent.events));
    let meter = Meter::new(&mut session, None)?;
    let mut samples = Vec::new();
    for round in 0..=extent.rounds {
        for (depth, cursor) in Depth::ALL.into_iter().zip(&cursors) {
            let cursor = cursor.as_deref().map_err(|problem| problem.to_string())?;
            let usage = meter.measure(&mut session, |session| {
                (0..extent.pages).try_for_each(|_| read_page(session, &page, cursor))
            })?;
            // The first round fills caches.
            if round > 0 {
                samples.push(PageSample {
                    depth,
                    round,
                    pages: extent.pages,
                    usage,
                });
            }
        }
    }
    Ok(samples)
}

fn read_page(session: &mut Session, page: &Statement, cursor: &str) -> Outcome<()> {
    let rows = session.query(page, &[&TENANT, &cursor, &PAGE_SIZE])?;
    if rows.len() == PAGE_SIZE as usize {
        Ok(())
    } else {
        Err(format!("a page has {} rows", rows.len()).into())
    }
}

/// The cursor that leads to the page at a depth; empty for the first page. Half of the events are
/// of the tenant.
fn cursor_at(session: &mut Session, depth: Depth, events: u64) -> Outcome<String> {
    if depth.0 == 0 {
        return Ok(String::new());
    }
    let above = i64::try_from(events / 200 * u64::from(depth.0))?;
    let row = session.query_one(
        "SELECT cursor FROM activity.list(
             tenant_id => $1, page_size => 1,
             until => (SELECT occurred_at FROM activity.events WHERE tenant_id = $1
                       ORDER BY occurred_at DESC, event_id DESC OFFSET $2 LIMIT 1))",
        &[&TENANT, &above],
    )?;
    Ok(row.get(0))
}
