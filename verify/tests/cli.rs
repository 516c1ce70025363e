//! The command as people and scripts meet it: exit codes, messages, layouts.

use std::process::{Command, Output};

const FIELD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/per-002-report.json");

/// Runs `verify` with no server to be found and no terminal.
fn verify(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_verify"))
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("PATH", "/nonexistent")
        .env("DOCKER_HOST", "unix:///nonexistent")
        .env_remove("SLUICE_REDIS_URL")
        .output()
        .expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

/// Runs a request that must fail, and checks code and message.
fn refused(args: &[&str], exit: i32, parts: &[&str]) {
    let output = verify(args);
    let message = text(&output.stderr);
    assert_eq!(code(&output), exit, "{args:?}: {message}");
    for part in parts {
        assert!(
            message.contains(part),
            "{args:?}: {part:?} is not in {message}"
        );
    }
    assert!(
        output.stdout.is_empty(),
        "{args:?}: a refusal has no result"
    );
}

#[test]
fn a_past_report_with_a_failure_exits_with_1() {
    let output = verify(&["audit", "--evidence", FIELD]);
    assert_eq!(code(&output), 1);
    let out = text(&output.stdout);
    assert!(out.contains("FAIL          sustained"), "{out}");
    assert!(
        out.contains("NOT VERIFIED  ten concurrent queries"),
        "{out}"
    );
    assert!(!out.contains('\x1b'), "colour without a terminal");
    assert!(output.stderr.is_empty(), "quiet when not a terminal");
}

#[test]
fn no_line_is_wider_than_80_columns() {
    let output = verify(&["audit", "--evidence", "verify/data/per-002-report.json"]);
    for line in text(&output.stdout).lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn what_people_read_of_a_past_report() {
    for format in ["terminal", "markdown", "junit"] {
        let output = verify(&[
            "audit",
            "--evidence",
            "verify/data/per-002-report.json",
            "--format",
            format,
        ]);
        insta::assert_snapshot!(format!("evidence-{format}"), text(&output.stdout));
    }
}

#[test]
fn json_is_versioned_and_the_same_by_either_name() {
    let by_format = verify(&["audit", "--evidence", FIELD, "--format", "json"]);
    let by_flag = verify(&["audit", "--evidence", FIELD, "--json"]);
    assert_eq!(by_format.stdout, by_flag.stdout);
    let report: serde_json::Value = serde_json::from_slice(&by_flag.stdout).expect("JSON");
    assert_eq!(report["schema"], 1);
    assert_eq!(report["conclusion"], "violated");
}

#[test]
fn the_result_goes_to_the_file_that_was_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("report.md");
    let path = file.to_str().expect("UTF-8");
    let output = verify(&[
        "audit",
        "--evidence",
        FIELD,
        "--format",
        "markdown",
        "--out",
        path,
    ]);
    assert_eq!(code(&output), 1);
    assert!(output.stdout.is_empty());
    let written = std::fs::read_to_string(&file).expect("a file");
    assert!(written.starts_with("# Audit of"), "{written}");
    refused(
        &["audit", "--evidence", FIELD, "--out", "/nonexistent/x"],
        2,
        &["/nonexistent/x", "--out"],
    );
}

#[test]
fn a_file_that_is_no_report_exits_with_2() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("evidence");
    let path = file.to_str().expect("UTF-8");
    let field = std::fs::read(FIELD).expect("the field report");
    for (content, part) in [
        (field[..100].to_vec(), "EOF"),
        (b"not json".to_vec(), "line 1"),
        (b"{\"version\": 9}".to_vec(), "version 9"),
        (vec![b' '; 2 << 20], "bytes"),
    ] {
        std::fs::write(&file, content).expect("written");
        refused(&["audit", "--evidence", path], 2, &[path, part]);
    }
    refused(
        &["audit", "--evidence", "/nonexistent/x"],
        2,
        &["/nonexistent/x", "check the path"],
    );
    refused(&["audit", "--evidence", "/"], 2, &["cannot read /"]);
}

