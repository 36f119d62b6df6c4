//! A bulk statement in one event for each tenant: how many rows, and a few of them.

use super::tenant::Tenant;
use crate::error::Error;
use activity_log_core::jsonb::{Builder, Jsonb};
use std::collections::BTreeMap;

/// Rows that a summary shows, and the bytes that they may take together.
const SAMPLE_ROWS: usize = 5;
const SAMPLE_BYTES: usize = 8 * 1024;

/// What a statement did to rows, counted.
#[derive(Default)]
pub(super) struct Summary(BTreeMap<Subject, Tally>);

/// Whose rows, and which of the actions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subject {
    pub(super) tenant_id: [u8; 16],
    pub(super) is_missing: bool,
    pub(super) action: usize,
}

impl Subject {
    pub(super) fn new(tenant: Tenant, action: usize) -> Self {
        Self {
            tenant_id: tenant.id(),
            is_missing: tenant == Tenant::Missing,
            action,
        }
    }
}

#[derive(Default)]
struct Tally {
    rows: i64,
    sample: Vec<(Option<String>, Vec<u8>)>,
    sample_bytes: usize,
}

impl Summary {
    /// Counts a row; whether it may be shown as well.
    pub(super) fn count(&mut self, subject: Subject) -> bool {
        let tally = self.0.entry(subject).or_default();
        tally.rows += 1;
        tally.sample.len() < SAMPLE_ROWS && tally.sample_bytes < SAMPLE_BYTES
    }

    /// Shows a row that was counted: its name, and the document of its change.
    pub(super) fn show(&mut self, subject: Subject, name: Option<&str>, changes: &[u8]) {
        let tally = self.0.entry(subject).or_default();
        if tally.sample_bytes + changes.len() <= SAMPLE_BYTES {
            tally
                .sample
                .push((name.map(str::to_owned), changes.to_vec()));
        }
        tally.sample_bytes += changes.len();
    }

    /// The metadata of each event that is to be written.
    pub(super) fn metadata(&self) -> Result<Vec<(Subject, Vec<u8>)>, Error> {
        self.0
            .iter()
            .map(|(subject, tally)| Ok((*subject, document(*subject, tally)?)))
            .collect()
    }
}

fn document(subject: Subject, tally: &Tally) -> Result<Vec<u8>, Error> {
    let malformed = |_| Error::Internal { place: "summary" };
    let mut builder = Builder::new();
    builder.begin_object();
    builder.key("rows");
    builder.integer(tally.rows);
    builder.key("sample");
    builder.begin_array();
    for (name, changes) in &tally.sample {
        builder.begin_object();
        builder.key("object_id");
        match name {
            Some(name) => builder.string(name),
            None => builder.null(),
        }
        builder.key("changes");
        builder.value(Jsonb::new(changes).map_err(malformed)?.root());
        builder.end();
    }
    builder.end();
    if subject.is_missing {
        builder.key("missing_tenant");
        builder.bool(true);
    }
    builder.end();
    builder
        .finish()
        .map_err(|_| Error::Internal { place: "summary" })
}
