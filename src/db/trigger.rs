//! Trigger functions, which pgrx can't declare with the attributes they need.

#![allow(unsafe_code)]

use super::relations::{announce_change, find_by_name};
use crate::error::Error;
use pgrx::{pg_guard, pg_sys};
use std::ffi::CStr;

/// The trigger behind [`changes`]: after any statement on the table it tells every session to
/// forget what it keeps of it, or of the relation that its argument names: the one under whose
/// count this table's rows are kept.
unsafe fn changed(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: `trigger_relation` checks that the server calls it as a trigger; then the context is
    // trigger data, whose arguments are NUL-terminated strings.
    let (own, named) = unsafe {
        let own = trigger_relation(fcinfo);
        let trigger = (*(*fcinfo).context.cast::<pg_sys::TriggerData>()).tg_trigger;
        let has_argument = (*trigger).tgnargs > 0;
        (
            own,
            has_argument.then(|| CStr::from_ptr(*(*trigger).tgargs)),
        )
    };
    announce_change(named.and_then(find_by_name).unwrap_or(own));
    pg_sys::Datum::from(0usize)
}

/// The relation a trigger function was fired for; raises when it is called otherwise.
///
/// # Safety
/// `fcinfo` is the call information the server handed to the function.
pub unsafe fn trigger_relation(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Oid {
    // SAFETY: `called_as_trigger` checks the node tag before the context is read as trigger data.
    unsafe {
        if !pgrx::trigger_support::called_as_trigger(fcinfo) {
            crate::error::raise(Error::NotItsTrigger);
        }
        let trigger = (*fcinfo).context.cast::<pg_sys::TriggerData>();
        (*(*trigger).tg_relation).rd_id
    }
}

/// Makes a Rust function callable as a version-1 C function: pgrx can't declare functions that
/// return a bare datum, as triggers do.
macro_rules! c_function {
    ($name:ident, $info:ident, $body:path) => {
        #[unsafe(no_mangle)]
        pub extern "C" fn $info() -> &'static pg_sys::Pg_finfo_record {
            static V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
            &V1
        }

        /// # Safety
        /// Called by the server only.
        #[unsafe(no_mangle)]
        #[pg_guard]
        pub unsafe extern "C-unwind" fn $name(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            // SAFETY: the server hands over valid call information.
            unsafe { $body(fcinfo) }
        }
    };
}
pub(crate) use c_function;

c_function!(activity_changed, pg_finfo_activity_changed, changed);
