//! Keys, address hashes and scrubbing, for every event on its way into the log.

use crate::db::{self, Mode, Relation};
use crate::error::{self, Error};
use crate::settings::{self, RedactAddresses};
use activity_log_core::jsonb::{BuildError, Jsonb, Value};
pub use activity_log_core::privacy::MemberClass;
use activity_log_core::privacy::{
    AddressKey, AddressMode, FingerprintKey, ScrubOptions, Scrubber, TextKind, epoch_secret,
    key_id, network_prefix,
};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

/// The epoch whose secret is the master of all fingerprints; it is never rotated, so that equal
/// secrets compare equal for as long as the log lives.
const FINGERPRINT_EPOCH: u32 = 0;

/// What is stored of a client's address.
#[derive(Clone, Copy, Debug)]
pub struct AddressToken {
    /// Key epoch and keyed hash; `None` while no key is at hand (a restored copy).
    pub hash: Option<[u8; 20]>,
    /// The network, as address and mask length.
    pub prefix: (IpAddr, u8),
}

/// The secrets at hand in this backend.
struct Keys {
    fingerprints: Option<[u8; 32]>,
    /// Every usable epoch with its secret, the current one last.
    addresses: Vec<(u32, [u8; 32])>,
    current: Option<(u32, [u8; 32])>,
}

/// The keys of one tenant.
struct TenantKeys {
    fingerprint: Option<FingerprintKey>,
    address: Option<AddressKey>,
}

struct KeptKeys {
    at: u64,
    keys: Keys,
    tenants: HashMap<[u8; 16], Rc<TenantKeys>>,
}

thread_local! {
    static KEYS: RefCell<Option<KeptKeys>> = const { RefCell::new(None) };
    static SCRUBBER: RefCell<Option<(u64, Rc<Scrubber>)>> = const { RefCell::new(None) };
}

/// Derived keys are cheap to make again; a backend that serves very many tenants starts over.
const MAX_KEPT_TENANTS: usize = 4_096;

/// The stored form of a client's address.
pub fn address_token(tenant: &[u8; 16], address: IpAddr) -> Result<AddressToken, Error> {
    let keys = tenant_keys(tenant)?;
    Ok(AddressToken {
        hash: keys.address.as_ref().map(|key| key.hash(address)),
        prefix: network_prefix(address),
    })
}

/// Every hash that the address may have been stored under: one per usable epoch.
pub fn address_hashes(tenant: &[u8; 16], address: IpAddr) -> Result<Vec<[u8; 20]>, Error> {
    tenant_keys(tenant)?;
    Ok(KEYS.with_borrow(|kept| {
        kept.iter()
            .flat_map(|kept| &kept.keys.addresses)
            .map(|(epoch, secret)| AddressKey::derive(secret, tenant, *epoch).hash(address))
            .collect()
    }))
}

/// The document without secrets; `None` if it holds none.
pub fn scrub_document(tenant: &[u8; 16], document: Jsonb<'_>) -> Result<Option<Vec<u8>>, Error> {
    let keys = tenant_keys(tenant)?;
    scrubber()?
        .scrub_jsonb(document, keys.fingerprint.as_ref())
        .map_err(|problem| Error::invalid("metadata", problem.to_string()))
}

/// A text without secrets.
pub fn scrub_text<'a>(
    tenant: &[u8; 16],
    text: &'a str,
    kind: TextKind,
) -> Result<Cow<'a, str>, Error> {
    let keys = tenant_keys(tenant)?;
    Ok(scrubber()?.scrub_text(text, kind, keys.fingerprint.as_ref()))
}

/// What the name of a column says about its values, under the present settings.
pub fn classify(name: &str) -> Result<MemberClass, Error> {
    Ok(scrubber()?.classify(name))
}

/// The scrubber with the keys of one tenant, for many values.
pub struct TenantScrubber {
    scrubber: Rc<Scrubber>,
    keys: Rc<TenantKeys>,
}

impl TenantScrubber {
    pub fn new(tenant: &[u8; 16]) -> Result<Self, Error> {
        Ok(Self {
            scrubber: scrubber()?,
            keys: tenant_keys(tenant)?,
        })
    }

    /// The value of a column as a document of its own, without secrets; `None` if it holds none.
    pub fn hidden(
        &self,
        name: &str,
        class: MemberClass,
        value: Value<'_>,
    ) -> Result<Option<Vec<u8>>, BuildError> {
        let fingerprints = self.keys.fingerprint.as_ref();
        self.scrubber.scrub_member(name, class, value, fingerprints)
    }
}

