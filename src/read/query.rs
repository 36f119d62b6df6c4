//! What `list()` is asked for, as conditions and parameters.

use super::event::COLUMNS;
use crate::db::{self, Parameter};
use crate::error::Error;
use crate::privacy;
use crate::record::metadata_object;
use crate::value::{Address, JsonbArg, given};
use activity_log_core::jsonb::{Jsonb, Value};
use activity_log_core::read::ListCursor;
use activity_log_core::record::Status;
use activity_log_core::registry::action::ActionPattern;
use pgrx::pg_sys;
use pgrx::prelude::*;

/// What `list()` is asked for, checked.
pub(super) struct Query {
    pub(super) tenant_id: [u8; 16],
    pub(super) conditions: Vec<String>,
    pub(super) parameters: Vec<Parameter>,
    /// The times of occurrence that can be in the page: from `since` up to `limit`, both included.
    pub(super) since: i64,
    pub(super) limit: i64,
    /// Whether anything is asked for besides the tenant and the time.
    pub(super) is_filtered: bool,
    pub(super) page_size: usize,
}

impl Query {
    pub(super) fn new(tenant_id: [u8; 16], page_size: usize) -> Self {
        Self {
            tenant_id,
            conditions: vec!["tenant_id = $1".into()],
            parameters: vec![db::uuid(&tenant_id)],
            since: i64::MIN,
            limit: i64::MAX,
            is_filtered: false,
            page_size,
        }
    }

    /// Adds a condition; `$` in it stands for the place of its parameter.
    fn filter(&mut self, condition: &str, parameter: Parameter) {
        self.is_filtered = true;
        self.restrict(condition, parameter);
    }

    fn restrict(&mut self, condition: &str, parameter: Parameter) {
        self.parameters.push(parameter);
        self.conditions
            .push(condition.replace('$', &format!("${}", self.parameters.len())));
    }

    pub(super) fn filter_text(&mut self, condition: &str, text: Option<&str>) {
        if let Some(text) = given(text) {
            self.filter(condition, db::text(Some(text)));
        }
    }

    /// Rows that follow the cursor's.
    pub(super) fn after(&mut self, cursor: ListCursor) {
        self.limit = self.limit.min(cursor.occurred_at);
        self.parameters.push(db::time(cursor.occurred_at));
        let at = self.parameters.len();
        self.parameters.push(db::uuid(&cursor.event_id));
        self.conditions
            .push(format!("(occurred_at, event_id) < (${at}, ${})", at + 1));
    }

    /// The page of one partition.
    pub(super) fn sql(&self, partition: &str) -> String {
        format!(
            "SELECT {COLUMNS} FROM ONLY {partition} WHERE {} \
             ORDER BY occurred_at DESC, event_id DESC LIMIT {}",
            self.conditions.join(" AND "),
            self.page_size
        )
    }
}

pub(super) fn filter_action(query: &mut Query, action: Option<&str>) -> Result<(), Error> {
    let Some(action) = given(action) else {
        return Ok(());
    };
    let pattern = ActionPattern::parse(action).map_err(|problem| Error::Invalid {
        argument: "action",
        problem: problem.to_string().into(),
        hint: Some("Give an action, or a prefix of actions as in 'auth.*'."),
    })?;
    match pattern {
        ActionPattern::Exact(_) => query.filter("action = $", db::text(Some(action))),
        ActionPattern::Prefix(_) => {
            query.filter("action >= $", db::text(Some(pattern.lower_bound())));
            if let Some(upper) = pattern.upper_bound() {
                query.filter("action < $", db::text(Some(&upper)));
            }
        }
    }
    Ok(())
}

pub(super) fn filter_status(query: &mut Query, status: Option<&str>) -> Result<(), Error> {
    let Some(status) = given(status) else {
        return Ok(());
    };
    Status::parse(status).ok_or_else(|| {
        Error::invalid(
            "status",
            "it must be one of success, failure, error and denied",
        )
    })?;
    query.filter("status = $", db::text(Some(status)));
    Ok(())
}

/// Addresses are found by their hashes under every key epoch that is still usable.
pub(super) fn filter_address(query: &mut Query, client_ip: Option<Address>) -> Result<(), Error> {
    let Some(address) = client_ip else {
        return Ok(());
    };
    let ip = address.as_host("client_ip")?;
    let hashes = privacy::address_hashes(&query.tenant_id, ip)?;
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| &hash[..]).collect();
    query.filter(
        "ip_hash = ANY ($)",
        (pg_sys::BYTEAARRAYOID, hashes.into_datum()),
    );
    Ok(())
}

pub(super) fn filter_times(
    query: &mut Query,
    since: Option<TimestampWithTimeZone>,
    until: Option<TimestampWithTimeZone>,
) {
    if let Some(since) = since.map(i64::from) {
        query.since = since;
        query.restrict("occurred_at >= $", db::time(since));
    }
    if let Some(until) = until.map(i64::from) {
        query.limit = query.limit.min(until.saturating_sub(1));
        query.restrict("occurred_at < $", db::time(until));
    }
}

pub(super) fn filter_metadata(
    query: &mut Query,
    metadata: Option<JsonbArg<'_>>,
) -> Result<(), Error> {
    if metadata.is_none() {
        return Ok(());
    }
    let container = metadata_object(metadata)?;
    let is_empty = Jsonb::new(&container)
        .is_ok_and(|d| matches!(d.root(), Value::Object(object) if object.is_empty()));
    if !is_empty {
        query.filter("metadata @> $", db::jsonb(&container));
    }
    Ok(())
}
