//! Puts the scripts of `lua/` together, so that they ship as data.

#[path = "build/include.rs"]
mod include;

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use sha1::{Digest, Sha1};

const SCRIPTS: [&str; 8] = [
    "acquire", "poll", "renew", "release", "cancel", "resize", "sweep", "status",
];

fn main() {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../lua");
    println!("cargo::rerun-if-changed={}", root.display());
    println!("cargo::rerun-if-changed=build");
    let read = |path: &str| fs::read_to_string(root.join(path)).map_err(|e| e.to_string());
    let mut out = String::new();
    let mut all = String::new();
    for name in SCRIPTS {
        let text = match include::resolve(&format!("slots/{name}.lua"), &read) {
            Ok(text) => text,
            Err(error) => {
                println!("cargo::error=lua/{error}");
                std::process::exit(1);
            }
        };
        let sha1 = Sha1::digest(text.as_bytes())
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let upper = name.to_uppercase();
        writeln!(
            out,
            "/// `lua/slots/{name}.lua`, with its parts.\npub static {upper}: Script = Script {{ \
             name: {name:?}, text: {text:?}, sha1: {sha1:?} }};"
        )
        .expect("writing to a string");
        write!(all, "&{upper}, ").expect("writing to a string");
    }
    writeln!(
        out,
        "/// Every script.\npub static ALL: [&Script; {}] = [{all}];",
        SCRIPTS.len()
    )
    .expect("writing to a string");
    let out_dir = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out_dir).join("scripts.rs"), out).expect("OUT_DIR is writable");
}
