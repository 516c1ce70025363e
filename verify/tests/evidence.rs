//! A past report is judged by its figures: altering one flips its verdict.

use serde_json::{Value, json};
use verify::evidence::{Error, audit_text};
use verify::report::{Conclusion, Report, Verdict};

const FIELD: &str = include_str!("../data/per-002-report.json");

fn field() -> Value {
    serde_json::from_str(FIELD).expect("the field report is JSON")
}

fn judge(figures: &Value) -> Report {
    audit_text("report.json", figures.to_string().as_bytes()).expect("a report")
}

fn verdict(report: &Report, requirement: &str, scope: &str) -> Option<Verdict> {
    let mut found = report
        .findings
        .iter()
        .filter(|f| f.requirement == requirement && f.scope == scope);
    let verdict = found.next().map(|f| f.verdict);
    assert!(
        found.next().is_none(),
        "{requirement} {scope} is judged twice"
    );
    verdict
}

#[test]
fn the_field_report_is_judged_as_its_figures_say() {
    let report = judge(&field());
    let expected = [
        ("R3.1", "ten concurrent queries", Verdict::NotVerified),
        ("R3.1", "distributed", Verdict::NotVerified),
        ("R3.2", "normal", Verdict::Pass),
        ("R3.2", "over-50", Verdict::Pass),
        ("R3.2", "over-100", Verdict::Pass),
        ("R3.2", "over-200", Verdict::Pass),
        ("R3.2", "sustained", Verdict::NotVerified),
        ("R3.3", "over-200", Verdict::Pass),
        ("R3.3", "sustained", Verdict::Fail),
        ("R3.3", "FIFO kept", Verdict::NotVerified),
        ("R3.4", "30-minute clean-up", Verdict::NotVerified),
        ("R3.5", "normal", Verdict::NotVerified),
        ("R3.5", "over-50", Verdict::Pass),
        ("R3.5", "over-200", Verdict::Pass),
        ("R3.5", "sustained", Verdict::Fail),
        ("R3.6", "original defect", Verdict::Convicted),
        ("R1.15", "memory per session", Verdict::NotVerified),
    ];
    for (requirement, scope, expected) in expected {
        assert_eq!(
            verdict(&report, requirement, scope),
            Some(expected),
            "{requirement} {scope}"
        );
    }
    assert_eq!(report.conclusion, Conclusion::Violated);
}

#[test]
fn a_percentile_without_ten_samples_beyond_it_is_indicative() {
    let report = judge(&field());
    let weak: Vec<&str> = report
        .findings
        .iter()
        .filter(|f| f.indicative)
        .map(|f| f.scope.as_str())
        .collect();
    assert_eq!(weak, ["over-50", "over-100"]);
}

/// Sets the figure at `pointer`; without it the table below would test nothing.
fn altered(pointer: &str, value: Value) -> Value {
    let mut figures = field();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = figures
        .pointer_mut(&format!("/per_002_report{parent}"))
        .expect(pointer);
    match parent {
        Value::Object(map) => drop(map.insert(key.to_owned(), value)),
        Value::Array(items) => items[key.parse::<usize>().expect("an index")] = value,
        other => panic!("{pointer} is inside {other}"),
    }
    figures
}

