//! The picture for a terminal: never wider than asked, with colour or without.

use std::fmt::Write as _;

use super::Style;
use super::story::{Row, Story};
use super::words::Mark;
use crate::property::Violation;

const DIM: &str = "2";
const RED: &str = "1;31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

pub(super) fn render(story: &Story, violation: Option<&Violation>, style: Style) -> String {
    let mut page = heading(&story.lanes, style);
    let mut line = |text: &str, colour: &str| {
        let _ = writeln!(page, "{}", paint(&cut(text, style.width), colour, style));
    };
    if story.cut {
        line("       ⋮ earlier steps left out", DIM);
    }
    let indent = 16 + lane_width(story.lanes.len(), style) * (story.lanes.len() + 1);
    for row in &story.rows {
        match row {
            Row::Event {
                step,
                at,
                lane,
                mark,
                words,
            } => {
                let lanes = draw(*mark, *lane, story.lanes.len(), style);
                let text = format!("{step:>5} {at:>9} {lanes}{words}");
                line(text.trim_end(), colour(*mark));
            }
            Row::State(words) => {
                let lanes = draw(Mark::Server, Some(usize::MAX), story.lanes.len(), style);
                line(&format!("{:15} {lanes}= {words}", ""), DIM);
            }
            Row::Aside(words) => {
                // Pushed to the left where it would not fit beside the lanes.
                let room = style.width.saturating_sub(words.chars().count() + 2);
                line(&format!("{:1$}… {words}", "", indent.min(room)), DIM);
            }
        }
    }
    if let Some(violation) = violation {
        page.push_str(&verdict(violation, style));
    }
    page
}

/// What broke, where, and the state on both sides of it.
fn verdict(violation: &Violation, style: Style) -> String {
    let mut text = String::new();
    let headline = format!("✗ step {}: {}", violation.step, violation.words);
    for line in wrap(&headline, style.width) {
        let _ = writeln!(text, "{}", paint(&line, RED, style));
    }
    for (name, state) in [("before", &violation.before), ("after ", &violation.after)] {
        for line in wrap(&format!("  {name}  {state}"), style.width) {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

fn lane_width(lanes: usize, style: Style) -> usize {
    // Half of what step and time leave belongs to the words.
    ((style.width.saturating_sub(16)) / 2 / (lanes + 1)).clamp(2, 5)
}

fn heading(lanes: &[String], style: Style) -> String {
    let width = lane_width(lanes.len(), style);
    let mut line = format!("{:>5} {:>9} ", "step", "seconds");
    for lane in lanes {
        let short: String = lane.chars().take(width).collect();
        let _ = write!(line, "{short:^width$}");
    }
    let _ = write!(line, "{:^width$}", "S");
    let mut text = paint(&cut(line.trim_end(), style.width), DIM, style);
    text.push('\n');
    text
}

const fn colour(mark: Mark) -> &'static str {
    match mark {
        Mark::Executes | Mark::Receives | Mark::Does => "",
        Mark::Gains => GREEN,
        Mark::Fault | Mark::Server => YELLOW,
    }
}

/// The lanes of one row: one cell per column, clients first, then the server.
/// A lane that does not exist leaves all of them as they are.
fn draw(mark: Mark, at: Option<usize>, lanes: usize, style: Style) -> String {
    let width = lane_width(lanes, style);
    let middle = (width - 1) / 2;
    let mut cells = vec![' '; (lanes + 1) * width];
    for lane in 0..=lanes {
        cells[lane * width + middle] = '│';
    }
    let server = lanes * width + middle;
    match at {
        None => cells[server] = '✗',
        Some(lane) if lane < lanes => {
            let own = lane * width + middle;
            match mark {
                Mark::Executes | Mark::Receives => {
                    cells[own + 1..server].fill('─');
                    let ends = if mark == Mark::Executes {
                        ['├', '▶']
                    } else {
                        ['◀', '┤']
                    };
                    [cells[own], cells[server]] = ends;
                }
                Mark::Does => cells[own] = '○',
                Mark::Gains => cells[own] = '●',
                Mark::Fault => cells[own] = '✗',
                Mark::Server => {}
            }
        }
        Some(_) => {}
    }
    cells.into_iter().collect()
}

fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut text: String = line.chars().take(width.saturating_sub(1)).collect();
    text.push('…');
    text
}

fn paint(text: &str, code: &str, style: Style) -> String {
    if style.colour && !code.is_empty() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        // A word longer than the page is cut into pages.
        let chars: Vec<char> = word.chars().collect();
        for (i, piece) in chars.chunks(width.saturating_sub(8).max(8)).enumerate() {
            let piece: String = piece.iter().collect();
            let line = lines.last_mut().expect("there is always a line");
            let gap = usize::from(i == 0 && !line.is_empty());
            if line.chars().count() + gap + piece.chars().count() <= width {
                if gap == 1 {
                    line.push(' ');
                }
                line.push_str(&piece);
            } else {
                lines.push(format!("        {piece}"));
            }
        }
        if chars.is_empty() {
            lines.last_mut().expect("there is always a line").push(' ');
        }
    }
    lines
}
