//! The repository checks itself: layout, headers, and who may know whom.
//!
//! Each check is a function from a file's path and text to complaints, and is
//! shown a planted fault before it is believed.

use std::fs;
use std::path::Path;

/// Lines a source file may have: one can hold a shorter one in the head.
const LINES_MAX: usize = 900;

/// Longer ones, which may not grow, each with its reason.
const LONG: &[(&str, usize)] = &[
    // One machine, read from its states to its last transition.
    ("core/src/client/slots.rs", 1_100),
];

/// Rooms of code, and what none of their files may mention, with the reason.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    (
        "core/src/",
        &["std::", "tokio::", "sluice_", "Instant::now", "SystemTime"],
        "core knows nobody, and has no I/O, clock, thread or async",
    ),
    (
        "sim/src/",
        &[
            "sluice_gate",
            "verify::",
            "tokio::",
            "std::net",
            "std::thread",
            "Instant",
            "SystemTime",
        ],
        "the world is deterministic and knows neither gate nor verify",
    ),
    (
        "gate/src/",
        &["sluice_sim", "verify::"],
        "production code knows no simulator",
    ),
    (
        "verify/src/model",
        &["Slots::", "slots::Slots;", "core::script", "sluice_gate"],
        "the specification shares no logic with core",
    ),
];

/// Words that mean "not finished". Split, so that this file may be checked too.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("<<<<", "<<< "),
];

struct File {
    path: String,
    text: String,
}

