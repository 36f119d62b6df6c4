//! Keeps pgrx's schema section in the library when it is linked without LTO.
//!
//! cargo-pgrx 0.18 has a work-around of its own which changes the compiler flags and so builds
//! every dependency twice; the Makefile switches it off (CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND).

fn main() {
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,--no-gc-sections");
    }
}
