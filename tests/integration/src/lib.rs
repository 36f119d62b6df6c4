//! Throwaway Postgres clusters for the tests in `tests/`.
//!
//! A test that needs no settings of its own takes a fresh database of the cluster that its binary
//! shares:
//!
//! ```no_run
//! use activity_log_integration::{Cluster, expect_error};
//!
//! let database = Cluster::shared().database();
//! let writer = database.create_login(&["activity_writer"]);
//! let mut session = database.connect_as(&writer);
//! let refused = session.query("SELECT activity.setup()", &[]);
//! assert!(expect_error(refused, "42501").message.contains("permission denied"));
//! ```
//!
//! One that restarts the server, or needs other settings, starts a [`Cluster`] of its own. Each
//! cluster has its own folder and socket, and goes away with the value, or with the process.

mod catalog;
mod cluster;
mod database;
mod installation;
mod refusal;
mod warden;

pub use catalog::assert_same;
pub use cluster::{Cluster, Options, Stop};
pub use database::{Database, Notice, Session};
pub use installation::{as_server, give_to_server, program_folder};
pub use refusal::{Refusal, expect_error};
