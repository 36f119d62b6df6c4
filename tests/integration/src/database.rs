//! A database of a cluster, and sessions in it.

use crate::cluster::Cluster;
use postgres::{Client, Config, NoTls};
use std::ops::{Deref, DerefMut};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// Roles belong to the cluster, which tests share.
static NEXT_ROLE: AtomicU32 = AtomicU32::new(1);

/// One database. It stays until its cluster goes.
pub struct Database<'c> {
    cluster: &'c Cluster,
    name: String,
}

impl<'c> Database<'c> {
    pub(crate) fn new(cluster: &'c Cluster, name: String) -> Self {
        Self { cluster, name }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster that it is in.
    #[must_use]
    pub fn cluster(&self) -> &'c Cluster {
        self.cluster
    }

    /// A new session of the superuser `postgres`, who owns the log.
    #[must_use]
    pub fn superuser(&self) -> Session {
        self.connect_as("postgres")
    }

    /// A new session of a login role.
    ///
    /// # Panics
    /// If the server refuses the connection.
    #[must_use]
    pub fn connect_as(&self, role: &str) -> Session {
        Session::open(self.config(role))
    }

    /// How to connect, for a test that changes it first.
    #[must_use]
    pub fn config(&self, role: &str) -> Config {
        let mut config = Config::new();
        config
            .host_path(self.cluster.folder())
            .user(role)
            .dbname(&self.name);
        config
    }

    /// Makes a login role that is a member of `groups`, with a name that no other test has.
    #[must_use]
    pub fn create_login(&self, groups: &[&str]) -> String {
        let number = NEXT_ROLE.fetch_add(1, Ordering::Relaxed);
        let role = format!("login_{number}");
        let mut statement = format!("CREATE ROLE {role} LOGIN");
        if !groups.is_empty() {
            statement.push_str(&format!(" IN ROLE {}", groups.join(", ")));
        }
        self.superuser().batch_execute(&statement).unwrap();
        role
    }

    /// One of Postgres' client programs, connected to this database as its superuser.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        let mut command = self.cluster.client_program(name);
        command.env("PGDATABASE", &self.name);
        command
    }
}

/// A message of the server that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `WARNING`, `NOTICE` and so on.
    pub severity: String,
    /// The five characters of the SQLSTATE.
    pub sqlstate: String,
    /// The message.
    pub message: String,
    /// The hint, empty if there is none.
    pub hint: String,
}

/// A client that keeps the notices it receives.
pub struct Session {
    client: Client,
    notices: Arc<Mutex<Vec<Notice>>>,
}

impl Session {
    /// Connects.
    ///
    /// # Panics
    /// If the server refuses the connection.
    #[must_use]
    pub fn open(mut config: Config) -> Self {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&notices);
        config.notice_callback(move |sent| {
            kept.lock().unwrap().push(Notice {
                severity: sent.severity().to_owned(),
                sqlstate: sent.code().code().to_owned(),
                message: sent.message().to_owned(),
                hint: sent.hint().unwrap_or_default().to_owned(),
            });
        });
        let client = config
            .connect(NoTls)
            .unwrap_or_else(|error| panic!("{config:?}: {error:?}"));
        Self { client, notices }
    }

    /// The notices since the last call.
    #[must_use]
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.notices.lock().unwrap())
    }

    /// The one value that a query gives, as text; `None` for NULL.
    ///
    /// # Panics
    /// If the query fails or gives no text.
    #[track_caller]
    pub fn text(&mut self, query: &str) -> Option<String> {
        self.client
            .query_one(query, &[])
            .unwrap_or_else(|error| panic!("{query}: {error:?}"))
            .get(0)
    }

    /// The number that a `bigint` query gives.
    ///
    /// # Panics
    /// If the query fails or gives no bigint.
    #[track_caller]
    pub fn number(&mut self, query: &str) -> i64 {
        self.client
            .query_one(query, &[])
            .unwrap_or_else(|error| panic!("{query}: {error:?}"))
            .get(0)
    }

    /// The server's major version.
    ///
    /// # Panics
    /// If the connection is gone.
    #[track_caller]
    pub fn major(&mut self) -> i64 {
        self.number("SELECT current_setting('server_version_num')::bigint / 10000")
    }

    /// The first column, text, of every row.
    ///
    /// # Panics
    /// If the query fails or gives something else.
    #[track_caller]
    pub fn texts(&mut self, query: &str) -> Vec<String> {
        let rows = self
            .client
            .query(query, &[])
            .unwrap_or_else(|error| panic!("{query}: {error:?}"));
        rows.iter()
            .map(|row| row.get::<_, Option<String>>(0).unwrap_or_default())
            .collect()
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}
