//! The event that every way of recording writes.

use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use serde_json::{Value, json};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;
use uuid::Uuid;

pub const ACTION: &str = "invoice.payment.received";
pub const ACTOR: (&str, &str) = ("user", "user_4711");
pub const USER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
pub const TENANT: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

/// The columns that a client can prepare; the transaction is a default, the rest is NULL.
pub const COLUMNS: &str = "recorded_at, occurred_at, gen, action_version, event_id, tenant_id, \
     action, status, source, actor_type, actor_id, object_type, object_id, request_id, ip_hash, \
     ip_prefix, user_agent, db_role, metadata";
/// How many [`COLUMNS`] there are.
pub const WIDTH: usize = 19;

/// One event, as a caller of the log knows it and as a row.
pub struct Event {
    at: SystemTime,
    event_id: Uuid,
    pub object_id: String,
    pub request_id: String,
    pub client_ip: IpAddr,
    ip_hash: Vec<u8>,
    ip_prefix: Network,
    pub metadata: Value,
}

impl Event {
    /// The event of a number; no two numbers give the same.
    pub fn new(number: u64) -> Self {
        let [.., a, b, c] = number.wrapping_mul(2_654_435_761).to_be_bytes();
        let client = Ipv4Addr::new(10, a, b, c);
        let request = Uuid::now_v7();
        Self {
            at: SystemTime::now(),
            event_id: Uuid::now_v7(),
            object_id: format!("inv_{:06}", number % 100_000),
            request_id: request.to_string(),
            client_ip: client.into(),
            ip_hash: [request.as_bytes().as_slice(), &[0, 0, 0, 1]].concat(),
            ip_prefix: Network(client),
            metadata: json!({
                "invoice": format!("inv_{:06}", number % 100_000),
                "amount": (number % 100_000) as f64 / 100.0,
                "currency": "EUR",
                "method": "card",
                "is_partial": number.is_multiple_of(7),
                "note": "Second reminder was sent, the customer called and paid at once",
            }),
        }
    }

    /// The values of [`COLUMNS`].
    pub fn row(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.at,
            &self.at,
            &1_i32,
            &1_i32,
            &self.event_id,
            &TENANT,
            &ACTION,
            &"success",
            &"api",
            &ACTOR.0,
            &ACTOR.1,
            &"invoice",
            &self.object_id,
            &self.request_id,
            &self.ip_hash,
            &self.ip_prefix,
            &USER_AGENT,
            &"bench_application",
            &self.metadata,
        ]
    }

    /// The event as an element of the document for `record_many()`.
    pub fn element(&self) -> Value {
        json!({
            "action": ACTION,
            "object_type": "invoice",
            "object_id": self.object_id,
            "client_ip": self.client_ip,
            "request_id": self.request_id,
            "metadata": self.metadata,
        })
    }
}

/// The /24 network of an address, as a `cidr`.
#[derive(Debug)]
struct Network(Ipv4Addr);

impl ToSql for Network {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let [a, b, c, _] = self.0.octets();
        // Family (IPv4), bits, whether it is a cidr, length, address.
        out.extend_from_slice(&[2, 24, 1, 4, a, b, c, 0]);
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::CIDR
    }

    to_sql_checked!();
}
