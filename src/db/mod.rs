//! The server's catalog and SQL, for every other module: relations by name, caches that follow
//! them, statements with parameters, and the change of user around them.

mod relations;
mod session;
mod statement;
mod trigger;

pub use relations::{
    Relation, accept_changes, changes, exists, find, lock_shared, oid, qualified_name,
    relation_name, relations_of_schema, revoke_default_grants, role_changes, role_name,
    watch_relations,
};
pub use session::{
    Failure, Scope, as_owner, data_directory, in_subtransaction, observed, random,
    refuse_in_recovery, set_option, wait_latch,
};
pub use statement::{
    Mode, Parameter, Row, bigint, bytes, int, jsonb, query, run, text, time, uuid, value,
};
pub(crate) use trigger::c_function;
pub use trigger::trigger_relation;
