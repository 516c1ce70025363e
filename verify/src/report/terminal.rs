//! For eyes: at most 80 columns, colour only where it is wanted.

use std::fmt::Write as _;

use super::{Control, Counterexample, Finding, Latency, Origin, Report, Scenario, Verdict};

/// Columns of a line, colour codes not counted.
pub const WIDTH: usize = 80;

/// The report as text. `colour` puts the verdicts into colour.
#[must_use]
pub fn render(report: &Report, colour: bool) -> String {
    let mut out = Page {
        text: String::new(),
        colour,
    };
    out.wrapped(0, &format!("Audit of {}", report.target));
    if let Some(subject) = &report.subject {
        out.wrapped(0, &format!("Gate under audit: {subject}"));
    }
    if let Some(server) = &report.server {
        out.wrapped(0, &format!("Server: {server}"));
    }
    out.heading("Verdicts");
    for finding in &report.findings {
        out.finding(finding);
    }
    if !report.scenarios.is_empty() {
        out.scenarios(&report.scenarios);
    }
    if !report.counterexamples.is_empty() {
        out.heading("Counterexamples against the gate under audit");
        for counterexample in &report.counterexamples {
            out.counterexample(counterexample);
        }
    }
    if !report.controls.is_empty() {
        out.heading("Negative controls: wrong gates that must be convicted");
        for control in &report.controls {
            out.control(control);
        }
    }
    if !report.searches.is_empty() {
        out.searches(report);
    }
    if !report.scripts.is_empty() {
        out.heading("Scripts (SHA-1)");
        for script in &report.scripts {
            out.line(&format!("  {:<10} {}", script.name, script.sha1));
        }
    }
    out.heading("How to read this");
    for note in &report.notes {
        out.bullet(2, note);
    }
    out.line("");
    out.wrapped(0, &report.summary);
    out.line(&format!("Again: {}", report.repeat));
    out.text
}

struct Page {
    text: String,
    colour: bool,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn heading(&mut self, title: &str) {
        self.line("");
        self.line(title);
        self.line(&"─".repeat(title.chars().count()));
    }

    fn wrapped(&mut self, indent: usize, text: &str) {
        for line in wrap(text, WIDTH - indent) {
            self.line(&format!("{:indent$}{line}", ""));
        }
    }

    fn bullet(&mut self, indent: usize, text: &str) {
        for (i, line) in wrap(text, WIDTH - indent - 2).into_iter().enumerate() {
            let mark = if i == 0 { "·" } else { " " };
            self.line(&format!("{:indent$}{mark} {line}", ""));
        }
    }

    /// The verdict's word, padded to the longest of them.
    fn verdict(&self, verdict: Verdict) -> String {
        let word = format!("{:<12}", verdict.word());
        if !self.colour {
            return word;
        }
        let code = match verdict {
            Verdict::Pass | Verdict::Convicted => 32,
            Verdict::NotVerified | Verdict::Inconclusive => 33,
            Verdict::Fail => 31,
        };
        format!("\x1b[1;{code}m{word}\x1b[0m")
    }

    fn finding(&mut self, finding: &Finding) {
        let verdict = self.verdict(finding.verdict);
        let mut title = format!("{:<6}{verdict}  {}", finding.requirement, finding.scope);
        if finding.indicative {
            title += " (indicative)";
        }
        if let Some(reported) = finding.disputed() {
            write!(title, " (the report says {reported})").expect("a string takes text");
        }
        self.line(&title);
        self.wrapped(6, &finding.statement);
        for line in &finding.evidence {
            self.bullet(6, line);
        }
    }

