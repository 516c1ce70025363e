//! A few operations as a picture for a terminal: a lane for each client, time
//! from left to right, what each operation was below it.
//!
//! Columns are moments at which something begins or ends, not lengths of time:
//! which operations overlap is all that matters.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};

use super::{History, Operation};

/// Columns of the page; never exceeded.
const WIDTH: usize = 80;
/// Most operations that are drawn.
const OPERATIONS: usize = 26;
/// Most columns of a client's name.
const NAME: usize = 12;

/// Draws a history. `├─A─┤` was answered; `├─A┄┄` never was.
#[must_use]
pub fn draw<O: Clone + Display, R: Clone + Display>(history: &History<O, R>) -> String {
    let mut operations = history.operations.clone();
    operations.sort_by_key(|o| (o.start, o.end()));
    let left_out = operations.len().saturating_sub(OPERATIONS);
    operations.truncate(OPERATIONS);
    let axis = Axis::new(&operations);
    let name =
        |client: u32| -> String { history.clients.name(client).chars().take(NAME).collect() };
    let mut lanes: Vec<Lane> = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        let (from, to) = (axis.column(operation.start), axis.column(operation.end()));
        let is_open = operation.answer.is_none();
        // A client whose operations overlap gets a second lane.
        let free = |lane: &&mut Lane| lane.client == operation.client && lane.used < from;
        let lane = match lanes.iter_mut().find(free) {
            Some(lane) => lane,
            None => {
                lanes.push(Lane {
                    client: operation.client,
                    used: 0,
                    cells: vec![' '; axis.width + 1],
                });
                lanes.last_mut().expect("just pushed")
            }
        };
        lane.draw(from, to, letter(at), is_open);
    }
    lanes.sort_by_key(|lane| lane.client);
    let mut page = String::new();
    for lane in lanes {
        let cells: String = lane.cells.into_iter().collect();
        let line = format!("{:NAME$} {cells}", name(lane.client));
        let _ = writeln!(page, "{}", line.trim_end());
    }
    page.push('\n');
    let zero = operations.first().map_or(0, |o| o.start);
    for (at, operation) in operations.iter().enumerate() {
        let text = format!(
            "{}  {:NAME$} {}  {}",
            letter(at),
            name(operation.client),
            times(operation, zero),
            words(operation)
        );
        let cut: String = text.chars().take(WIDTH).collect();
        let _ = writeln!(page, "{}", cut.trim_end());
    }
    if left_out > 0 {
        let _ = writeln!(page, "…  and {left_out} more");
    }
    page
}

struct Lane {
    client: u32,
    /// The last column in use, plus one; 0: none.
    used: usize,
    cells: Vec<char>,
}

impl Lane {
    fn draw(&mut self, from: usize, to: usize, letter: char, is_open: bool) {
        let line = if is_open { '┄' } else { '─' };
        self.cells[from - 1..to].fill(line);
        self.cells[from - 1] = '├';
        if !is_open && to > from {
            self.cells[to - 1] = '┤';
        }
        self.cells[(from - 1 + to - 1) / 2] = letter;
        self.used = to;
    }
}

/// From moments to columns, which count from 1.
struct Axis {
    moments: Vec<u64>,
    width: usize,
}

impl Axis {
    fn new<O, R>(operations: &[Operation<O, R>]) -> Self {
        let both = operations.iter().flat_map(|o| [o.start, o.end()]);
        let moments: BTreeSet<u64> = both.collect();
        Self {
            moments: moments.into_iter().collect(),
            width: WIDTH - NAME - 2,
        }
    }

    fn column(&self, moment: u64) -> usize {
        let at = self.moments.partition_point(|m| *m < moment);
        let last = self.moments.len().saturating_sub(1).max(1);
        // At least two columns for a moment, at most eight.
        let width = self.width.min(last * 8 + 1);
        1 + at * (width - 1) / last
    }
}

fn letter(at: usize) -> char {
    char::from(b'A' + (at % 26) as u8)
}

fn times<O, R>(operation: &Operation<O, R>, zero: u64) -> String {
    let ms = |time: u64| (time - zero) as f64 / 1e6;
    match &operation.answer {
        Some(answer) => format!("{:9.3}–{:9.3} ms", ms(operation.start), ms(answer.end)),
        None => format!("{:9.3}–{:>9} ms", ms(operation.start), "?"),
    }
}

/// `acquire 3 → granted, number 7`.
fn words<O: Display, R: Display>(operation: &Operation<O, R>) -> String {
    match operation.reply() {
        Some(reply) => format!("{} → {reply}", operation.op),
        None => format!("{} → no answer", operation.op),
    }
}
