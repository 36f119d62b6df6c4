//! The code of docs/drivers.md for the Rust drivers, as a reader would paste it.

/// The section "tokio-postgres".
pub mod with_tokio_postgres {
    include!(concat!(env!("OUT_DIR"), "/tokio_postgres.rs"));
}

/// The section "sqlx".
pub mod with_sqlx {
    include!(concat!(env!("OUT_DIR"), "/sqlx.rs"));
}
