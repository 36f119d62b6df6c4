//! A Postgres server of the tests: one folder, a socket inside it, no TCP port, no password.

use crate::database::Database;
use crate::installation::{self, as_server, output};
use crate::warden::Warden;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

/// Where it does not start, it is tried once, not for every test.
static SHARED: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(&Options::default()));

/// What every cluster is configured with. A test cluster that loses its folder's disk is lost
/// anyway; a crash of the server alone loses nothing without fsync.
const BASE_SETTINGS: &str = "\
listen_addresses = ''
fsync = off
shared_buffers = '32MB'
max_wal_size = '256MB'
max_worker_processes = 64
jit = off
log_line_prefix = '%m [%p] %q%u@%d '
";

/// How a cluster is configured.
#[derive(Clone, Debug)]
pub struct Options<'s> {
    /// Whether the extension is in `shared_preload_libraries`.
    pub preload: bool,
    /// Further settings, unquoted values.
    pub settings: &'s [(&'s str, &'s str)],
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            preload: true,
            settings: &[],
        }
    }
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended and everything is written out.
    Fast,
    /// As in a crash: nothing is written, the next start replays the WAL.
    Immediate,
}

/// A server and its folder. Both go when the value is dropped, or the process ends.
pub struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    databases: AtomicU32,
    // The first installation makes the four roles, which two at once would both try.
    installing: Mutex<()>,
    _warden: Warden,
}

impl Cluster {
    /// The preloaded cluster that the tests of this binary share.
    pub fn shared() -> &'static Self {
        &SHARED
    }

    /// Makes and starts a new cluster.
    ///
    /// # Panics
    /// With the output of what failed.
    #[must_use]
    pub fn start(options: &Options<'_>) -> Self {
        let cluster = Self::in_new_folder();
        let initdb = &mut as_server(cluster.programs.join("initdb"));
        output(initdb.arg("-D").arg(cluster.data()).args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--data-checksums",
            "--no-sync",
        ]));
        let mut settings = BASE_SETTINGS.to_owned();
        if options.preload {
            settings.push_str("shared_preload_libraries = 'activity_log'\n");
        }
        for (name, value) in options.settings {
            writeln!(settings, "{name} = '{}'", value.replace('\'', "''")).unwrap();
        }
        cluster.configure(&settings);
        cluster.start_again();
        cluster
    }

    /// A streaming standby of this cluster, started.
    ///
    /// # Panics
    /// With the output of what failed.
    #[must_use]
    pub fn start_standby(&self) -> Self {
        let standby = Self::in_new_folder();
        let backup = &mut as_server(self.programs.join("pg_basebackup"));
        backup
            .arg("-h")
            .arg(&self.folder)
            .args(["-U", "postgres", "-c", "fast", "-N", "-R", "-D"]);
        output(backup.arg(standby.data()));
        standby.configure("");
        standby.start_again();
        standby
    }

    fn in_new_folder() -> Self {
        // The path of a socket may have 107 bytes, so the folder is not where TMPDIR says.
        let folder = tempfile::Builder::new()
            .prefix("activity-")
            .tempdir_in("/tmp")
            .unwrap()
            .keep();
        installation::give_to_server(&folder);
        let programs = installation::program_folder();
        Self {
            _warden: Warden::over(&folder, &programs.join("pg_ctl")),
            databases: AtomicU32::new(1),
            installing: Mutex::new(()),
            folder,
            programs,
        }
    }

    /// Adds lines to the configuration, which the next start reads.
    ///
    /// # Panics
    /// If the file can't be written.
    pub fn configure(&self, lines: &str) {
        let path = self.data().join("postgresql.conf");
        let before = std::fs::read_to_string(&path).unwrap();
        let socket = format!("unix_socket_directories = '{}'\n", self.folder.display());
        std::fs::write(path, format!("{before}{socket}{lines}")).unwrap();
    }

    /// Starts a server that was stopped, and waits until it accepts connections.
    ///
    /// # Panics
    /// With the server's log, if it does not start.
    pub fn start_again(&self) {
        let log = self.folder.join("server.log");
        let done = self.control("start").arg("-l").arg(log).output().unwrap();
        assert!(
            done.status.success(),
            "the server did not start\n{}",
            self.log()
        );
    }

    /// Stops the server. Sessions are ended.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn stop(&self, how: Stop) {
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        output(self.control("stop").args(["-m", mode]));
    }

    /// Stops and starts the server.
    pub fn restart(&self, how: Stop) {
        self.stop(how);
        self.start_again();
    }

    /// Ends recovery of a standby: it accepts writes from now on.
    ///
    /// # Panics
    /// If it is none.
    pub fn promote(&self) {
        output(&mut self.control("promote"));
    }

    /// Everything that the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    /// The folder of the socket, which the server's user can write to.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A fresh database with the extension, set up.
    #[must_use]
    pub fn database(&self) -> Database<'_> {
        let database = self.database_before_setup();
        database
            .superuser()
            .batch_execute("SELECT activity.setup()")
            .unwrap();
        database
    }

    /// A fresh database with the extension, before `activity.setup()`.
    #[must_use]
    pub fn database_before_setup(&self) -> Database<'_> {
        let database = self.empty_database();
        let _one_at_a_time = self.installing.lock().unwrap();
        database
            .superuser()
            .batch_execute("CREATE EXTENSION activity_log")
            .unwrap();
        database
    }

    /// A fresh database without the extension.
    #[must_use]
    pub fn empty_database(&self) -> Database<'_> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.create_database(&name, "");
        Database::new(self, name)
    }

    /// Creates a database, with options of CREATE DATABASE.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn create_database(&self, name: &str, options: &str) {
        let statement = format!("CREATE DATABASE {name} TEMPLATE template0 {options}");
        self.existing_database("postgres")
            .superuser()
            .batch_execute(&statement)
            .unwrap();
    }

    /// A database that is there already.
    #[must_use]
    pub fn existing_database(&self, name: &str) -> Database<'_> {
        Database::new(self, name.to_owned())
    }

    /// One of Postgres' client programs, connected to this server as its superuser.
    #[must_use]
    pub fn client_program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        installation::clear_client_settings(&mut command);
        command
            .env("PGHOST", &self.folder)
            .env("PGUSER", "postgres");
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn control(&self, action: &str) -> Command {
        let mut command = as_server(self.programs.join("pg_ctl"));
        command.args([action, "-s", "-w", "-D"]).arg(self.data());
        command
    }
}
