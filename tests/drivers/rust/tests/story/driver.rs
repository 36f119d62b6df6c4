//! The two drivers behind one interface, so that one story tries them both.

use serde_json::Value;
use uuid::Uuid;

/// An event as the log returns it, as far as the story looks at it.
#[derive(Debug, PartialEq)]
pub struct Event {
    pub event_id: Uuid,
    pub tenant_id: Uuid,
    pub actor_id: Option<String>,
    pub ip_prefix: Option<String>,
    pub object_id: Option<String>,
    pub metadata: Value,
}

/// What `record_many()` says of one event.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub ordinal: i32,
    pub event_id: Option<Uuid>,
    pub inserted: bool,
}

/// An error, taken apart by the snippet.
#[derive(Debug)]
pub struct Refusal {
    pub sqlstate: String,
    pub detail: Value,
    pub hint: String,
}

/// Something to record: action, metadata, object.
pub type Recorded<'a> = (&'a str, Value, Option<&'a str>);

/// What the story needs of a driver. A connection is what the snippet's `connect()` returns.
pub trait Driver: Sized {
    const CLIENT_IP: &str = "203.0.113.7";

    /// One connection, or a pool of one.
    async fn connect() -> Self;

    /// Runs the program of the documentation.
    fn run_program();

    /// Records the events in one transaction and commits it.
    async fn record(
        &mut self,
        tenant: Uuid,
        actor: &str,
        events: &[Recorded<'_>],
    ) -> Result<Vec<Uuid>, Refusal>;

    /// Records one event in a transaction that is given up.
    async fn record_and_roll_back(&mut self, tenant: Uuid, actor: &str, event: Recorded<'_>);

    /// Records one event and returns the backend and the context of its transaction.
    async fn record_and_look(&mut self, tenant: Uuid, actor: &str) -> (i32, Value);

    async fn record_many(
        &mut self,
        tenant: Uuid,
        actor: &str,
        events: &Value,
    ) -> Result<Vec<Outcome>, Refusal>;

    async fn read_all(&mut self, tenant: Uuid, page_size: i32) -> Vec<Event>;

    /// The backend and the context as the next user of the connection finds them.
    async fn look(&mut self) -> (i32, Value);

    /// Calls `record()` as that user, without a context.
    async fn record_without_context(&mut self, action: &str) -> Result<(), Refusal>;
}

/// What `look()` asks the server.
pub const WHO_AM_I: &str = "SELECT pg_backend_pid(), activity.context()";