/// The text files of the repository, by path relative to its root, sorted.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let relative = path
                .strip_prefix(root)
                .expect("inside")
                .to_str()
                .expect("UTF-8");
            if path.is_dir() {
                if !matches!(relative, "target" | ".git") {
                    left.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = relative.to_owned();
                found.push(File { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 50, "only {} files were found", found.len());
    found
}

/// Runs a check over the repository, after it has been shown a planted fault.
fn all(check: impl Fn(&str, &str) -> Vec<String>, planted: (&str, &str)) {
    assert!(
        !check(planted.0, planted.1).is_empty(),
        "the check is blind"
    );
    let complaints: Vec<String> = files()
        .iter()
        .flat_map(|file| {
            let complaints = check(&file.path, &file.text);
            complaints
                .into_iter()
                .map(|what| format!("{}: {what}", file.path))
        })
        .collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn is_source(path: &str) -> bool {
    path.ends_with(".rs")
}

#[test]
fn every_module_has_a_header() {
    let check = |path: &str, text: &str| {
        // A `tests.rs` belongs to the module above it, whose header it shares.
        let module = is_source(path) && !path.ends_with("/tests.rs");
        let headless = module && !text.starts_with("//! ");
        headless
            .then(|| "begins without a `//!` header".to_owned())
            .into_iter()
            .collect()
    };
    all(check, ("core/src/x.rs", "fn x() {}\n"));
}

#[test]
fn no_room_knows_what_it_must_not() {
    let check = |path: &str, text: &str| {
        let mut complaints = Vec::new();
        for (room, words, reason) in FORBIDDEN {
            // Tests may: they are not what runs in the room.
            let tests = path.contains("/tests") || path.ends_with("tests.rs");
            if !path.starts_with(room) || !is_source(path) || tests {
                continue;
            }
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (n, line) in code.lines().enumerate() {
                let line = line.split("//").next().unwrap_or_default();
                for word in words.iter().filter(|word| line.contains(**word)) {
                    complaints.push(format!("line {}: {word}: {reason}", n + 1));
                }
            }
        }
        complaints
    };
    all(check, ("core/src/x.rs", "use std::net::TcpStream;\n"));
}

#[test]
fn crates_depend_only_on_the_rooms_they_may_know() {
    let allowed: &[(&str, &[&str])] = &[
        ("core/Cargo.toml", &[]),
        ("sim/Cargo.toml", &["sluice-core"]),
        ("gate/Cargo.toml", &["sluice-core"]),
        ("clock/Cargo.toml", &[]),
        (
            "verify/Cargo.toml",
            &["sluice-core", "sluice-sim", "sluice-gate"],
        ),
        (
            "benches/Cargo.toml",
            &["sluice-core", "sluice-sim", "sluice-gate", "verify"],
        ),
    ];
    let rooms = ["sluice-core", "sluice-sim", "sluice-gate", "verify"];
    let check = |path: &str, text: &str| {
        let Some((_, allowed)) = allowed.iter().find(|(manifest, _)| *manifest == path) else {
            return Vec::new();
        };
        // Tests of a room may know more: dev-dependencies are left out.
        let normal = text.split("[dev-dependencies]").next().unwrap_or_default();
        let known = |room: &&&str| {
            normal.lines().any(|line| {
                line.starts_with(&format!("{room}.")) || line.starts_with(&format!("{room} ="))
            })
        };
        let unknown = rooms
            .iter()
            .filter(known)
            .filter(|room| !allowed.contains(room));
        unknown.map(|room| format!("depends on {room}")).collect()
    };
    all(check, ("sim/Cargo.toml", "sluice-gate.workspace = true\n"));
}

#[test]
fn no_file_is_too_long() {
    let check = |path: &str, text: &str| {
        let lines = text.lines().count();
        let own = LONG.iter().find(|(long, _)| *long == path);
        let most = own.map_or(LINES_MAX, |(_, most)| *most);
        let long = (is_source(path) || path.ends_with(".lua")) && lines > most;
        long.then(|| format!("{lines} lines, at most {most}"))
            .into_iter()
            .collect()
    };
    all(check, ("core/src/x.rs", &"//! x\n".repeat(LINES_MAX + 1)));
}

#[test]
fn nothing_is_left_unfinished() {
    let check = |_: &str, text: &str| {
        let lines = text.lines().enumerate();
        lines
            .filter(|(_, line)| UNFINISHED.iter().any(|word| line.contains(word)))
            .map(|(n, line)| format!("line {}: {}", n + 1, line.trim()))
            .collect()
    };
    all(check, ("x.md", concat!("TO", "DO: write this\n")));
}

#[test]
fn text_ends_with_a_newline_and_lines_do_not_end_with_blanks() {
    let check = |path: &str, text: &str| {
        let mut complaints = Vec::new();
        let ours = [".rs", ".lua", ".toml", ".md"]
            .iter()
            .any(|end| path.ends_with(end));
        if ours && !text.ends_with('\n') {
            complaints.push("does not end with a newline".to_owned());
        }
        if ours && !path.ends_with(".md") {
            let blank = text.lines().position(|line| line.ends_with([' ', '\t']));
            complaints.extend(blank.map(|n| format!("line {} ends with a blank", n + 1)));
        }
        complaints
    };
    all(check, ("x.lua", "return 1 \n"));
}

#[test]
fn the_rooms_of_the_architecture_exist() {
    let files = files();
    let text = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        &file.unwrap_or_else(|| panic!("{path} is missing")).text
    };
    let rooms: Vec<&str> = text("ARCHITECTURE.md")
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.strip_suffix('/'))
        .filter(|room| room.bytes().all(|b| b.is_ascii_lowercase()))
        .collect();
    assert!(rooms.len() >= 6, "the rooms are not listed: {rooms:?}");
    for room in &rooms {
        let inside = format!("{room}/");
        assert!(
            files.iter().any(|file| file.path.starts_with(&inside)),
            "no room {room}"
        );
    }
    let members = text("Cargo.toml")
        .lines()
        .find(|line| line.starts_with("members"))
        .expect("members");
    for member in members.split('"').skip(1).step_by(2) {
        assert!(
            rooms.contains(&member),
            "{member} is not in ARCHITECTURE.md"
        );
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let check = |path: &str, text: &str| {
        let manifest = path.ends_with("/Cargo.toml") && path.matches('/').count() == 1;
        let careless = manifest && !text.contains("[lints]\nworkspace = true");
        careless
            .then(|| "lacks `workspace = true` under [lints]".to_owned())
            .into_iter()
            .collect()
    };
    all(check, ("sim/Cargo.toml", "[package]\n"));
}

#[test]
fn what_a_reader_is_promised_is_there() {
    let files = files();
    let readme = files
        .iter()
        .find(|file| file.path == "README.md")
        .expect("README.md");
    for command in [
        "cargo run --release -p verify -- audit",
        "cargo test --workspace",
    ] {
        assert!(readme.text.contains(command), "README.md lacks `{command}`");
        let run = files
            .iter()
            .find(|file| file.path == ".ci/run")
            .expect(".ci/run");
        let locked = command
            .replace("cargo run", "cargo run --locked")
            .replace("cargo test", "cargo test --locked");
        assert!(run.text.contains(&locked), ".ci/run lacks `{locked}`");
    }
    for path in [
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "ARCHITECTURE.md",
    ] {
        assert!(
            files.iter().any(|file| file.path == path),
            "{path} is missing"
        );
    }
}
