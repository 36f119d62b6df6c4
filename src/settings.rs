//! Every setting of the extension, described once: docs/settings.md says the same in more words.

#![allow(unsafe_code)]

use activity_log_core::privacy::{AddressMode, ScrubOptions, Scrubber};
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::{PostgresGucEnum, pg_guard, pg_sys};
use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicU64, Ordering};

/// What happens to an event whose action or metadata the registry does not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum Registry {
    /// It is refused.
    #[name = c"enforce"]
    Enforce,
    /// It is recorded, with a warning.
    #[name = c"warn"]
    Warn,
    /// The registry is not asked.
    #[name = c"off"]
    Off,
}

/// What an event that can't be recorded does to the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum OnError {
    /// The statement fails: no audit, no business write.
    #[name = c"raise"]
    Raise,
    /// The statement goes on with a warning, and the event is lost.
    #[name = c"warn"]
    Warn,
}

/// Which addresses inside metadata are replaced by their network prefix and a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum RedactAddresses {
    /// None.
    #[name = c"off"]
    Off,
    /// Those under keys that name an address.
    #[name = c"keys"]
    Keys,
    /// Every text that looks like one.
    #[name = c"all"]
    All,
}

/// How readers learn of new events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum Notify {
    /// The worker rings after the commit.
    #[name = c"worker"]
    Worker,
    /// The writing transaction rings.
    #[name = c"commit"]
    Commit,
    /// Nobody does.
    #[name = c"off"]
    Off,
}

pub static TENANT_ID: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static ACTOR_ID: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static ACTOR_TYPE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static CLIENT_IP: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static USER_AGENT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static REQUEST_ID: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

pub static REGISTRY: GucSetting<Registry> = GucSetting::<Registry>::new(Registry::Enforce);
pub static ON_ERROR: GucSetting<OnError> = GucSetting::<OnError>::new(OnError::Raise);
pub static REDACT_KEYS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
pub static REDACT_ADDRESSES: GucSetting<RedactAddresses> =
    GucSetting::<RedactAddresses>::new(RedactAddresses::Off);
pub static MAX_METADATA_SIZE: GucSetting<i32> = GucSetting::<i32>::new(16 * 1024);
pub static MAX_VALUE_SIZE: GucSetting<i32> = GucSetting::<i32>::new(16 * 1024);
pub static CAPTURE_ROW_LIMIT: GucSetting<i32> = GucSetting::<i32>::new(0);
pub static REQUIRE_PIN: GucSetting<bool> = GucSetting::<bool>::new(false);
pub static NOTIFY: GucSetting<Notify> = GucSetting::<Notify>::new(Notify::Worker);
pub static NOTIFY_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(20);
pub static DURABLE_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(5_000);
pub static MAINTENANCE_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(300);
pub static KEY_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

/// Counts the changes of the six settings of the context, so that their parsed form can be kept.
static CONTEXT_CHANGES: AtomicU64 = AtomicU64::new(1);
/// Counts the changes of the settings that the scrubber is compiled from.
static REDACTION_CHANGES: AtomicU64 = AtomicU64::new(1);

/// Moves whenever a setting of the context is assigned, also by rollback and `SET LOCAL`'s end.
pub fn context_changes() -> u64 {
    CONTEXT_CHANGES.load(Ordering::Relaxed)
}

/// Moves whenever a setting of redaction is assigned.
pub fn redaction_changes() -> u64 {
    REDACTION_CHANGES.load(Ordering::Relaxed)
}

/// The text of a setting; `None` if it is unset or empty.
pub fn text(setting: &GucSetting<Option<CString>>) -> Option<String> {
    setting
        .get()
        .and_then(|value| value.into_string().ok())
        .filter(|value| !value.is_empty())
}

/// Defines every setting. The master key's file can only be named where the server starts, and
/// a library that is loaded later can't define such a setting any more.
pub fn define() {
    define_context();
    define_policy();
    define_redaction();
    define_capture();
    define_notification();
    reserve_prefix();
}