#[test]
fn a_request_that_is_no_request_exits_with_2() {
    refused(&[], 2, &["Usage"]);
    refused(&["dance"], 2, &["dance"]);
    refused(&["audit", "--format", "pdf"], 2, &["pdf", "markdown"]);
    refused(
        &["audit", "--json", "--format", "junit"],
        2,
        &["cannot be used"],
    );
}

#[test]
fn a_server_that_is_not_there_exits_with_3_and_a_wrong_url_with_2() {
    refused(
        &["audit", "--redis", "redis://127.0.0.1:1"],
        3,
        &["127.0.0.1:1", "is the server running"],
    );
    refused(&["audit", "--redis", "local"], 3, &["redis-server", "PATH"]);
    refused(
        &["audit", "--redis", "docker"],
        3,
        &["Docker", "/nonexistent"],
    );
    refused(
        &["audit", "--redis", "localhost"],
        2,
        &["wrong URL", "scheme", "redis://"],
    );
    refused(&["audit", "--redis", "rediss://h"], 2, &["TLS"]);
    refused(
        &["audit", "--redis", "local", "--processes", "0"],
        2,
        &["--processes"],
    );
    refused(
        &["audit", "--redis", "local", "--evidence", FIELD],
        2,
        &["cannot be used"],
    );
}

#[test]
fn find_shows_the_first_seed_and_replay_repeats_it() {
    let found = verify(&["find", "--subject", "naive"]);
    assert_eq!(code(&found), 1);
    let shown = text(&found.stdout);
    let again = shown
        .lines()
        .find_map(|line| line.strip_prefix("again  "))
        .expect("a command");
    let digest = shown
        .lines()
        .find(|line| line.starts_with("digest "))
        .expect("a digest");
    assert!(
        shown.contains("R1.1") && shown.contains("before") && shown.contains("after"),
        "{shown}"
    );
    let args: Vec<&str> = again
        .split(" -- ")
        .nth(1)
        .expect("arguments")
        .split(' ')
        .collect();
    for _ in 0..3 {
        let replayed = verify(&args);
        assert_eq!(code(&replayed), 1);
        assert!(
            text(&replayed.stdout).contains(digest),
            "{again}: another digest"
        );
    }
}

#[test]
fn a_recorded_run_is_replayed_and_a_damaged_one_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("run");
    let path = file.to_str().expect("UTF-8");
    let find = ["find", "--subject", "naive", "--record", path, "--json"];
    let found = verify(&[&find[..], &["--no-shrink"]].concat());
    let example: serde_json::Value = serde_json::from_slice(&found.stdout).expect("JSON");
    let replayed = verify(&["replay", path, "--json"]);
    assert_eq!(code(&replayed), 1, "{}", text(&replayed.stderr));
    let outcome: serde_json::Value = serde_json::from_slice(&replayed.stdout).expect("JSON");
    assert_eq!(outcome["digest"], example["digest"]);
    let whole = std::fs::read_to_string(&file).expect("the file");
    for (content, part) in [
        (whole[..whole.len() / 2].to_owned(), path),
        (
            whole.replacen("\"version\":2", "\"version\":7", 1),
            "version 7",
        ),
        ("nonsense".to_owned(), "header"),
        (String::new(), "header"),
    ] {
        assert_ne!(content, whole, "nothing was damaged");
        std::fs::write(&file, content).expect("written");
        refused(&["replay", path], 2, &[path, part]);
    }
}