    fn scenarios(&mut self, scenarios: &[Scenario]) {
        self.heading("Scenarios (active/queued)");
        self.line("  name        users  expected     found  max active  digest");
        for s in scenarios {
            let pair = |(active, queued): (u64, u64)| format!("{active}/{queued}");
            self.line(&format!(
                "  {:<10} {:>6}  {:>8}  {:>8}  {:>10}  {}",
                s.name,
                s.users,
                pair(s.expected),
                s.found.map_or_else(|| "–".into(), pair),
                s.active_max.map_or_else(|| "–".into(), |n| n.to_string()),
                s.digest.as_deref().unwrap_or("–"),
            ));
        }
        let tables: Vec<(&str, &Latency)> = scenarios
            .iter()
            .filter_map(|s| Some((s.name.as_str(), s.latency.as_ref()?)))
            .collect();
        let Some((_, first)) = tables.first() else {
            return;
        };
        let origin = match first.origin {
            Origin::Measured => "measured",
            Origin::Model => "a model's output, not a measurement",
            Origin::Reported => "as reported",
        };
        self.heading(&format!("Latency, ms: {} ({origin})", first.what));
        self.line("  name             n     mean      P50      P95      P99      max");
        let mut weak = false;
        for (name, table) in tables {
            let cell = |ms: Option<f64>, percent: Option<u64>| {
                let mark = match (ms, percent) {
                    (Some(_), Some(percent)) if table.is_indicative(percent) => "*",
                    (Some(_) | None, Some(_) | None) => "",
                };
                let text = ms.map_or_else(|| "–".to_owned(), number);
                format!("{:>9}", format!("{text}{mark}"))
            };
            let cells = [
                cell(table.mean_ms, None),
                cell(table.p50_ms, Some(50)),
                cell(table.p95_ms, Some(95)),
                cell(table.p99_ms, Some(99)),
                cell(table.max_ms, None),
            ]
            .concat();
            weak |= cells.contains('*');
            self.line(&format!("  {name:<10} {:>7}{cells}", table.samples));
        }
        if weak {
            self.line("  * indicative: fewer than ten samples beyond it");
        }
    }

    fn control(&mut self, control: &Control) {
        let verdict = self.verdict(control.verdict);
        self.line(&format!("{verdict}  {}", control.subject));
        self.wrapped(6, &control.defect);
        self.wrapped(6, &control.statement);
        for counterexample in &control.counterexamples {
            self.counterexample(counterexample);
        }
    }

    fn counterexample(&mut self, example: &Counterexample) {
        self.line("");
        let seed = example
            .seed
            .map_or_else(String::new, |seed| format!(", seed {seed}"));
        self.wrapped(
            2,
            &format!(
                "{} breaks {} at step {}{seed}: {}",
                example.subject, example.property, example.step, example.what
            ),
        );
        for line in &example.timeline {
            self.line(&format!("  {}", clip(line, WIDTH - 2)));
        }
        self.wrapped(2, &format!("before: {}", example.before));
        self.wrapped(2, &format!("after:  {}", example.after));
        if let Some(digest) = &example.digest {
            self.line(&format!("  digest: {digest}"));
        }
        self.line(&format!("  again:  {}", example.repeat));
    }

    fn searches(&mut self, report: &Report) {
        self.heading("What was searched");
        for search in &report.searches {
            let (from, to) = search.seeds;
            self.wrapped(
                0,
                &format!(
                    "{}: seeds {from}..{to}, {} steps, digest {}",
                    search.subject, search.steps, search.digest
                ),
            );
            for sentence in search.evidence.words() {
                self.wrapped(2, &sentence);
            }
            self.wrapped(2, &format!("premises met: {}", counts(&search.premises)));
        }
    }
}

pub(super) fn counts(counts: &std::collections::BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    let parts: Vec<String> = counts
        .iter()
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    parts.join(", ")
}

/// As few digits as say something.
pub(super) fn number(ms: f64) -> String {
    if ms >= 100.0 || ms.fract() == 0.0 {
        format!("{ms:.0}")
    } else if ms >= 10.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.2}")
    }
}

/// Words onto lines of at most `width` characters; longer words stay whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("never empty");
        let used = last.chars().count();
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if used > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

fn clip(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let kept: String = line.chars().take(width - 1).collect();
    format!("{kept}…")
}