fn define_context() {
    let checked: [(
        _,
        _,
        &'static GucSetting<Option<CString>>,
        pg_sys::GucStringCheckHook,
    ); 6] = [
        (
            c"activity.tenant_id",
            c"Tenant of the current request (a UUID).",
            &TENANT_ID,
            Some(check_tenant_id),
        ),
        (
            c"activity.actor_id",
            c"Who acts in the current request.",
            &ACTOR_ID,
            None,
        ),
        (
            c"activity.actor_type",
            c"Kind of the actor: user, service, system.",
            &ACTOR_TYPE,
            None,
        ),
        (
            c"activity.client_ip",
            c"Address of the client of the current request.",
            &CLIENT_IP,
            Some(check_client_ip),
        ),
        (
            c"activity.user_agent",
            c"User agent of the current request.",
            &USER_AGENT,
            None,
        ),
        (
            c"activity.request_id",
            c"Identifier of the current request, as in the application's own logs.",
            &REQUEST_ID,
            None,
        ),
    ];
    for (name, description, setting, check) in checked {
        // SAFETY: the hooks are guarded and touch only their arguments and an atomic.
        unsafe {
            GucRegistry::define_string_guc_with_hooks(
                name,
                description,
                c"Part of the context: what record() is not given comes from here. Set it with activity.set_context() or SET LOCAL.",
                setting,
                GucContext::Userset,
                GucFlags::default(),
                check,
                Some(context_assigned),
                None,
            );
        }
    }
}

fn define_policy() {
    GucRegistry::define_enum_guc(
        c"activity.registry",
        c"What happens to an event that the registry does not accept: enforce, warn or off.",
        c"enforce refuses it, warn records it with a warning, off does not ask the registry.",
        &REGISTRY,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"activity.on_error",
        c"What an event that can't be recorded does to the statement: raise or warn.",
        c"raise fails the statement, so that nothing happens without its audit; warn lets it go on and loses the event.",
        &ON_ERROR,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"activity.max_metadata_size",
        c"Largest metadata of an event, in bytes of its stored form.",
        c"A larger document is refused with SQLSTATE 22001.",
        &MAX_METADATA_SIZE,
        256,
        16 * 1024 * 1024,
        GucContext::Suset,
        GucFlags::UNIT_BYTE,
    );
    GucRegistry::define_bool_guc(
        c"activity.require_pin",
        c"Refuse roles that are not pinned to a tenant in activity.role_tenants.",
        c"When off, a role without a pin is trusted to set its tenant, as an application's pool does.",
        &REQUIRE_PIN,
        GucContext::Suset,
        GucFlags::default(),
    );
    // SAFETY: the flag is a plain variable of the server.
    let starting = unsafe { pg_sys::process_shared_preload_libraries_in_progress };
    GucRegistry::define_string_guc(
        c"activity.key_file",
        c"File with the master key for hashed addresses and fingerprints.",
        c"64 hexadecimal digits. Without it the key is generated at set-up and kept in a table that no role can read.",
        &KEY_FILE,
        if starting { GucContext::Postmaster } else { GucContext::Sighup },
        GucFlags::SUPERUSER_ONLY,
    );
}

fn define_notification() {
    GucRegistry::define_enum_guc(
        c"activity.notify",
        c"How readers learn of new events: worker, commit or off.",
        c"worker rings after the commit; commit rings in the writing transaction; off leaves it to readers to look.",
        &NOTIFY,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"activity.notify_interval",
        c"Shortest time between two rounds of the worker.",
        c"Commits within it are announced together.",
        &NOTIFY_INTERVAL,
        1,
        10_000,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"activity.maintenance_interval",
        c"How often the worker runs the maintenance; 0 leaves it to others.",
        c"Runs of maintain() by others count as well.",
        &MAINTENANCE_INTERVAL,
        0,
        86_400,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"activity.durable_timeout",
        c"How long record_durable() waits for the worker.",
        c"",
        &DURABLE_TIMEOUT,
        10,
        600_000,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
}

fn define_redaction() {
    // SAFETY: the hooks touch only an atomic.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"activity.redact_keys",
            c"Further key names, separated by commas, whose values are replaced in metadata.",
            c"They add to the built-in list; case, hyphens and underscores do not matter.",
            &REDACT_KEYS,
            GucContext::Suset,
            GucFlags::default(),
            Some(check_redact_keys),
            Some(redaction_assigned),
            None,
        );
        GucRegistry::define_enum_guc_with_hooks(
            c"activity.redact_addresses",
            c"Which IP addresses inside metadata are replaced: off, keys or all.",
            c"keys: under keys that name an address; all: wherever a text looks like one, version numbers included.",
            &REDACT_ADDRESSES,
            GucContext::Suset,
            GucFlags::default(),
            None,
            Some(redact_addresses_assigned),
            None,
        );
    }
}

