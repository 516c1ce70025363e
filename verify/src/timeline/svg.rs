//! The picture as SVG that stands alone: no script, no font or style from
//! elsewhere, readable in any browser and inside an HTML page.

use askama::Template;

use super::story::{Row, Story};
use super::terminal::wrap;
use super::words::Mark;
use crate::property::Violation;

/// Pixels from one lane to the next.
const LANE: usize = 64;
/// Pixels from one row to the next.
const ROW: usize = 20;
/// Where the first lane is: step and time stand before it.
const FIRST: usize = 150;
/// Where the rows begin.
const TOP: usize = 56;
/// Pixels for the words beside the lanes, and characters that fit there.
const WORDS: (usize, usize) = (560, 76);

#[derive(Template)]
#[template(path = "timeline.svg")]
struct Picture {
    title: String,
    width: usize,
    height: usize,
    bottom: usize,
    server: usize,
    lanes: Vec<(usize, String)>,
    rows: Vec<Drawn>,
    verdict: Vec<(usize, &'static str, String)>,
}

/// One row with its coordinates.
struct Drawn {
    y: usize,
    baseline: usize,
    step: String,
    at: String,
    /// Class of the words.
    class: &'static str,
    words: String,
    shape: Shape,
}

enum Shape {
    /// From, to.
    Arrow(usize, usize),
    /// Where, class.
    Dot(usize, &'static str),
    None,
}

pub(super) fn render(story: &Story, violation: Option<&Violation>, title: &str) -> String {
    let server = FIRST + story.lanes.len() * LANE;
    let rows: Vec<Drawn> = story
        .rows
        .iter()
        .enumerate()
        .map(|(i, row)| drawn(row, TOP + i * ROW, server))
        .collect();
    let bottom = TOP + rows.len() * ROW;
    let mut verdict = Vec::new();
    if let Some(violation) = violation {
        let columns = (server + WORDS.0) / 8;
        let headline = format!("✗ step {}: {}", violation.step, violation.words);
        let lines = [
            ("broken", headline),
            ("", format!("before: {}", violation.before)),
            ("", format!("after: {}", violation.after)),
        ];
        for (class, text) in lines {
            for line in wrap(&text, columns) {
                verdict.push((bottom + 28 + verdict.len() * ROW, class, line));
            }
        }
    }
    let lane = |(i, name): (usize, &String)| (FIRST + i * LANE, name.clone());
    let picture = Picture {
        title: title.to_owned(),
        width: server + 24 + WORDS.0,
        height: bottom + 28 + verdict.len() * ROW,
        bottom,
        server,
        lanes: story.lanes.iter().enumerate().map(lane).collect(),
        rows,
        verdict,
    };
    picture.render().expect("writing to memory does not fail")
}

fn drawn(row: &Row, y: usize, server: usize) -> Drawn {
    let mut drawn = Drawn {
        y,
        baseline: y + 4,
        step: String::new(),
        at: String::new(),
        class: "dim",
        words: String::new(),
        shape: Shape::None,
    };
    let words = match row {
        Row::Event {
            step,
            at,
            lane,
            mark,
            words,
        } => {
            drawn.step = step.to_string();
            drawn.at.clone_from(at);
            let x = lane.map_or(server, |lane| FIRST + lane * LANE);
            (drawn.class, drawn.shape) = match mark {
                Mark::Executes => ("", Shape::Arrow(x, server - 5)),
                Mark::Receives => ("", Shape::Arrow(server, x + 5)),
                Mark::Does => ("", Shape::Dot(x, "does")),
                Mark::Gains => ("gains", Shape::Dot(x, "gains")),
                Mark::Fault | Mark::Server => ("fault", Shape::Dot(x, "fault")),
            };
            words.clone()
        }
        Row::State(words) => {
            drawn.class = "state";
            format!("= {words}")
        }
        Row::Aside(words) => format!("… {words}"),
    };
    drawn.words = words;
    if drawn.words.chars().count() > WORDS.1 {
        drawn.words = drawn.words.chars().take(WORDS.1 - 1).collect();
        drawn.words.push('…');
    }
    drawn
}
