//! An audit trail inside PostgreSQL.
use pgrx::prelude::*;
pgrx::pg_module_magic!();