fn define_capture() {
    GucRegistry::define_int_guc(
        c"activity.max_value_size",
        c"Largest value of a captured column, in bytes.",
        c"A larger one is left out; its length and SHA-256 are recorded in its place.",
        &MAX_VALUE_SIZE,
        64,
        1024 * 1024,
        GucContext::Suset,
        GucFlags::UNIT_BYTE,
    );
    GucRegistry::define_int_guc(
        c"activity.capture_row_limit",
        c"A captured statement that changes more rows than this is recorded as one event; 0 records every row.",
        c"The event has the number of rows and a few of them. Tables that are captured row by row are not concerned.",
        &CAPTURE_ROW_LIMIT,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::default(),
    );
}

/// Makes a mistyped `activity.*` setting an error instead of a silent placeholder.
fn reserve_prefix() {
    // SAFETY: the name is a constant.
    unsafe {
        #[cfg(feature = "pg14")]
        pg_sys::EmitWarningsOnPlaceholders(c"activity".as_ptr());
        #[cfg(not(feature = "pg14"))]
        pg_sys::MarkGUCPrefixReserved(c"activity".as_ptr());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn check_tenant_id(
    value: *mut *mut std::ffi::c_char,
    _extra: *mut *mut std::ffi::c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    let is_uuid = |text: &str| activity_log_core::context::parse_uuid(text).is_some();
    // SAFETY: the server passes a pointer to its own NUL-terminated string, or to NULL.
    unsafe { accept(value, is_uuid, c"activity.tenant_id must be a UUID") }
}

#[pg_guard]
unsafe extern "C-unwind" fn check_client_ip(
    value: *mut *mut std::ffi::c_char,
    _extra: *mut *mut std::ffi::c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    let is_address = |text: &str| crate::value::parse_address(text).is_some();
    // SAFETY: the server passes a pointer to its own NUL-terminated string, or to NULL.
    unsafe {
        accept(
            value,
            is_address,
            c"activity.client_ip must be an IP address",
        )
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn check_redact_keys(
    value: *mut *mut std::ffi::c_char,
    _extra: *mut *mut std::ffi::c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    let are_names = |text: &str| {
        let extra_keys: Vec<&str> = key_names(text).collect();
        let options = ScrubOptions {
            extra_keys: &extra_keys,
            addresses: AddressMode::Off,
        };
        Scrubber::new(&options).is_ok()
    };
    // SAFETY: the server passes a pointer to its own NUL-terminated string, or to NULL.
    unsafe {
        accept(
            value,
            are_names,
            c"activity.redact_keys must be key names separated by commas",
        )
    }
}

/// The names in a list such as that of `activity.redact_keys`.
pub fn key_names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

/// Whether a text is unset, empty or accepted; the message of a refusal does not repeat the value,
/// which the server's own message would.
///
/// # Safety
/// `value` points to a NUL-terminated string or to NULL.
unsafe fn accept(
    value: *mut *mut std::ffi::c_char,
    accepted: impl Fn(&str) -> bool,
    message: &'static CStr,
) -> bool {
    // SAFETY: promised by the caller.
    let text = unsafe {
        if (*value).is_null() {
            return true;
        }
        CStr::from_ptr(*value)
    };
    let fits = text.is_empty() || text.to_str().is_ok_and(accepted);
    if !fits {
        // SAFETY: the server reads this variable right after a failed check and does not free it.
        unsafe { pg_sys::GUC_check_errmsg_string = message.as_ptr().cast_mut() };
    }
    fits
}

unsafe extern "C-unwind" fn context_assigned(
    _value: *const std::ffi::c_char,
    _extra: *mut std::ffi::c_void,
) {
    CONTEXT_CHANGES.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C-unwind" fn redaction_assigned(
    _value: *const std::ffi::c_char,
    _extra: *mut std::ffi::c_void,
) {
    REDACTION_CHANGES.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C-unwind" fn redact_addresses_assigned(
    _value: std::ffi::c_int,
    _extra: *mut std::ffi::c_void,
) {
    REDACTION_CHANGES.fetch_add(1, Ordering::Relaxed);
}
