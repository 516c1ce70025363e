//! For programs: the report as it is, with the layout's version in `schema`.

use super::Report;

/// The report as JSON, ending with a newline.
#[must_use]
pub fn render(report: &Report) -> String {
    let text = serde_json::to_string_pretty(report);
    // Only maps with keys that are not strings can fail, and there are none.
    text.expect("a report has only string keys") + "\n"
}
