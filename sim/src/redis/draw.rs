//! What Redis leaves to chance: which member `SRANDMEMBER` names, which key
//! `RANDOMKEY`.
//!
//! In a simulated world the first in byte order, so that a run is its decisions
//! and nothing else. For clients who count on chance ([`Server::draw`]), numbers
//! out of a seed: the same seed and the same commands bring the same answers.

use super::Server;

/// A source of choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Draw {
    state: Option<u64>,
}

impl Draw {
    /// Whether choices are drawn, and not made in byte order.
    pub(super) const fn is_on(self) -> bool {
        self.state.is_some()
    }

    /// One of `0..len`; 0 if `len` is 0.
    pub(super) fn below(&mut self, len: usize) -> usize {
        let Some(state) = &mut self.state else {
            return 0;
        };
        // SplitMix64; that some places come up once in 2^64 more often is no
        // matter.
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = *state;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        ((u128::from(bits) * len as u128) >> 64) as usize
    }

    /// So many of the items, each once, or all of them; if negative, exactly so
    /// many, over and over (but not more than a server could send).
    pub(super) fn some_of<T: Clone>(
        &mut self,
        items: impl Iterator<Item = T>,
        count: i64,
    ) -> Vec<T> {
        const MOST: u64 = 1 << 24;
        let wanted = count.unsigned_abs();
        if count >= 0 && !self.is_on() {
            return items
                .take(usize::try_from(wanted).unwrap_or(usize::MAX))
                .collect();
        }
        let mut all: Vec<T> = items.collect();
        if count >= 0 {
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            if wanted < all.len() {
                for at in 0..wanted {
                    let other = at + self.below(all.len() - at);
                    all.swap(at, other);
                }
                all.truncate(wanted);
            }
            return all;
        }
        let wanted = wanted.min(MOST) as usize;
        if self.is_on() && !all.is_empty() {
            let places = (0..wanted).map(|_| self.below(all.len()));
            return places.map(|at| all[at].clone()).collect();
        }
        all.into_iter().cycle().take(wanted).collect()
    }
}

impl Server {
    /// From now on, what Redis leaves to chance is drawn out of this seed, and
    /// not the first in byte order. A draw from a hash, a set or all keys is
    /// O(n) here.
    pub fn draw(&mut self, seed: u64) {
        self.state.draw = Draw { state: Some(seed) };
    }
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    #[test]
    fn choices_are_the_first_in_byte_order_or_drawn() {
        let mut bench = Bench::new();
        bench.run("SADD s a b c d e f g h");
        for _ in 0..3 {
            assert_eq!(bench.run("SRANDMEMBER s"), r#""a""#);
        }
        bench.server.draw(1);
        let mut drawn = |line: &str| {
            let mut all: Vec<String> = (0..60).map(|_| bench.run(line)).collect();
            all.sort();
            all.dedup();
            all.len()
        };
        assert_eq!(drawn("SRANDMEMBER s"), 8);
        assert!(drawn("SRANDMEMBER s 2") > 8);
        assert_eq!(drawn("SRANDMEMBER s 8"), 1, "all of them, in order");
        assert!(drawn("SRANDMEMBER s -3") > 20);
        let mut twin = bench.server.clone();
        let command = sluice_core::redis::Command::new("SPOP").arg("s");
        let popped = bench.run("SPOP s");
        let session = crate::redis::SessionId(2);
        let same = twin.execute(&bench.engine, bench.now_us, session, &command);
        assert_eq!(format!("{same:?}"), popped, "the seed decides");
        for _ in 0..7 {
            bench.run("SPOP s");
        }
        assert_eq!(bench.run("SPOP s"), "nil");
    }
}