fn scrubber() -> Result<Rc<Scrubber>, Error> {
    let changes = settings::redaction_changes();
    let kept = SCRUBBER.with_borrow(|kept| {
        kept.as_ref()
            .filter(|(at, _)| *at == changes)
            .map(|(_, scrubber)| Rc::clone(scrubber))
    });
    if let Some(scrubber) = kept {
        return Ok(scrubber);
    }
    let extra = settings::text(&settings::REDACT_KEYS).unwrap_or_default();
    let extra_keys: Vec<&str> = settings::key_names(&extra).collect();
    let addresses = match settings::REDACT_ADDRESSES.get() {
        RedactAddresses::Off => AddressMode::Off,
        RedactAddresses::Keys => AddressMode::Keys,
        RedactAddresses::All => AddressMode::All,
    };
    let scrubber = Scrubber::new(&ScrubOptions {
        extra_keys: &extra_keys,
        addresses,
    })
    .map_err(|_| Error::Internal { place: "scrubber" })?;
    let scrubber = Rc::new(scrubber);
    SCRUBBER.set(Some((changes, Rc::clone(&scrubber))));
    Ok(scrubber)
}

fn tenant_keys(tenant: &[u8; 16]) -> Result<Rc<TenantKeys>, Error> {
    let at = db::changes(Relation::Keys);
    let kept = KEYS.with_borrow(|kept| {
        kept.as_ref()
            .filter(|kept| kept.at == at)?
            .tenants
            .get(tenant)
            .map(Rc::clone)
    });
    if let Some(keys) = kept {
        return Ok(keys);
    }
    if !KEYS.with_borrow(|kept| kept.as_ref().is_some_and(|kept| kept.at == at)) {
        // Finding the relation makes its notices of change reach us.
        db::oid(Relation::Keys)?;
        let keys = load()?;
        KEYS.set(Some(KeptKeys {
            at,
            keys,
            tenants: HashMap::new(),
        }));
    }
    KEYS.with_borrow_mut(|kept| {
        let kept = kept.as_mut().ok_or(Error::Internal { place: "keys" })?;
        if kept.tenants.len() >= MAX_KEPT_TENANTS {
            kept.tenants.clear();
        }
        let keys = Rc::new(derive(&kept.keys, tenant));
        kept.tenants.insert(*tenant, Rc::clone(&keys));
        Ok(keys)
    })
}

fn derive(keys: &Keys, tenant: &[u8; 16]) -> TenantKeys {
    TenantKeys {
        fingerprint: keys
            .fingerprints
            .map(|master| FingerprintKey::derive(&master, tenant)),
        address: keys
            .current
            .map(|(epoch, secret)| AddressKey::derive(&secret, tenant, epoch)),
    }
}

/// An epoch as the log knows it, and its secret where the key table has it.
struct Epoch {
    number: u32,
    is_file: bool,
    key_id: Option<Vec<u8>>,
    secret: Option<Vec<u8>>,
}

fn load() -> Result<Keys, Error> {
    let file = KeyFile::read();
    if let KeyFile::Unusable(problem) = file {
        // Addresses are then stored by their network only; status() says so as well.
        error::log(format!("activity_log: activity.key_file {problem}"));
    }
    let epochs = db::query(
        Mode::ReadLatest,
        "SELECT e.epoch, e.source = 'file', e.key_id, k.secret FROM activity.key_epochs e \
         LEFT JOIN activity.keys k USING (epoch) ORDER BY e.epoch",
        &[],
        |row| {
            Ok(Epoch {
                number: row.must::<i32>(1, "key_epochs")?.unsigned_abs(),
                is_file: row.must(2, "key_epochs")?,
                key_id: row.get(3),
                secret: row.get(4),
            })
        },
    )?;
    Ok(usable(file, &epochs))
}

/// Which epochs can be used: those of the key file that is configured, and those of the key table
/// whose secret is still there.
fn usable(file: KeyFile, epochs: &[Epoch]) -> Keys {
    let secret_of = |epoch: &Epoch| -> Option<[u8; 32]> {
        if epoch.is_file {
            let KeyFile::Master(master) = file else {
                return None;
            };
            (epoch.key_id.as_deref() == Some(&key_id(&master)[..]))
                .then(|| epoch_secret(&master, epoch.number))
        } else {
            epoch.secret.as_deref()?.try_into().ok()
        }
    };
    let mut keys = Keys {
        fingerprints: None,
        addresses: Vec::new(),
        current: None,
    };
    for epoch in epochs {
        let Some(secret) = secret_of(epoch) else {
            continue;
        };
        if epoch.number == FINGERPRINT_EPOCH {
            keys.fingerprints = Some(secret);
        } else {
            keys.addresses.push((epoch.number, secret));
        }
    }
    keys.current = epochs
        .iter()
        .rev()
        .filter(|epoch| epoch.number != FINGERPRINT_EPOCH && epoch.is_file == file.is_configured())
        .find_map(|epoch| Some((epoch.number, secret_of(epoch)?)));
    keys
}