#[test]
fn an_altered_figure_flips_its_verdict() {
    use Verdict::{Convicted, Fail, NotVerified, Pass};
    let measured = |max: u64, processes: u64| json!({"max_in_flight": max, "processes": processes});
    let table = [
        (
            "/scenarios/1/active",
            json!(21),
            "R3.2",
            "over-50",
            Pass,
            Fail,
        ),
        (
            "/scenarios/1/active",
            json!(19),
            "R3.3",
            "over-50",
            Pass,
            Fail,
        ),
        (
            "/scenarios/1/queued",
            json!(29),
            "R3.3",
            "over-50",
            Pass,
            Fail,
        ),
        (
            "/scenarios/3/active",
            json!(200),
            "R3.2",
            "over-200",
            Pass,
            Fail,
        ),
        (
            "/scenarios/0/active",
            json!(19),
            "R3.3",
            "normal",
            Pass,
            Fail,
        ),
        (
            "/scenarios/4/queued_final",
            json!(0),
            "R3.3",
            "sustained",
            Fail,
            Pass,
        ),
        (
            "/scenarios/4/queued_final",
            json!(0),
            "R3.5",
            "sustained",
            Fail,
            Pass,
        ),
        (
            "/scenarios/4/active_max",
            json!(20),
            "R3.2",
            "sustained",
            NotVerified,
            Pass,
        ),
        (
            "/scenarios/4/active_max",
            json!(21),
            "R3.2",
            "sustained",
            NotVerified,
            Fail,
        ),
        (
            "/scenarios/0/p95_ms",
            json!(199),
            "R3.5",
            "normal",
            NotVerified,
            Pass,
        ),
        (
            "/scenarios/0/mean_ms",
            json!(201),
            "R3.5",
            "normal",
            NotVerified,
            Fail,
        ),
        (
            "/scenarios/3/p95_ms",
            json!(200.5),
            "R3.5",
            "over-200",
            Pass,
            Fail,
        ),
        (
            "/scenarios/2/success_pct",
            json!(99.5),
            "R3.5",
            "over-100",
            Pass,
            Fail,
        ),
        (
            "/scenarios/2/mean_ms",
            json!(null),
            "R3.5",
            "over-100",
            Pass,
            NotVerified,
        ),
        (
            "/concurrency_10_evidence",
            measured(10, 4),
            "R3.1",
            "ten concurrent queries",
            NotVerified,
            Pass,
        ),
        (
            "/concurrency_10_evidence",
            measured(11, 4),
            "R3.1",
            "ten concurrent queries",
            NotVerified,
            Fail,
        ),
        (
            "/processes",
            json!(4),
            "R3.1",
            "distributed",
            NotVerified,
            Pass,
        ),
        (
            "/session_timeout_s",
            json!(3600),
            "R3.4",
            "30-minute clean-up",
            NotVerified,
            Fail,
        ),
        (
            "/naive_overshoot/0/active",
            json!(20),
            "R3.6",
            "original defect",
            Convicted,
            NotVerified,
        ),
    ];
    let before = judge(&field());
    for (pointer, value, requirement, scope, was, is) in table {
        assert_eq!(
            verdict(&before, requirement, scope),
            Some(was),
            "before {pointer}"
        );
        let after = judge(&altered(pointer, value.clone()));
        assert_eq!(
            verdict(&after, requirement, scope),
            Some(is),
            "{pointer} = {value}"
        );
    }
}

#[test]
fn one_process_does_not_show_a_cap_over_all_processes() {
    let one = json!({"max_in_flight": 10, "processes": 1});
    let report = judge(&altered("/concurrency_10_evidence", one));
    assert_eq!(
        verdict(&report, "R3.1", "ten concurrent queries"),
        Some(Verdict::NotVerified)
    );
}

#[test]
fn other_limits_than_per_002s_are_another_audit() {
    for (pointer, value, requirement) in [
        ("/max_active_sessions", json!(50), "R3.2"),
        ("/max_concurrent_queries", json!(100), "R3.1"),
        ("/response_limit_ms", json!(500), "R3.5"),
    ] {
        assert_eq!(verdict(&judge(&field()), requirement, "setting"), None);
        let report = judge(&altered(pointer, value));
        assert_eq!(
            verdict(&report, requirement, "setting"),
            Some(Verdict::Fail),
            "{pointer}"
        );
    }
}

#[test]
fn a_scenario_that_is_missing_or_other_is_not_verified() {
    let mut figures = field();
    let scenarios = figures
        .pointer_mut("/per_002_report/scenarios")
        .expect("scenarios");
    scenarios.as_array_mut().expect("an array").remove(3);
    let report = judge(&figures);
    assert_eq!(
        verdict(&report, "R3.5", "over-200"),
        Some(Verdict::NotVerified)
    );
}

