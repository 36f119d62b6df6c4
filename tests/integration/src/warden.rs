//! Clears up behind a test process, however that ends.

use crate::installation;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Waits for the end of its input, then stops the server in the folder and removes the folder.
const SCRIPT: &str = r#"
    folder=$1; shift
    cat >/dev/null
    "$@" || true
    rm -rf "$folder"
"#;

/// A process that outlives ours by the moment that it takes to stop a server.
///
/// A value in a static is never dropped and a killed process drops nothing, but both close the
/// pipe that this process reads from.
pub struct Warden(Child);

impl Warden {
    /// Watches over a cluster's folder, whose server `pg_ctl` stops.
    pub fn over(folder: &Path, pg_ctl: &Path) -> Self {
        let mut stop = installation::as_server(pg_ctl);
        stop.args(["stop", "-s", "-w", "-m", "immediate", "-D"])
            .arg(folder.join("data"));
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", SCRIPT, "warden"]).arg(folder);
        command
            .arg(stop.get_program())
            .args(stop.get_args())
            .current_dir("/");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().expect("setsid and sh are there"))
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
