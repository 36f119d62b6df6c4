//! Prints a tenant's events as JSON lines, live, and goes on where it left off.
//!
//!     DATABASE_URL=... live_tail TENANT CURSOR_FILE
//!
//! The file keeps the cursor. It is written after the events before it were printed: if the program
//! is killed in between, up to one page comes again, and the `event_id` of a line tells.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::future::poll_fn;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Socket, tls::NoTlsStream};
use uuid::Uuid;

/// How long to wait for the bell before looking without it: a notification can be lost.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);
const PAGE_SIZE: i32 = 500;
/// The server writes the JSON: nothing depends on how a driver reads a type.
const READ: &str = "
    SELECT event_id IS NULL, next_cursor, row_to_json(event)::text
    FROM activity.read_stream($1, cursor => $2, page_size => $3) AS event";

type Failure = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [tenant, file] = &arguments[..] else {
        return Err("usage: live_tail TENANT CURSOR_FILE".into());
    };
    let url = env::var("DATABASE_URL")?;
    let tail = Tail {
        tenant: tenant.parse()?,
        file: file.into(),
    };
    loop {
        match tail.follow(&url).await {
            Err(failure) if is_transient(&*failure) => eprintln!("again in a second: {failure}"),
            other => return other,
        }
        sleep(PAUSE).await;
    }
}

/// What passes by itself: lost connections, rollbacks to be retried, a server that is full, starts
/// or stops. Everything else is a refusal, and asking again does not change it.
fn is_transient(failure: &(dyn Error + 'static)) -> bool {
    failure
        .downcast_ref::<tokio_postgres::Error>()
        .is_some_and(|error| match error.code() {
            Some(code) => ["08", "40", "53", "57", "58"].contains(&&code.code()[..2]),
            None => true,
        })
}

struct Tail {
    tenant: Uuid,
    file: PathBuf,
}

impl Tail {
    /// Follows on one connection until it breaks.
    async fn follow(&self, url: &str) -> Result<(), Failure> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let bell = Arc::new(Notify::new());
        tokio::spawn(hear(connection, bell.clone()));
        // Before the first read: what is recorded after it then rings.
        client
            .execute("SELECT activity.listen($1)", &[&self.tenant])
            .await?;
        let mut cursor = self.begin(&client).await?;
        loop {
            let (next, is_end) = self.print_page(&client, &cursor).await?;
            if next != cursor {
                keep(&self.file, &next)?;
                cursor = next;
            }
            if is_end {
                // Whether it rang or not: look.
                let _ = timeout(PATIENCE, bell.notified()).await;
            }
        }
    }

    /// Where it left off; the first time, from now on.
    async fn begin(&self, client: &Client) -> Result<String, Failure> {
        match fs::read_to_string(&self.file) {
            Ok(cursor) => return Ok(cursor.trim_end().into()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Err(_) => {}
        }
        let cursor: String = client
            .query_one("SELECT activity.stream_start()", &[])
            .await?
            .get(0);
        keep(&self.file, &cursor)?;
        Ok(cursor)
    }

    /// Prints what comes next; the cursor behind it, and whether that is all for now.
    async fn print_page(&self, client: &Client, cursor: &str) -> Result<(String, bool), Failure> {
        let page = client
            .query(READ, &[&self.tenant, &cursor, &PAGE_SIZE])
            .await?;
        let (mut output, mut reached, mut is_end) = (io::stdout().lock(), cursor.into(), true);
        for row in page {
            (is_end, reached) = (row.get(0), row.get(1));
            if !is_end {
                writeln!(output, "{}", row.get::<_, &str>(2))?;
            }
        }
        output.flush()?;
        Ok((reached, is_end))
    }
}

/// Drives the connection, rings at each notification, and when the connection breaks: the next
/// read then says how.
async fn hear(mut connection: Connection<Socket, NoTlsStream>, bell: Arc<Notify>) {
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notification(_) = message {
            bell.notify_one();
        }
    }
    drop(connection);
    bell.notify_one();
}

/// Replaces the file as a whole: a reader of it, and a crash, find the old cursor or the new one.
fn keep(file: &Path, cursor: &str) -> io::Result<()> {
    let next = file.with_extension("next");
    let mut written = File::create(&next)?;
    writeln!(written, "{cursor}")?;
    written.sync_all()?;
    fs::rename(next, file)
}