/// What `find` records is shrunken, says why, and is followed on replay; one
/// that names what never comes up is stale.
#[test]
fn a_shrunken_run_is_followed_and_says_what_has_become_of_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("run");
    let path = file.to_str().expect("UTF-8");
    let rush = ["find", "--subject", "naive", "--scenario", "rush"];
    let note = "count and set are apart";
    let found = verify(&[&rush[..], &["--record", path, "--note", note]].concat());
    let shown = text(&found.stdout);
    assert!(shown.contains("from   cap 20, 21 clients"), "{shown}");
    assert!(shown.contains("to     cap 1, 2 clients"), "{shown}");

    let replayed = verify(&["replay", path]);
    assert_eq!(code(&replayed), 1, "{}", text(&replayed.stderr));
    let shown = text(&replayed.stdout);
    assert!(shown.contains("the file says: same bug"), "{shown}");
    assert!(shown.contains(note), "{shown}");

    let whole = std::fs::read_to_string(&file).expect("the file");
    // The right gate sends one command where the wrong one sends two.
    let right = whole.replacen("\"naive\"", "\"slots\"", 1);
    std::fs::write(&file, &right).expect("written");
    let replayed = verify(&["replay", path]);
    let shown = text(&replayed.stdout);
    assert!(shown.contains("the file says: fixed"), "{shown}");
    assert_eq!(code(&replayed), 0, "{shown}");

    let mut lines: Vec<&str> = right.lines().collect();
    lines.insert(2, "{\"pick\":\"execute\",\"host\":77,\"n\":1}");
    let counted = format!("{{\"decisions\":{}}}", lines.len() - 2);
    let last = lines.len() - 1;
    lines[last] = &counted;
    std::fs::write(&file, lines.join("\n") + "\n").expect("written");
    let replayed = verify(&["replay", path]);
    let shown = text(&replayed.stdout);
    assert!(
        shown.contains("stale at step 2: `Execute 77.0 #1`"),
        "{shown}"
    );
    assert_eq!(code(&replayed), 4, "{shown}");
}

#[test]
fn a_gate_or_a_seed_that_is_none_exits_with_2() {
    refused(
        &["find", "--subject", "magic"],
        2,
        &["magic", "naive", "slots"],
    );
    refused(&["audit", "--subject", "magic"], 2, &["magic", "naive"]);
    refused(&["find", "--strategy", "luck"], 2, &["luck", "pct"]);
    let swarm = ["swarm", "--joins", "1", "--strategy", "guided"];
    refused(&swarm, 2, &["guided", "find", "pos"]);
    refused(&["find", "--scenario", "rain"], 2, &["rain", "swarm"]);
    refused(&["find", "--seeds", "x..9"], 2, &["\"x\"", "A..B"]);
    refused(&["find", "--seeds", "9..9"], 2, &["empty"]);
    refused(
        &["find", "--seeds", "99999999999999999999"],
        2,
        &["not a number"],
    );
    refused(&["find", "--cap", "0"], 2, &["(--cap) is 0", "between 1"]);
    refused(&["find", "--clients", "0"], 2, &["--clients"]);
    refused(
        &["find", "--cap", "2", "--scenario", "swarm"],
        2,
        &["cannot be used"],
    );
    refused(&["replay", "-7"], 2, &["-7"]);
    refused(&["replay", "12x"], 2, &["12x", "neither a seed"]);
    refused(&["replay", "1", "--on", "redis"], 3, &["no Redis server"]);
    refused(&["replay", "0..9"], 2, &["--on redis"]);
    let many = ["replay", "0..9", "--on", "redis", "--subject", "all"];
    refused(&many, 3, &["no Redis server", "PATH"]);
    refused(&["replay", "0..9", "--on", "local"], 2, &["--on redis"]);
}

#[test]
fn a_search_that_finds_nothing_says_only_that() {
    let output = verify(&["find", "--subject", "slots", "--seeds", "0..3"]);
    assert_eq!(code(&output), 0);
    assert!(text(&output.stdout).contains("not that there is nothing"));
}

#[test]
fn a_script_comes_as_one_text() {
    for script in sluice_core::script::ALL {
        let output = verify(&["script", script.name]);
        assert_eq!(code(&output), 0);
        assert_eq!(text(&output.stdout), script.text, "{}", script.name);
    }
    refused(
        &["script", "acquier"],
        2,
        &["acquier", "acquire", "release"],
    );
}

