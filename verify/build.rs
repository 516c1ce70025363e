//! Compiles the clock that is preloaded into real servers, and embeds it.
//!
//! `clock/` is a crate of the workspace like any other, so that clippy, rustfmt
//! and rustdoc look at it. But cargo cannot hand the library that it makes of one
//! package to another (artifact dependencies are unstable), and looking for it in
//! the target directory finds nothing, or an old one, after `cargo install`,
//! `cargo run -p verify` or a build elsewhere. So its one file is compiled here
//! again, which takes a fifth of a second, and becomes part of this program.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "../clock/src/lib.rs";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let library = Path::new(&variable("OUT_DIR")).join("libsluice_clock.so");
    // Empty says that there is none: see `real::stepped`.
    let glibc = variable("CARGO_CFG_TARGET_ENV") == "gnu";
    let wide = variable("CARGO_CFG_TARGET_POINTER_WIDTH") == "64";
    if variable("CARGO_CFG_TARGET_OS") != "linux" || !glibc || !wide {
        fs::write(&library, []).expect("OUT_DIR can be written to");
        return;
    }
    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .args(["--edition", "2024", "--crate-name", "sluice_clock"])
        .args(["--crate-type", "cdylib", "-C", "opt-level=2"])
        .args(["-C", "panic=abort", "-C", "strip=symbols"])
        .args(["--target", &variable("TARGET"), SOURCE, "-o"])
        .arg(&library);
    let linker = variable("RUSTC_LINKER");
    if !linker.is_empty() {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    let status = rustc.status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{rustc:?} did not compile the clock: {status:?}"
    );
}