#[test]
fn the_sustained_scenario_is_told_why() {
    let report = judge(&field());
    let finding = report
        .findings
        .iter()
        .find(|f| f.requirement == "R3.3" && f.scope == "sustained")
        .expect("judged");
    assert_eq!(finding.reported.as_deref(), Some("PASS"));
    let text = format!("{} {}", finding.statement, finding.evidence.join(" "));
    for part in [
        "0 active beside 120 queued",
        "20 slots stood free",
        "promotion never worked",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

#[test]
fn what_is_not_a_report_is_said_clearly() {
    let text = |bytes: &[u8]| {
        audit_text("f", bytes)
            .expect_err("not a report")
            .to_string()
    };
    for (bytes, part) in [
        (&b""[..], "EOF"),
        (&FIELD.as_bytes()[..FIELD.len() / 2], "EOF"),
        (b"{}", "per_002_report"),
        (b"[1]", "f: "),
        (b"\xff\xfe", "f: "),
        (br#"{"version": 2, "per_002_report": 7}"#, "version 2"),
    ] {
        assert!(text(bytes).contains(part), "{}", text(bytes));
    }
    let deep = "[".repeat(100_000);
    assert!(matches!(
        audit_text("f", deep.as_bytes()),
        Err(Error::Layout { .. })
    ));
    for (pointer, value) in [
        ("/scenarios/0/success_pct", json!(101)),
        ("/scenarios/0/p95_ms", json!(-1)),
        ("/scenarios/1/p99_ms", json!(1)),
        ("/scenarios/0/name", json!("a\u{1b}[31m")),
        ("/scenarios/0/queued_final", json!(3)),
        ("/max_active_sessions", json!(0)),
        ("/date", json!("x".repeat(1_000))),
    ] {
        let figures = altered(pointer, value.clone());
        let result = audit_text("f", figures.to_string().as_bytes());
        let accepted = result.is_ok();
        // `queued_final` alone leaves a snapshot a snapshot.
        assert_eq!(
            accepted,
            pointer.ends_with("queued_final"),
            "{pointer} = {value}"
        );
    }
    for (pointer, value) in [
        ("/scenarios/0/users", json!(-1)),
        ("/scenarios/0/users", json!("20")),
    ] {
        let result = audit_text("f", altered(pointer, value).to_string().as_bytes());
        assert!(matches!(result, Err(Error::Layout { .. })));
    }
}

fn set(figures: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = figures
        .pointer_mut(&format!("/per_002_report{parent}"))
        .expect(pointer);
    parent[key] = value;
}

/// A report that carries every figure that is asked for.
fn perfect() -> Value {
    let mut figures = field();
    let report = &mut figures["per_002_report"];
    report
        .as_object_mut()
        .expect("an object")
        .remove("redis_bytes_per_session");
    report["processes"] = json!(4);
    report["concurrency_10_evidence"] = json!({"max_in_flight": 10, "processes": 4});
    report["idle_reclaim"] = json!({"sessions": 20, "after_s": [1800.1, 1801.5]});
    report["fifo"] = json!({"promoted": 390, "inversions": 0});
    report["scenarios"][0]["p95_ms"] = json!(199);
    for (key, value) in [("queued_final", 0), ("active_max", 20)] {
        report["scenarios"][4][key] = json!(value);
    }
    figures
}

#[test]
fn a_report_that_carries_every_figure_holds() {
    let report = judge(&perfect());
    let open: Vec<_> = report
        .findings
        .iter()
        .filter(|f| !matches!(f.verdict, Verdict::Pass | Verdict::Convicted))
        .collect();
    assert!(open.is_empty(), "{open:#?}");
    assert_eq!(report.conclusion, Conclusion::Holds);
}

#[test]
fn figures_that_cannot_be_pass_nothing() {
    use Verdict::{Fail, Inconclusive};
    let run = json!({"name": "over-200", "users": 200, "requests": 200, "success_pct": 100,
        "active_final": 0, "queued_final": 0, "active_max": 1, "mean_ms": 4, "p95_ms": 4,
        "reported": "PASS"});
    let snapshot = json!({"name": "sustained", "users": 30, "duration_s": 60, "session_s": [5, 15],
        "requests": 120, "success_pct": 100, "active": 20, "queued": 10, "mean_ms": 4,
        "p95_ms": 4, "reported": "PASS"});
    let table = [
        (
            "/scenarios/4/duration_s",
            json!(1),
            "R3.3",
            "sustained",
            Inconclusive,
        ),
        (
            "/scenarios/4/session_s",
            json!([0, 0]),
            "R3.3",
            "sustained",
            Inconclusive,
        ),
        (
            "/scenarios/4/requests",
            json!(30),
            "R3.5",
            "sustained",
            Inconclusive,
        ),
        (
            "/scenarios/4/requests",
            json!(10_000),
            "R3.3",
            "sustained",
            Inconclusive,
        ),
        (
            "/scenarios/4/active_max",
            json!(0),
            "R3.2",
            "sustained",
            Inconclusive,
        ),
        (
            "/scenarios/4/active_max",
            json!(19),
            "R3.2",
            "sustained",
            Inconclusive,
        ),
        ("/scenarios/4", snapshot, "R3.3", "sustained", Inconclusive),
        ("/scenarios/3", run, "R3.3", "over-200", Inconclusive),
        (
            "/scenarios/3/requests",
            json!(1),
            "R3.5",
            "over-200",
            Inconclusive,
        ),
        (
            "/scenarios/3/users",
            json!(20),
            "R3.2",
            "over-200",
            Inconclusive,
        ),
        (
            "/scenarios/3/active_max",
            json!(21),
            "R3.2",
            "over-200",
            Fail,
        ),
        (
            "/scenarios/0/max_ms",
            json!(194),
            "R3.5",
            "normal",
            Inconclusive,
        ),
        (
            "/concurrency_10_evidence",
            json!({"max_in_flight": 0, "processes": 99}),
            "R3.1",
            "ten concurrent queries",
            Inconclusive,
        ),
        (
            "/processes",
            json!(u64::MAX),
            "R3.1",
            "distributed",
            Inconclusive,
        ),
        (
            "/idle_reclaim/after_s",
            json!([1700, 1801]),
            "R3.4",
            "30-minute clean-up",
            Fail,
        ),
        (
            "/idle_reclaim/after_s",
            json!([1800, 3600]),
            "R3.4",
            "30-minute clean-up",
            Fail,
        ),
        (
            "/idle_reclaim/sessions",
            json!(0),
            "R3.4",
            "30-minute clean-up",
            Inconclusive,
        ),
        ("/fifo/inversions", json!(1), "R3.3", "FIFO kept", Fail),
        (
            "/fifo/promoted",
            json!(1),
            "R3.3",
            "FIFO kept",
            Inconclusive,
        ),
    ];
    for (pointer, value, requirement, scope, expected) in table {
        let mut figures = perfect();
        let key = pointer.rsplit_once('/').expect("a pointer").1;
        match key.parse::<usize>() {
            Ok(nth) => figures["per_002_report"]["scenarios"][nth] = value.clone(),
            Err(_) => set(&mut figures, pointer, value.clone()),
        }
        if key == "max_ms" {
            // Only the mean of 195 ms is impossible then, not the percentile.
            set(&mut figures, "/scenarios/0/p95_ms", json!(11));
        }
        let report = judge(&figures);
        let found = verdict(&report, requirement, scope);
        assert_eq!(found, Some(expected), "{pointer} = {value}");
        assert_ne!(report.conclusion, Conclusion::Holds, "{pointer} = {value}");
    }
}

#[test]
fn all_active_is_not_as_expected() {
    let mut figures = perfect();
    set(&mut figures, "/scenarios/1/active", json!(50));
    set(&mut figures, "/scenarios/1/queued", json!(0));
    let report = judge(&figures);
    for requirement in ["R3.2", "R3.3"] {
        assert_eq!(
            verdict(&report, requirement, "over-50"),
            Some(Verdict::Fail)
        );
    }
}
