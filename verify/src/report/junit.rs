//! For a CI server: one test case a verdict.
//!
//! FAIL and INCONCLUSIVE are failures; NOT VERIFIED is *skipped*, for a run that
//! cannot show a thing has not failed at it.

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::{Report, Verdict};

/// The report as JUnit XML.
///
/// # Panics
/// Never: the text that goes in is made fit for XML.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut junit = Junit::new("sluice audit");
    let mut verdicts = TestSuite::new("requirements");
    for finding in &report.findings {
        let name = format!("{} {}", finding.requirement, finding.scope);
        let mut text = vec![finding.statement.clone()];
        text.extend(finding.evidence.iter().cloned());
        verdicts.add_test_case(case(&name, finding.verdict, &text.join("\n")));
    }
    junit.add_test_suite(verdicts);
    if !report.controls.is_empty() {
        let mut controls = TestSuite::new("negative controls");
        for control in &report.controls {
            let text = format!("{}. {}", control.defect, control.statement);
            controls.add_test_case(case(&control.subject, control.verdict, &text));
        }
        junit.add_test_suite(controls);
    }
    junit.to_string().expect("plain text serializes")
}

fn case(name: &str, verdict: Verdict, text: &str) -> TestCase {
    let status = match verdict {
        Verdict::Pass | Verdict::Convicted => TestCaseStatus::success(),
        Verdict::NotVerified => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(text);
            status
        }
        Verdict::Fail | Verdict::Inconclusive => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(verdict.word()).set_message(text);
            status
        }
    };
    let mut case = TestCase::new(name, status);
    case.set_classname("sluice").set_system_out(text);
    case
}
