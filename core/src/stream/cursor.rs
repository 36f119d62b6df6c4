//! The place in the stream that a reader has come to, as text.

use super::bytes::Reader;
use super::point::Point;
use sha2::{Digest, Sha256};

/// Whose events a cursor is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nobody's in particular: it only says from when on.
    Any,
    /// One tenant's.
    Tenant([u8; 16]),
    /// Every tenant's.
    All,
}

/// Where a reader began, or what it has seen completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing yet; what was recorded before `since` is not wanted.
    Beginning {
        /// In the microseconds of the server; `None` for the whole log.
        since: Option<i64>,
    },
    /// Everything up to a point.
    Seen(Point),
}

/// The last event that was given, in the order of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of the event's life.
    pub life: i32,
    /// Its transaction.
    pub xact: u64,
    /// Its id.
    pub event_id: [u8; 16],
}

/// A reader in the midst of what lies between its base and a later point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where these pages end.
    pub target: Point,
    /// How far it has come.
    pub after: Position,
}

/// What a reader has been given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// What it has seen completely.
    pub base: Base,
    /// What it has seen in part.
    pub page: Option<Page>,
}

/// The cursor was not given out for this log and scope, or it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCursor;

const VERSION: u8 = 1;
const CHECK: usize = 8;

/// No cursor is longer than this, however many transactions are open.
pub const MAX_CHARACTERS: usize = 4_200;

const IS_BOUND: u8 = 1;
const HAS_SINCE: u8 = 2;
const HAS_POINT: u8 = 4;
const HAS_PAGE: u8 = 8;

impl Cursor {
    /// The cursor as URL-safe text, bound to a log and a scope.
    ///
    /// The check finds damage and mix-ups. It is no signature: rights are checked at every read.
    #[must_use]
    pub fn encode(&self, log_id: &[u8; 16], scope: Scope) -> String {
        match &self.page {
            None => CursorWriter::new(&self.base, None, log_id, scope).finish(),
            Some(page) => {
                CursorWriter::new(&self.base, Some(&page.target), log_id, scope).at(&page.after)
            }
        }
    }

    /// Reads back a cursor that was given out for this scope, or for [`Scope::Any`].
    ///
    /// # Errors
    /// [`BadCursor`] if it is damaged, or belongs to another log or tenant.
    pub fn decode(text: &str, log_id: &[u8; 16], scope: Scope) -> Result<Self, BadCursor> {
        if text.len() > MAX_CHARACTERS {
            return Err(BadCursor);
        }
        let bytes = data_encoding::BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map_err(|_| BadCursor)?;
        let at = bytes.len().checked_sub(CHECK).ok_or(BadCursor)?;
        let (body, found) = bytes.split_at(at);
        let flags = *body.get(1).ok_or(BadCursor)?;
        let scope = if flags & IS_BOUND == 0 {
            Scope::Any
        } else {
            scope
        };
        let expected = finish(begin(log_id, scope).chain_update(body));
        if body[0] != VERSION || found != expected {
            return Err(BadCursor);
        }
        let mut reader = Reader(&body[2..]);
        let cursor = Self::read(flags, &mut reader).ok_or(BadCursor)?;
        if reader.0.is_empty() {
            Ok(cursor)
        } else {
            Err(BadCursor)
        }
    }

    fn read(flags: u8, from: &mut Reader<'_>) -> Option<Self> {
        let base = if flags & HAS_POINT != 0 {
            Base::Seen(Point::decode(from)?)
        } else if flags & HAS_SINCE != 0 {
            let since = Some(from.signed()?);
            Base::Beginning { since }
        } else {
            Base::Beginning { since: None }
        };
        let page = if flags & HAS_PAGE != 0 {
            Some(Page {
                target: Point::decode(from)?,
                after: Position {
                    life: i32::from_be_bytes(from.array()?),
                    xact: u64::from_be_bytes(from.array()?),
                    event_id: from.array()?,
                },
            })
        } else {
            None
        };
        Some(Self { base, page })
    }
}

/// Writes the cursors of one page, which differ only in their position.
pub struct CursorWriter {
    body: Vec<u8>,
    check: Sha256,
}

impl CursorWriter {
    /// For cursors with this base, in the midst of pages up to `target` if one is given.
    #[must_use]
    pub fn new(base: &Base, target: Option<&Point>, log_id: &[u8; 16], scope: Scope) -> Self {
        let mut body = vec![VERSION, flags(base, target.is_some(), scope)];
        match base {
            Base::Beginning { since: Some(since) } => super::bytes::put_signed(&mut body, *since),
            Base::Beginning { since: None } => {}
            Base::Seen(point) => point.encode(&mut body),
        }
        if let Some(target) = target {
            target.encode(&mut body);
        }
        let check = begin(log_id, scope).chain_update(&body);
        Self { body, check }
    }

    /// The cursor of an event of the page.
    #[must_use]
    pub fn at(&self, position: &Position) -> String {
        let mut tail = [0u8; 28];
        tail[..4].copy_from_slice(&position.life.to_be_bytes());
        tail[4..12].copy_from_slice(&position.xact.to_be_bytes());
        tail[12..].copy_from_slice(&position.event_id);
        let check = finish(self.check.clone().chain_update(tail));
        data_encoding::BASE64URL_NOPAD.encode(&[&self.body[..], &tail, &check].concat())
    }

    /// The cursor without a position.
    #[must_use]
    pub fn finish(self) -> String {
        let check = finish(self.check);
        data_encoding::BASE64URL_NOPAD.encode(&[&self.body[..], &check].concat())
    }
}

fn flags(base: &Base, has_page: bool, scope: Scope) -> u8 {
    let of_base = match base {
        Base::Beginning { since: None } => 0,
        Base::Beginning { since: Some(_) } => HAS_SINCE,
        Base::Seen(_) => HAS_POINT,
    };
    let of_scope = if scope == Scope::Any { 0 } else { IS_BOUND };
    of_base | of_scope | if has_page { HAS_PAGE } else { 0 }
}

fn begin(log_id: &[u8; 16], scope: Scope) -> Sha256 {
    let hasher = Sha256::new()
        .chain_update(b"activity_log/stream/v1\n")
        .chain_update(log_id);
    match scope {
        Scope::Any => hasher.chain_update(b"any"),
        Scope::Tenant(tenant) => hasher.chain_update(b"one").chain_update(tenant),
        Scope::All => hasher.chain_update(b"all"),
    }
}

fn finish(hasher: Sha256) -> [u8; CHECK] {
    let digest = hasher.finalize();
    let mut check = [0u8; CHECK];
    check.copy_from_slice(&digest[..CHECK]);
    check
}
