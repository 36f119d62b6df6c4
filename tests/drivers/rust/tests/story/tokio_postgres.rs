//! tokio-postgres as a [`Driver`]; its "pool" is one client.

use crate::driver::{Driver, Event, Outcome, Recorded, Refusal, WHO_AM_I};
use activity_log_drivers::with_tokio_postgres as snippet;
use serde_json::Value;
use tokio_postgres::{Client, Error, Row, Transaction};
use uuid::Uuid;

pub struct TokioPostgres(Client);

impl TokioPostgres {
    async fn begin(&mut self, tenant: Uuid, actor: &str) -> Transaction<'_> {
        let client_ip = Self::CLIENT_IP.parse().ok();
        snippet::begin(&mut self.0, tenant, actor, client_ip)
            .await
            .expect("a context")
    }
}

fn refusal(error: Error) -> Refusal {
    let (sqlstate, detail, hint) = snippet::refusal(&error).expect("an error of the server");
    Refusal {
        sqlstate: sqlstate.into(),
        detail,
        hint: hint.into(),
    }
}

fn event(row: &Row) -> Event {
    Event {
        event_id: row.get("event_id"),
        tenant_id: row.get("tenant_id"),
        actor_id: row.get("actor_id"),
        ip_prefix: row.get("ip_prefix"),
        object_id: row.get("object_id"),
        metadata: row.get("metadata"),
    }
}

fn outcome(row: &Row) -> Outcome {
    Outcome {
        ordinal: row.get("ordinal"),
        event_id: row.get("event_id"),
        inserted: row.get("inserted"),
    }
}

impl Driver for TokioPostgres {
    async fn connect() -> Self {
        Self(snippet::connect().await.expect("a connection"))
    }

    fn run_program() {
        snippet::main().expect("the program ends well");
    }

    async fn record(
        &mut self,
        tenant: Uuid,
        actor: &str,
        events: &[Recorded<'_>],
    ) -> Result<Vec<Uuid>, Refusal> {
        let transaction = self.begin(tenant, actor).await;
        let mut ids = Vec::new();
        for (action, metadata, object) in events {
            let id = snippet::record(&transaction, action, metadata, *object).await;
            ids.push(id.map_err(refusal)?);
        }
        transaction.commit().await.map_err(refusal)?;
        Ok(ids)
    }

    async fn record_and_roll_back(&mut self, tenant: Uuid, actor: &str, event: Recorded<'_>) {
        let transaction = self.begin(tenant, actor).await;
        snippet::record(&transaction, event.0, &event.1, event.2)
            .await
            .expect("an event");
    }

    async fn record_and_look(&mut self, tenant: Uuid, actor: &str) -> (i32, Value) {
        let transaction = self.begin(tenant, actor).await;
        snippet::record(&transaction, "auth.logout", &serde_json::json!({}), None)
            .await
            .expect("an event");
        let row = transaction.query_one(WHO_AM_I, &[]).await.expect("a row");
        transaction.commit().await.expect("a commit");
        (row.get(0), row.get(1))
    }

    async fn record_many(
        &mut self,
        tenant: Uuid,
        actor: &str,
        events: &Value,
    ) -> Result<Vec<Outcome>, Refusal> {
        let transaction = self.begin(tenant, actor).await;
        let rows = snippet::record_many(&transaction, events)
            .await
            .map_err(refusal)?;
        transaction.commit().await.map_err(refusal)?;
        Ok(rows.iter().map(outcome).collect())
    }

    async fn read_all(&mut self, tenant: Uuid, page_size: i32) -> Vec<Event> {
        let rows = snippet::read_all(&self.0, tenant, page_size)
            .await
            .expect("events");
        rows.iter().map(event).collect()
    }

    async fn look(&mut self) -> (i32, Value) {
        let row = self.0.query_one(WHO_AM_I, &[]).await.expect("a row");
        (row.get(0), row.get(1))
    }

    async fn record_without_context(&mut self, action: &str) -> Result<(), Refusal> {
        let outcome = self
            .0
            .execute("SELECT activity.record($1)", &[&action])
            .await;
        outcome.map(drop).map_err(refusal)
    }
}
