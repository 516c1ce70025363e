//! For a ticket or a wiki: the report as GitHub's Markdown.

use super::terminal::{counts, number};
use super::{Counterexample, Origin, Report};

/// The report as Markdown.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut lines = vec![
        format!("# Audit of {}", cell(&report.target)),
        String::new(),
    ];
    if let Some(subject) = &report.subject {
        lines.push(format!("Gate under audit: `{subject}`  "));
    }
    if let Some(server) = &report.server {
        lines.push(format!("Server: {}  ", cell(server)));
    }
    lines.push(format!("**{}**", cell(&report.summary)));
    lines.extend(findings(report));
    lines.extend(scenarios(report));
    if !report.counterexamples.is_empty() {
        lines.extend(heading("Counterexamples against the gate under audit"));
        lines.extend(report.counterexamples.iter().flat_map(counterexample));
    }
    if !report.controls.is_empty() {
        lines.extend(heading("Negative controls"));
        for control in &report.controls {
            let verdict = control.verdict.word();
            lines.push(format!("### `{}`: {verdict}", control.subject));
            lines.push(String::new());
            lines.push(format!(
                "{}. {}",
                cell(&control.defect),
                cell(&control.statement)
            ));
            lines.push(String::new());
            lines.extend(control.counterexamples.iter().flat_map(counterexample));
        }
    }
    if !report.searches.is_empty() {
        lines.extend(heading("What was searched"));
        lines.push("| subject | seeds | steps | faults | premises met | digest |".into());
        lines.push("|---|---|---:|---|---|---|".into());
        for search in &report.searches {
            let (from, to) = search.seeds;
            let faults = search.evidence.words().join(" ");
            let premises = counts(&search.premises);
            lines.push(format!(
                "| `{}` | {from}..{to} | {} | {faults} | {premises} | `{}` |",
                search.subject, search.steps, search.digest
            ));
        }
    }
    if !report.scripts.is_empty() {
        lines.extend(heading("Scripts"));
        for script in &report.scripts {
            lines.push(format!("- `{}` `{}`", script.name, script.sha1));
        }
    }
    lines.extend(heading("How to read this"));
    lines.extend(report.notes.iter().map(|note| format!("- {}", cell(note))));
    lines.push(format!("\nAgain: `{}`\n", report.repeat));
    lines.join("\n")
}

fn heading(title: &str) -> [String; 3] {
    [String::new(), format!("## {title}"), String::new()]
}

fn findings(report: &Report) -> Vec<String> {
    let mut lines = heading("Verdicts").to_vec();
    lines.push("| requirement | what | verdict | found | evidence |".into());
    lines.push("|---|---|---|---|---|".into());
    for finding in &report.findings {
        let evidence: Vec<String> = finding.evidence.iter().map(|line| cell(line)).collect();
        let mark = if finding.indicative {
            " (indicative)"
        } else {
            ""
        };
        let reported = finding.disputed().map_or_else(String::new, |word| {
            format!(" (the report says {})", cell(word))
        });
        lines.push(format!(
            "| {} | {} | **{}**{mark}{reported} | {} | {} |",
            finding.requirement,
            cell(&finding.scope),
            finding.verdict.word(),
            cell(&finding.statement),
            evidence.join("<br>"),
        ));
    }
    lines
}

fn scenarios(report: &Report) -> Vec<String> {
    if report.scenarios.is_empty() {
        return Vec::new();
    }
    let mut lines = heading("Scenarios").to_vec();
    lines.push(
        "| scenario | users | expected | found | max active | n | mean ms | P50 | P95 | P99 | max | times |"
            .into(),
    );
    lines.push("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|".into());
    for s in &report.scenarios {
        let mut cells = vec![
            cell(&s.name),
            s.users.to_string(),
            format!("{}/{}", s.expected.0, s.expected.1),
            s.found.map_or_else(dash, |(a, q)| format!("{a}/{q}")),
            s.active_max.map_or_else(dash, |n| n.to_string()),
        ];
        if let Some(table) = &s.latency {
            let time = |ms: Option<f64>, percent: u64| match ms {
                Some(ms) if percent > 0 && table.is_indicative(percent) => {
                    format!("{} (indicative)", number(ms))
                }
                Some(ms) => number(ms),
                None => dash(),
            };
            let origin = match table.origin {
                Origin::Measured => "measured",
                Origin::Model => "model's output",
                Origin::Reported => "as reported",
            };
            cells.extend([
                table.samples.to_string(),
                time(table.mean_ms, 0),
                time(table.p50_ms, 50),
                time(table.p95_ms, 95),
                time(table.p99_ms, 99),
                time(table.max_ms, 0),
                format!("{}, {origin}", table.what),
            ]);
        }
        lines.push(format!("| {} |", cells.join(" | ")));
    }
    lines
}

fn dash() -> String {
    "–".to_owned()
}

fn counterexample(example: &Counterexample) -> Vec<String> {
    let mut lines = vec![
        format!(
            "`{}` breaks {} at step {}: {}",
            example.subject,
            example.property,
            example.step,
            cell(&example.what)
        ),
        String::new(),
        "```text".to_owned(),
    ];
    lines.extend(example.timeline.iter().cloned());
    lines.push(format!("before: {}", example.before));
    lines.push(format!("after:  {}", example.after));
    if let Some(digest) = &example.digest {
        lines.push(format!("digest: {digest}"));
    }
    lines.push(format!("again:  {}", example.repeat));
    lines.extend(["```".to_owned(), String::new()]);
    lines
}

/// Text that cannot break out of a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('\n', " ")
}
