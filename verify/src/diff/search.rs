//! Sequences by seed, one after the other.

use super::{Difference, Line, Pair, templates};
use crate::real::{Error, Server, Space};

/// What has been done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Commands that both have answered, without those that look at the keys
    /// afterwards and without those of shrinking.
    pub commands: u64,
    /// Sequences that they were in.
    pub sequences: u64,
    /// Sequences that were answered differently.
    pub mismatches: u64,
}

/// Sequences by seed, one after the other.
pub struct Search<'a> {
    pair: Pair,
    space: &'a Space,
    templates: usize,
    seed: u64,
    runs: u64,
    tally: Tally,
    sabotaged: bool,
}

impl<'a> Search<'a> {
    /// Begins at this seed.
    ///
    /// # Errors
    /// If the real server cannot be asked.
    pub fn new(server: &Server, space: &'a Space, seed: u64) -> Result<Self, Error> {
        Ok(Self {
            pair: Pair::new(server, String::new())?,
            space,
            templates: templates().len(),
            seed,
            runs: 0,
            tally: Tally::default(),
            sabotaged: false,
        })
    }

    /// Lets the simulated server lose everything before each last command: for
    /// a test of the alarm.
    pub fn sabotage(&mut self) {
        self.sabotaged = true;
    }

    /// What has been done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Whom the simulated server imitates.
    #[must_use]
    pub fn imitated(&self) -> &'static str {
        self.pair.version().name()
    }

    /// Tries the next sequence; a difference comes shrunk, with its seed.
    ///
    /// # Errors
    /// If the real server cannot be asked.
    pub fn try_next(&mut self) -> Result<Option<(u64, Difference)>, Error> {
        let seed = self.seed;
        self.seed = self.seed.wrapping_add(1);
        let lines = self.sequence(seed);
        let found = self.run(&lines)?;
        self.tally.sequences += 1;
        self.tally.commands += lines.len() as u64;
        let Some(mut best) = found else {
            return Ok(None);
        };
        self.tally.mismatches += 1;
        let mut left = lines[..best.lines].to_vec();
        let mut width = left.len().div_ceil(2);
        loop {
            let mut at = 0;
            let mut shorter = false;
            while at < left.len() {
                let mut fewer = left.clone();
                fewer.drain(at..(at + width).min(left.len()));
                match self.run(&fewer)? {
                    Some(found) => {
                        fewer.truncate(found.lines);
                        (left, best, shorter) = (fewer, found, true);
                    }
                    None => at += width,
                }
            }
            if width == 1 && !shorter {
                return Ok(Some((seed, best)));
            }
            width = (width / 2).max(1);
        }
    }

    fn sequence(&self, seed: u64) -> Vec<Line> {
        // SplitMix64 (Steele, Lea, Flood 2014).
        let mut state = seed;
        let mut draw = move |below: usize| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ mixed >> 31) % below as u64) as usize
        };
        let len = 1 + draw(60);
        let line = |_| Line {
            template: draw(self.templates),
            through: draw(1000),
            picks: [(); 8].map(|()| draw(1000)),
        };
        (0..len).map(line).collect()
    }

    /// Runs a sequence on both, up to the first difference.
    fn run(&mut self, lines: &[Line]) -> Result<Option<Difference>, Error> {
        self.runs += 1;
        let prefix = self.space.key(&format!("{}:", self.runs));
        self.pair.compare_with(prefix, lines, self.sabotaged)
    }
}
