//! Whether a run is determined by its seed alone (R6.7).
//!
//! Two processes run the same seeds, with different numbers of threads, and so
//! with other addresses, other hash seeds, another order of allocations, another
//! neighbour on the same core. Each writes a line for every step ([`write()`]): the
//! digest of everything so far, and what happened in words. The lines are
//! compared as they come ([`compare`]); nothing is kept but the last. Comparing
//! two runs inside one process would miss whatever is the same for all of it.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::ops::Range;

use sluice_sim::digest::Digest;
use sluice_sim::redis::Engine;

use crate::run::Run;
use crate::{pool, timeline};

/// Seeds of a thread between two writes: what is kept in memory.
const BLOCK: u64 = 4;

/// Where two processes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The seed.
    pub seed: u64,
    /// The step, from 1; `None` for what is judged at the end.
    pub step: Option<u64>,
    /// What happened on each side; `None` where a side had nothing more to say.
    pub sides: [Option<Said>; 2],
}

/// One side of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Digest of everything up to here.
    pub digest: String,
    /// What happened, in words.
    pub words: String,
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Runs, to their ends.
    pub runs: u64,
    /// Steps.
    pub steps: u64,
}

/// Runs these seeds and writes a line for every step: seed, step, digest, words,
/// separated by tabs; and one for the end, with the digest of all that was
/// judged and counted. Seeds in their order.
///
/// # Errors
/// If `out` does not take them.
pub fn write(run: &Run, seeds: Range<u64>, threads: usize, out: &mut impl Write) -> io::Result<()> {
    let block = BLOCK * threads.max(1) as u64;
    let mut from = seeds.start;
    while from < seeds.end {
        let to = from.saturating_add(block).min(seeds.end);
        for text in pool::each(from..to, threads, |engine, seed| lines(run, seed, engine)) {
            out.write_all(text.as_bytes())?;
        }
        from = to;
    }
    out.flush()
}

fn lines(run: &Run, seed: u64, engine: &Engine) -> String {
    let mut text = String::new();
    let run = Run {
        seed,
        ..run.clone()
    };
    let outcome = run.watch(engine, |step, moment| {
        let words: Vec<String> = moment.happenings.iter().map(timeline::say).collect();
        let words = words.join("; ").replace(['\n', '\t'], " ");
        let digest = moment.world.digest();
        let _ = writeln!(text, "{seed}\t{step}\t{digest:016x}\t{words}");
    });
    let all = serde_json::to_string(&outcome).expect("an outcome is plain data");
    let (digest, broke) = (Digest::of(&all), outcome.violations().count());
    let _ = writeln!(
        text,
        "{seed}\tend\t{digest:016x}\tthe run ends after {} steps, {broke} properties broke",
        outcome.steps
    );
    text
}

/// Compares what two processes have written, to the first line that differs.
/// `each` hears how many runs have been compared.
///
/// # Errors
/// If a side cannot be read, ends before the other, or says what [`write()`]
/// never does.
pub fn compare(
    mut sides: [impl BufRead; 2],
    mut each: impl FnMut(u64),
) -> io::Result<Result<Compared, Parting>> {
    let mut compared = Compared::default();
    let mut lines = [String::new(), String::new()];
    loop {
        for (side, line) in sides.iter_mut().zip(&mut lines) {
            line.clear();
            side.read_line(line)?;
        }
        let [a, b] = &lines;
        if a.is_empty() && b.is_empty() {
            return Ok(Ok(compared));
        }
        if a.is_empty() || b.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if a != b {
            return Ok(Err(parting(a, b)?));
        }
        if a.contains("\tend\t") {
            compared.runs += 1;
            each(compared.runs);
        } else {
            compared.steps += 1;
        }
    }
}

fn parting(a: &str, b: &str) -> io::Result<Parting> {
    let (a, b) = (Line::read(a)?, Line::read(b)?);
    // A run may end on one side, and go on on the other.
    let (seed, step) = a.place.min(b.place);
    let here = |line: Line| (line.place == (seed, step)).then_some(line.said);
    Ok(Parting {
        seed,
        step: (step < u64::MAX).then_some(step),
        sides: [here(a), here(b)],
    })
}

/// A line that [`lines`] has written. The end of a run comes after its steps.
struct Line {
    place: (u64, u64),
    said: Said,
}

impl Line {
    fn read(line: &str) -> io::Result<Self> {
        let broken = || io::Error::other(format!("a line is no step of a run: {line:?}"));
        let mut parts = line.trim_end_matches('\n').splitn(4, '\t');
        let mut part = || parts.next().ok_or_else(broken);
        let seed = part()?.parse().map_err(|_| broken())?;
        let step = match part()? {
            "end" => u64::MAX,
            step => step.parse().map_err(|_| broken())?,
        };
        let said = Said {
            digest: part()?.to_owned(),
            words: part()?.to_owned(),
        };
        Ok(Self {
            place: (seed, step),
            said,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "7\t1\taa\tu0 joins\n7\t2\tbb\tu1 joins\n7\tend\tcc\tthe run ends\n";

    fn compared(a: &str, b: &str) -> Result<Compared, Parting> {
        compare([a.as_bytes(), b.as_bytes()], |_| {}).expect("well-formed")
    }

    #[test]
    fn equal_sides_are_counted() {
        let two = format!("{RUN}8\t1\tdd\tu0 joins\n8\tend\tee\tthe run ends\n");
        assert_eq!(compared(&two, &two), Ok(Compared { runs: 2, steps: 3 }));
    }

    #[test]
    fn the_first_difference_is_told_with_both_sides() {
        let other = RUN.replace("bb\tu1 joins", "b0\tu2 joins");
        let parting = compared(RUN, &other).expect_err("they differ");
        assert_eq!((parting.seed, parting.step), (7, Some(2)));
        let words = parting.sides.map(|side| side.expect("both went on").words);
        assert_eq!(words, ["u1 joins", "u2 joins"]);
    }

    #[test]
    fn a_run_that_ends_earlier_is_a_difference() {
        let shorter = RUN.replace("7\t2\tbb\tu1 joins\n", "");
        let parting = compared(&shorter, RUN).expect_err("one ends earlier");
        assert_eq!(parting.step, Some(2));
        assert!(parting.sides[0].is_none());
        let other = RUN.replace("cc", "c0");
        let parting = compared(RUN, &other).expect_err("other verdicts");
        assert_eq!((parting.seed, parting.step), (7, None));
    }

    #[test]
    fn a_side_that_breaks_off_or_talks_of_something_else_is_an_error() {
        let first = RUN.lines().next().expect("three lines").len() + 1;
        assert!(compare([RUN.as_bytes(), &RUN.as_bytes()[..first]], |_| {}).is_err());
        assert!(compare([RUN.as_bytes(), b""], |_| {}).is_err());
        let sides = ["panicked at\n".as_bytes(), RUN.as_bytes()];
        let error = compare(sides, |_| {}).expect_err("no step");
        assert!(error.to_string().contains("panicked"), "{error}");
    }
}