/// Digests change with every script and every label: what people read is the
/// rest.
fn without_digests(page: &str) -> String {
    let is_digest = |word: &str| word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut out = String::new();
    for piece in page.split_inclusive([' ', '\n']) {
        let word = piece.trim_end();
        if is_digest(word) {
            out += "(digest)";
            out += &piece[word.len()..];
        } else {
            out += piece;
        }
    }
    out
}

#[test]
fn what_was_found_reads_like_this() {
    let output = verify(&["find", "--subject", "naive"]);
    assert_eq!(code(&output), 1);
    insta::assert_snapshot!("find_naive", without_digests(&text(&output.stdout)));
}

#[test]
fn the_audit_of_the_gate_reads_like_this() {
    let output = verify(&["audit", "--seeds", "0..4"]);
    insta::assert_snapshot!("audit_slots", without_digests(&text(&output.stdout)));
}

#[test]
fn a_run_is_drawn_into_a_file_that_stands_alone() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("UTF-8");
    let replay = ["replay", "1", "--subject", "naive", "--svg", path];
    assert_eq!(code(&verify(&replay)), 1);
    let svg = std::fs::read_to_string(path).expect("it was written");
    assert!(svg.starts_with("<svg xmlns=") && svg.contains("naive breaks R1.1"));
    assert!(svg.contains("HSET {sessions}:active u0"), "{svg}");
    refused(
        &["find", "--subject", "naive", "--svg", "/nonexistent/x.svg"],
        2,
        &["cannot write /nonexistent/x.svg"],
    );
}

/// Steps change with the gate and the workload; that they are counted does not.
fn without_counts(text: &str) -> String {
    let steps = text.split_once(" steps").map_or("", |(before, _)| {
        before.rsplit(' ').next().unwrap_or_default()
    });
    text.replace(&format!("{steps} steps"), "[n] steps")
}

#[test]
fn the_same_seed_is_the_same_run_in_another_process() {
    for strategy in ["random", "pct", "pos"] {
        let args = ["--seeds", "0..12", "--strategy", strategy];
        let output = verify(&[&["check-determinism"], &args[..]].concat());
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        let out = without_counts(&text(&output.stdout));
        insta::assert_snapshot!(format!("determinism-{strategy}"), out);
    }
}

/// A gate whose clients look at an address is found out, where it first does.
#[test]
fn what_depends_on_the_process_is_found_out() {
    let args = [
        "check-determinism",
        "--subject",
        "unsteady",
        "--seeds",
        "3..9",
    ];
    let output = verify(&args);
    let out = text(&output.stdout);
    assert_eq!(code(&output), 1, "{out}");
    assert!(out.contains("They part in seed 3, step "), "{out}");
    let sides: Vec<&str> = out.lines().filter(|line| line.contains("@0x")).collect();
    assert_eq!(sides.len(), 2, "both sides are shown: {out}");
    assert_ne!(sides[0], sides[1]);
    let known = text(&verify(&["find", "--subject", "nobody"]).stderr);
    assert!(
        known.contains("naive") && !known.contains("unsteady"),
        "{known}"
    );
}

/// Seconds differ from machine to machine, and the rest with every change of the
/// gate or the workload: it is shown that it is there.
#[test]
fn swarms_run_until_so_many_joins_were_accepted() {
    let output = verify(&["swarm", "--joins", "3000"]);
    let out = text(&output.stdout);
    assert_eq!(code(&output), 0, "{out}");
    let joins: u64 = out
        .split_once(" joins were given a place")
        .and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok())
        .expect("it says how many");
    assert!((3_000..100_000).contains(&joins), "{out}");
    for part in [
        "joins a second",
        "Faults fired: cut ",
        "They changed what became of somebody",
        "Premises met: R1.1(b) ",
        "No violation.",
    ] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
    let json = verify(&["swarm", "--joins", "3000", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["joins"], joins, "the same on any number of threads");
    // Where nothing goes wrong, nothing is known of what would be then.
    let calm = verify(&["swarm", "--scenario", "rush", "--joins", "300"]);
    let out = text(&calm.stdout);
    let (_, unmet) = out
        .split_once("Not tested, since their premises were never met: ")
        .expect("it says what it has not seen");
    assert!(unmet.contains("R1.8"), "{out}");
}

