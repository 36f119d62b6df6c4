//! The server's catalog and SQL, for every other module: relations by name, caches that follow
//! them, statements with parameters, and the change of user around them.

mod cursor;
mod descriptor;
mod lock;
mod memory;
mod relations;
mod session;
mod statement;
mod toplevel;
mod trigger;

pub use cursor::{in_passing_memory, stream};
pub use descriptor::{attribute, name_text, release_descriptor};
pub use lock::Exclusive;
pub use memory::OwnedMemory;
pub use relations::{
    Relation, accept_changes, changes, code_changes, exists, find, lock_shared, oid,
    qualified_name, relation_name, relations_of_schema, revoke_default_grants, role_changes,
    role_name, table_changes, watch_relations, watch_table,
};
pub use session::{
    Failure, Scope, as_owner, as_restricted, attempt, data_directory, in_subtransaction, observed,
    random, refuse_in_recovery, require_read_committed, set_option, wait_latch, with_options,
};
pub use statement::{
    Mode, Parameter, Row, bigint, bytes, int, jsonb, query, run, text, time, uuid, value,
};
pub use toplevel::execute_alone;
pub(crate) use trigger::c_function;
pub use trigger::trigger_relation;
