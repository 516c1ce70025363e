//! Which lines a picture has, and in which lanes: the same for the terminal
//! and for SVG.

use std::collections::{BTreeMap, BTreeSet};

use sluice_sim::world::ActorId;

use super::words::{Line, Mark, seconds};
use super::{Names, Step, Style};

/// The end of a run, ready to be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Story {
    /// The clients with a lane of their own, from left to right, by name.
    pub(super) lanes: Vec<String>,
    /// Whether earlier rows were left out.
    pub(super) cut: bool,
    /// From top to bottom.
    pub(super) rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// Something happened, in a lane or (`None`) at the server.
    Event {
        /// Number of the step.
        step: u64,
        /// Time, in seconds with microseconds.
        at: String,
        /// Index into the lanes.
        lane: Option<usize>,
        /// How it is drawn.
        mark: Mark,
        /// What it was.
        words: String,
    },
    /// The keys of the gate, after the step above changed them.
    State(String),
    /// What is not shown one by one.
    Aside(String),
}

/// A line that may be drawn, before lanes are given out.
struct Entry {
    step: u64,
    at_ns: u64,
    line: Line,
    state: Option<String>,
    /// How often the same was asked and answered before this one.
    repeats: u64,
}

impl Story {
    /// Chooses what is shown: the last `lines` rows, in the lanes of the
    /// clients that act last.
    pub(super) fn new(steps: &[Step], names: &Names, style: Style) -> Self {
        let entries = fold(steps);
        let lanes = lanes(&entries, style.lanes);
        let mut rows = Vec::new();
        let (mut elsewhere, mut events, mut cut) = (0, 0, false);
        for entry in entries.iter().rev() {
            let who = entry.line.who;
            let lane = who.and_then(|who| lanes.iter().position(|lane| *lane == who));
            if who.is_some() && lane.is_none() {
                elsewhere += 1;
                if let Some(state) = &entry.state {
                    flush(&mut elsewhere, &mut rows);
                    rows.push(Row::State(state.clone()));
                }
                continue;
            }
            if events >= style.lines {
                cut = true;
                break;
            }
            flush(&mut elsewhere, &mut rows);
            if entry.repeats > 0 {
                let who = who.map_or_else(String::new, |who| name(who, names));
                let times = if entry.repeats == 1 { "once" } else { "times" };
                let count = if entry.repeats == 1 {
                    times.to_owned()
                } else {
                    format!("{} {times}", entry.repeats)
                };
                rows.push(Row::Aside(format!(
                    "{who} asks and learns the same {count} more, until {}",
                    seconds(entry.at_ns)
                )));
                continue;
            }
            if let Some(state) = &entry.state {
                rows.push(Row::State(state.clone()));
            }
            rows.push(Row::Event {
                step: entry.step,
                at: seconds(entry.at_ns),
                lane,
                mark: entry.line.mark,
                words: entry.line.words.clone(),
            });
            events += 1;
        }
        if !cut {
            flush(&mut elsewhere, &mut rows);
        }
        rows.reverse();
        Self {
            lanes: lanes.into_iter().map(|who| name(who, names)).collect(),
            cut,
            rows,
        }
    }
}

fn flush(elsewhere: &mut u64, rows: &mut Vec<Row>) {
    if *elsewhere > 0 {
        let steps = if *elsewhere == 1 { "step" } else { "steps" };
        rows.push(Row::Aside(format!("{elsewhere} {steps} of other clients")));
        *elsewhere = 0;
    }
}

fn name(who: ActorId, names: &Names) -> String {
    let unnamed = || format!("{}.{}", who.host, who.actor);
    names.get(&who).cloned().unwrap_or_else(unnamed)
}

/// Turns steps into lines, and folds what a client asks and learns again and
/// again, changing nothing, into one: whoever polls for a minute has done one
/// thing.
fn fold(steps: &[Step]) -> Vec<Entry> {
    let mut last: BTreeMap<ActorId, Exchange> = BTreeMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    for step in steps {
        let Some(line) = Line::of(&step.what) else {
            continue;
        };
        let repeated = line.who.and_then(|who| {
            let exchange = last.entry(who).or_default();
            exchange.repeats(&line, step.state.is_some())
        });
        let is_repeat = repeated.is_some();
        if let Some(asked) = repeated {
            let who = line.who;
            let at = entries.iter().rposition(|e| e.line.who == who);
            match at {
                Some(at) if entries[at].repeats > 0 => {
                    // Later than all that is drawn in between.
                    let mut entry = entries.remove(at);
                    entry.repeats += u64::from(asked);
                    entry.at_ns = step.at_ns;
                    entries.push(entry);
                    continue;
                }
                _ => {}
            }
        }
        entries.push(Entry {
            step: step.step,
            at_ns: step.at_ns,
            line,
            state: step.state.clone(),
            repeats: u64::from(is_repeat),
        });
    }
    entries
}

/// What a client asked and learnt last.
#[derive(Default)]
struct Exchange {
    asked: String,
    learnt: String,
    /// It has already been drawn once, with its answer.
    complete: bool,
}

impl Exchange {
    /// `Some(whether it is the asking half)` if this only repeats what is drawn.
    fn repeats(&mut self, line: &Line, changes: bool) -> Option<bool> {
        let known = match line.mark {
            Mark::Executes => &mut self.asked,
            Mark::Receives => &mut self.learnt,
            Mark::Does | Mark::Gains | Mark::Fault | Mark::Server => {
                *self = Self::default();
                return None;
            }
        };
        let asks = line.mark == Mark::Executes;
        if *known == line.words && self.complete && !changes {
            return Some(asks);
        }
        known.clone_from(&line.words);
        self.complete = !asks;
        None
    }
}

/// The clients that act last, in the order of their addresses.
fn lanes(entries: &[Entry], most: usize) -> Vec<ActorId> {
    let mut lanes = BTreeSet::new();
    for entry in entries.iter().rev() {
        if let Some(who) = entry.line.who {
            lanes.insert(who);
            if lanes.len() == most {
                break;
            }
        }
    }
    lanes.into_iter().collect()
}