#[test]
fn a_swarm_that_breaks_something_says_how_to_see_it_again() {
    let output = verify(&["swarm", "--subject", "one-too-many", "--joins", "100"]);
    let out = text(&output.stdout);
    assert_eq!(code(&output), 1, "{out}");
    let again = out
        .lines()
        .find(|line| line.starts_with("✗ R1.1(s) "))
        .expect("it broke");
    assert!(again.contains("first with the seeds 0, "), "{again}");
    let (_, command) = again.split_once("-p verify -- ").expect("a command");
    let replayed = verify(&command.split(' ').collect::<Vec<_>>());
    assert_eq!(code(&replayed), 1, "{command}");
}

/// A search that found nothing says what its faults have put to the test.
#[test]
fn a_search_without_a_result_says_what_was_tested() {
    let output = verify(&[
        "find",
        "--subject",
        "slots",
        "--scenario",
        "swarm",
        "--seeds",
        "0..40",
    ]);
    let out = text(&output.stdout);
    assert_eq!(code(&output), 0, "{out}");
    assert!(out.contains("Faults fired: cut "), "{out}");
    assert!(
        out.contains("They changed what became of somebody"),
        "{out}"
    );
    let calm = verify(&["find", "--subject", "slots", "--seeds", "0..4"]);
    assert!(!text(&calm.stdout).contains("ault"), "a race has no faults");
}

#[test]
fn a_recorded_history_is_judged() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("history.jsonl");
    let path = file.to_str().expect("UTF-8");
    let operation = |client: &str, start: u64, end: u64, fence: u64| {
        format!(
            "{{\"client\":\"{client}\",\"start\":{start},\"end\":{end},\"op\":{{\"acquire\":\
             {{\"attempt\":1}}}},\"reply\":{{\"granted\":{{\"fence\":{fence}}}}}}}\n"
        )
    };
    let two =
        operation("ann", 1_000_000, 2_000_000, 1) + &operation("bob", 1_500_000, 3_000_000, 2);
    let header = "{\"history\":1,\"model\":\"slots\",\"capacity\":2}\n";
    std::fs::write(&file, header.to_owned() + &two).expect("written");
    let output = verify(&["history", path]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(text(&output.stdout).ends_with("as 2 slots:\nlinearizable\n"));

    let output = verify(&["history", path, "--cap", "1"]);
    assert_eq!(code(&output), 1);
    insta::assert_snapshot!("history-terminal", text(&output.stdout));
    let output = verify(&["history", path, "--cap", "1", "--json"]);
    assert_eq!(code(&output), 1);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["verdict"], "violated");
    assert_eq!(
        found["conflict"]["operations"][1]["reply"]["granted"]["fence"],
        2
    );

    // Resizes are searched for, and there is no budget for that.
    let resize = "{\"client\":\"op\",\"start\":1,\"op\":{\"resize\":{\"capacity\":1}}}\n";
    std::fs::write(&file, header.to_owned() + resize + &two).expect("written");
    let output = verify(&["history", path, "--budget", "0"]);
    assert_eq!(code(&output), 4);
    assert!(text(&output.stdout).contains("inconclusive: 3 operations"));

    std::fs::write(&file, "{\"history\":1,\"model\":\"slots\"}\n").expect("written");
    refused(&["history", path], 2, &[path, "--cap"]);
    std::fs::write(&file, "{\"history\":1,\"model\":\"lock\"}\nno\n").expect("written");
    refused(&["history", path], 2, &[path, "line 2", "column 2"]);
    refused(&["history", path, "--cap", "0"], 2, &["--cap"]);
    refused(&["history", "/nonexistent"], 2, &["/nonexistent"]);
}
