//! Takes the code of the Rust drivers out of docs/drivers.md, so that what is tried is what is read.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=../../../docs/drivers.md");
    println!("cargo::rerun-if-changed=../snippet");
    let folder = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    for (section, file) in [("tokio-postgres", "tokio_postgres.rs"), ("sqlx", "sqlx.rs")] {
        let output = Command::new("../snippet")
            .arg(section)
            .output()
            .expect("../snippet runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        fs::write(Path::new(&folder).join(file), output.stdout).expect("OUT_DIR can be written");
    }
}
