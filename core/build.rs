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
    // A guarded gate differs in one part.
    let guarded = |path: &str| match path {
        "lib/epoch.lua" => read("lib/guarded.lua"),
        path => read(path),
    };
    let mut out = String::new();
    family(&mut out, "", "Every script", &read);
    family(
        &mut out,
        "GUARDED_",
        "Every script, for a gate that survives failover",
        &guarded,
    );
    let out_dir = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out_dir).join("scripts.rs"), out).expect("OUT_DIR is writable");
}

/// One static for each script, and one for all of them.
fn family(out: &mut String, prefix: &str, about: &str, read: &include::Read<'_>) {
    let mut all = String::new();
    for name in SCRIPTS {
        let text = match include::resolve(&format!("slots/{name}.lua"), read) {
            Ok(text) => text,
            Err(error) => {
                println!("cargo::error=lua/{error}");
                std::process::exit(1);
            }
        };
        let sha1 = Sha1::digest(text.as_bytes())
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let (visible, upper) = (
            if prefix.is_empty() { "pub " } else { "" },
            prefix.to_owned() + &name.to_uppercase(),
        );
        writeln!(
            out,
            "/// `lua/slots/{name}.lua`, with its parts.\n{visible}static {upper}: Script = \
             Script {{ name: {name:?}, text: {text:?}, sha1: {sha1:?} }};"
        )
        .expect("writing to a string");
        write!(all, "&{upper}, ").expect("writing to a string");
    }
    writeln!(
        out,
        "/// {about}.\npub static {prefix}ALL: [&Script; {}] = [{all}];",
        SCRIPTS.len()
    )
    .expect("writing to a string");
}