/// What the setting `activity.key_file` leads to.
#[derive(Clone, Copy)]
enum KeyFile {
    /// No file is named: the key table serves.
    None,
    Master([u8; 32]),
    /// A file is named and can't be used. The key table must not step in: its key may be known to
    /// those whom the file was to keep out.
    Unusable(&'static str),
}

impl KeyFile {
    fn read() -> Self {
        match settings::text(&settings::KEY_FILE) {
            None => Self::None,
            Some(path) => master_of(&path).map_or_else(Self::Unusable, Self::Master),
        }
    }

    fn is_configured(self) -> bool {
        !matches!(self, Self::None)
    }

    /// The master key, if a file is named.
    fn master(self) -> Result<Option<[u8; 32]>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Master(master) => Ok(Some(master)),
            Self::Unusable(problem) => Err(Error::KeyFile { problem }),
        }
    }
}

fn master_of(path: &str) -> Result<[u8; 32], &'static str> {
    let path = std::path::Path::new(path);
    if !path.is_absolute() {
        return Err("must be an absolute path");
    }
    let resolved = path.canonicalize().map_err(|_| "can't be read")?;
    let data = std::path::Path::new(&db::data_directory())
        .canonicalize()
        .map_err(|_| "can't be compared with the data directory")?;
    if resolved.starts_with(data) {
        return Err("lies inside the data directory, so every base backup would carry it");
    }
    let text = std::fs::read_to_string(resolved).map_err(|_| "can't be read")?;
    parse_master(text.trim()).ok_or("does not hold 64 hexadecimal digits")
}

fn parse_master(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut master = [0u8; 32];
    for (byte, digits) in master.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(master)
}

/// Where the key for addresses comes from: `file`, `table`, `missing` where there is none at
/// hand, `unusable` where a key file is named that can't be used.
pub fn key_state() -> Result<&'static str, Error> {
    tenant_keys(&crate::access::SYSTEM_TENANT)?;
    let is_at_hand = KEYS.with_borrow(|kept| {
        kept.as_ref()
            .is_some_and(|kept| kept.keys.current.is_some())
    });
    Ok(match KeyFile::read() {
        KeyFile::Unusable(_) => "unusable",
        _ if !is_at_hand => "missing",
        KeyFile::Master(_) => "file",
        KeyFile::None => "table",
    })
}

/// Makes the key epochs that are missing: that of fingerprints, and a current one for addresses.
/// Returns the new current epoch, if one was made.
pub fn ensure_keys() -> Result<Option<i32>, Error> {
    let file = KeyFile::read().master()?;
    let keys = load()?;
    if keys.fingerprints.is_none() {
        replace_fingerprint_key(file)?;
    }
    if keys.current.is_some() {
        Ok(None)
    } else {
        add_epoch(file).map(Some)
    }
}

fn replace_fingerprint_key(file: Option<[u8; 32]>) -> Result<(), Error> {
    db::run("DELETE FROM activity.key_epochs WHERE epoch = 0", &[])?;
    insert_epoch(FINGERPRINT_EPOCH as i32, file)
}

fn add_epoch(file: Option<[u8; 32]>) -> Result<i32, Error> {
    let epoch = db::value::<i32>(
        Mode::Write,
        "SELECT coalesce(max(epoch), 0) + 1 FROM activity.key_epochs",
        &[],
    )?
    .ok_or(Error::Internal {
        place: "key_epochs",
    })?;
    insert_epoch(epoch, file)?;
    Ok(epoch)
}

fn insert_epoch(epoch: i32, file: Option<[u8; 32]>) -> Result<(), Error> {
    let key_id = file.map(|master| key_id(&master));
    db::run(
        "INSERT INTO activity.key_epochs (epoch, source, key_id) VALUES ($1, $2, $3)",
        &[
            db::int(epoch),
            db::text(Some(if file.is_some() { "file" } else { "table" })),
            key_id.map_or((pgrx::pg_sys::BYTEAOID, None), |id| db::bytes(&id)),
        ],
    )?;
    // A file's epochs are derived from its master; only the table's own need a stored secret.
    // The statement on the table also tells every session to read the keys again.
    db::run(
        "DELETE FROM activity.keys WHERE epoch = $1",
        &[db::int(epoch)],
    )?;
    if file.is_none() {
        // Made by the server as it runs the statement: a parameter could be printed with the plan.
        db::run(
            "INSERT INTO activity.keys (epoch, secret) VALUES ($1, sha256( \
             uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || \
             uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))",
            &[db::int(epoch)],
        )?;
    }
    Ok(())
}

/// Starts a new key epoch: addresses recorded from now on hash differently. Earlier epochs stay
/// usable for search until their secret is deleted.
pub fn rotate() -> Result<i32, Error> {
    let file = KeyFile::read().master()?;
    db::run(
        "LOCK TABLE activity.key_epochs IN SHARE ROW EXCLUSIVE MODE",
        &[],
    )?;
    add_epoch(file)
}
