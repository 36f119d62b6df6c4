//! sqlx as a [`Driver`], with a pool of one connection.

use crate::driver::{Driver, Event, Outcome, Recorded, Refusal, WHO_AM_I};
use activity_log_drivers::with_sqlx as snippet;
use serde_json::Value;
use sqlx::postgres::{PgPool, PgRow, PgTransaction};
use sqlx::{Error, Row};
use uuid::Uuid;

pub struct Sqlx(PgPool);

impl Sqlx {
    async fn begin(&self, tenant: Uuid, actor: &str) -> PgTransaction<'static> {
        let context = snippet::begin(&self.0, tenant, actor, Some(Self::CLIENT_IP));
        context.await.expect("a context")
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

fn event(row: &PgRow) -> Event {
    Event {
        event_id: row.get("event_id"),
        tenant_id: row.get("tenant_id"),
        actor_id: row.get("actor_id"),
        ip_prefix: row.get("ip_prefix"),
        object_id: row.get("object_id"),
        metadata: row.get("metadata"),
    }
}

fn outcome(row: &PgRow) -> Outcome {
    Outcome {
        ordinal: row.get("ordinal"),
        event_id: row.get("event_id"),
        inserted: row.get("inserted"),
    }
}

impl Driver for Sqlx {
    async fn connect() -> Self {
        Self(snippet::connect(1).await.expect("a pool"))
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
        let mut transaction = self.begin(tenant, actor).await;
        let mut ids = Vec::new();
        for (action, metadata, object) in events {
            let id = snippet::record(&mut transaction, action, metadata, *object).await;
            ids.push(id.map_err(refusal)?);
        }
        transaction.commit().await.map_err(refusal)?;
        Ok(ids)
    }

    async fn record_and_roll_back(&mut self, tenant: Uuid, actor: &str, event: Recorded<'_>) {
        let mut transaction = self.begin(tenant, actor).await;
        snippet::record(&mut transaction, event.0, &event.1, event.2)
            .await
            .expect("an event");
    }

    async fn record_and_look(&mut self, tenant: Uuid, actor: &str) -> (i32, Value) {
        let mut transaction = self.begin(tenant, actor).await;
        snippet::record(
            &mut transaction,
            "auth.logout",
            &serde_json::json!({}),
            None,
        )
        .await
        .expect("an event");
        let row = sqlx::query(WHO_AM_I)
            .fetch_one(&mut *transaction)
            .await
            .expect("a row");
        transaction.commit().await.expect("a commit");
        (row.get(0), row.get(1))
    }

    async fn record_many(
        &mut self,
        tenant: Uuid,
        actor: &str,
        events: &Value,
    ) -> Result<Vec<Outcome>, Refusal> {
        let mut transaction = self.begin(tenant, actor).await;
        let rows = snippet::record_many(&mut transaction, events)
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
        let row = sqlx::query(WHO_AM_I)
            .fetch_one(&self.0)
            .await
            .expect("a row");
        (row.get(0), row.get(1))
    }

    async fn record_without_context(&mut self, action: &str) -> Result<(), Refusal> {
        let query = sqlx::query("SELECT activity.record($1)").bind(action);
        query.execute(&self.0).await.map(drop).map_err(refusal)
    }
}
