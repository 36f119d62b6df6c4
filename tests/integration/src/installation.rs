//! Which Postgres is tested, and who runs its servers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian puts the version that is tested first.
const DEBIAN_PG_CONFIG: &str = "/usr/lib/postgresql/15/bin/pg_config";

/// The folder with the programs of the Postgres of `PG_CONFIG`, else Debian's, else the PATH's.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn program_folder() -> PathBuf {
    let pg_config = std::env::var("PG_CONFIG").unwrap_or_else(|_| {
        let debian = Path::new(DEBIAN_PG_CONFIG).exists();
        if debian {
            DEBIAN_PG_CONFIG
        } else {
            "pg_config"
        }
        .to_owned()
    });
    PathBuf::from(output(Command::new(pg_config).arg("--bindir")))
}

/// The user that runs the servers where the tests run as root, which Postgres refuses.
fn server_user() -> Option<String> {
    let is_root = output(Command::new("id").arg("-u")) == "0";
    is_root.then(|| std::env::var("SERVER_USER").unwrap_or_else(|_| "postgres".to_owned()))
}

/// The numbers of a user and its group.
fn user_numbers(user: &str) -> (u32, u32) {
    let number = |option| {
        output(Command::new("id").args([option, user]))
            .parse()
            .unwrap()
    };
    (number("-u"), number("-g"))
}

/// A command that runs as the server's user.
pub fn as_server(program: impl AsRef<Path>) -> Command {
    let program = program.as_ref();
    let mut command = match server_user() {
        None => Command::new(program),
        Some(user) => {
            let (uid, gid) = user_numbers(&user);
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={uid}"), &format!("--regid={gid}")]);
            command.arg("--init-groups").arg(program);
            command
                .env("HOME", "/")
                .env("USER", &user)
                .env("LOGNAME", &user);
            command
        }
    };
    // The folder of the caller may be closed to the server's user.
    command.current_dir("/").stdin(Stdio::null());
    clear_client_settings(&mut command);
    command
}

/// Makes the server's user the owner of a folder and of what lies in it.
///
/// # Panics
/// If that fails.
pub fn give_to_server(folder: &Path) {
    if let Some(user) = server_user() {
        output(Command::new("chown").arg("-R").arg(user).arg(folder));
    }
}

/// What the caller's shell says about some other server must not count.
pub fn clear_client_settings(command: &mut Command) {
    for name in [
        "PGHOST",
        "PGPORT",
        "PGUSER",
        "PGDATABASE",
        "PGDATA",
        "PGOPTIONS",
        "PGSERVICE",
    ] {
        command.env_remove(name);
    }
}

/// Runs a command to its end; its standard output without the last line break.
///
/// # Panics
/// With what the command printed, if it fails.
pub fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?} failed\n{text}\n{errors}"
    );
    text
}
