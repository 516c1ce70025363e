//! Which runs are worth going on from, and how much.
//!
//! An entry is a run that met something first. Its *energy* says how often it is
//! gone on from: the rarer what it met still is among all runs, the more (as in
//! Böhme, Manès, Cha: *Boosting fuzzer efficiency: an information theoretic
//! perspective*, ESEC/FSE 2020), and the less, the more tries have met nothing
//! new since (as the power schedules in Böhme, Pham, Roychoudhury: *Coverage-based
//! greybox fuzzing as Markov chain*, CCS 2016). All in integers, so that it is
//! the same everywhere.

use hashbrown::HashMap;
use sluice_sim::digest::FixedState;
use sluice_sim::strategy::{Genes, Random};

use super::coverage::Met;

/// The energy of something that one run has met.
const UNIT: u64 = 1 << 32;
/// Most entries; the weakest goes.
const ENTRIES_MAX: usize = 256;
/// Most meetings that an entry is remembered for, the latest ones: from there,
/// the earlier ones have been passed too.
const MEETINGS_MAX: usize = 64;

/// A run to go on from.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The run.
    pub(super) genes: Genes,
    /// With which question its setup ends.
    pub(super) setup: u64,
    /// What it was the first to meet, and at which question.
    meetings: Vec<(u64, u64)>,
    /// Tries since one has met something new.
    fruitless: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Corpus {
    entries: Vec<Entry>,
    /// How many runs have met this.
    runs: HashMap<u64, u64, FixedState>,
}

impl Corpus {
    /// Takes in a run; `parent`: the entry that it went on from. Whether it has
    /// met anything new.
    pub(super) fn add(
        &mut self,
        genes: Genes,
        setup: u64,
        met: Met,
        parent: Option<usize>,
    ) -> bool {
        let mut new = Vec::new();
        for (what, at) in met {
            let runs = self.runs.entry(what).or_default();
            *runs += 1;
            if *runs == 1 {
                new.push((what, at));
            }
        }
        if let Some(parent) = parent {
            let parent = &mut self.entries[parent];
            parent.fruitless = if new.is_empty() {
                parent.fruitless + 1
            } else {
                0
            };
        }
        if new.is_empty() {
            return false;
        }
        // By the question, for the order of a hash map means nothing.
        new.sort_unstable_by_key(|(what, at)| (u64::MAX - at, *what));
        new.truncate(MEETINGS_MAX);
        self.entries.push(Entry {
            genes,
            setup,
            meetings: new,
            fruitless: 0,
        });
        if self.entries.len() > ENTRIES_MAX {
            let weakest = (0..self.entries.len()).min_by_key(|at| self.energy(*at));
            self.entries.remove(weakest.unwrap_or(0));
        }
        true
    }

    /// An entry by chance, each as likely as its energy, and a question of it at
    /// which it met something rare; `None` while there is none.
    pub(super) fn choose(&self, random: &mut Random) -> Option<(usize, &Entry, u64)> {
        let energies: Vec<u64> = (0..self.entries.len()).map(|at| self.energy(at)).collect();
        let at = by_weight(&energies, random)?;
        let entry = &self.entries[at];
        let rarity: Vec<u64> = entry.meetings.iter().map(|m| self.rarity(m.0)).collect();
        let meeting = by_weight(&rarity, random)?;
        Some((at, entry, entry.meetings[meeting].1))
    }

    fn energy(&self, at: usize) -> u64 {
        let entry = &self.entries[at];
        let rarity = entry.meetings.iter().map(|(what, _)| self.rarity(*what));
        // However little: it is never given up.
        (rarity.sum::<u64>() >> entry.fruitless.min(63)).max(1)
    }

    fn rarity(&self, what: u64) -> u64 {
        let runs = self.runs.get(&what).copied().unwrap_or(1).clamp(1, 1 << 16);
        UNIT / (runs * runs)
    }
}

/// An index, each as likely as its weight.
fn by_weight(weights: &[u64], random: &mut Random) -> Option<usize> {
    let total = weights.iter().sum::<u64>();
    if total == 0 {
        return None;
    }
    let mut at = random.below(total);
    weights
        .iter()
        .position(|weight| match at.checked_sub(*weight) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_sim::strategy::Base;

    fn met(what: &[(u64, u64)]) -> Met {
        what.iter().copied().collect()
    }

    fn genes(seed: u64) -> Genes {
        Genes::new(Base::Random, seed)
    }

    /// How often each entry is chosen, of a thousand.
    fn shares(corpus: &Corpus) -> Vec<u32> {
        let mut random = Random::new(1);
        let mut shares = vec![0; corpus.entries.len()];
        for _ in 0..1_000 {
            shares[corpus.choose(&mut random).expect("there are entries").0] += 1;
        }
        shares
    }

    #[test]
    fn what_met_nothing_new_is_no_entry() {
        let mut corpus = Corpus::default();
        assert!(corpus.choose(&mut Random::new(1)).is_none());
        assert!(corpus.add(genes(0), 3, met(&[(10, 5)]), None));
        assert!(!corpus.add(genes(1), 3, met(&[(10, 2)]), None));
        let (at, entry, question) = corpus.choose(&mut Random::new(1)).expect("there is one");
        assert_eq!((at, entry.genes.seed, question), (0, 0, 5));
    }

    #[test]
    fn who_met_what_is_rare_gets_more_tries_until_they_are_in_vain() {
        let mut corpus = Corpus::default();
        corpus.add(genes(0), 3, met(&[(10, 5)]), None);
        corpus.add(genes(1), 3, met(&[(10, 5), (11, 6)]), None);
        for seed in 2..10 {
            corpus.add(genes(seed), 3, met(&[(10, 5)]), None);
        }
        // The first was met by ten runs, the second by one.
        let rare = shares(&corpus);
        assert!(rare[1] > 5 * rare[0], "{rare:?}");
        for _ in 0..30 {
            corpus.add(genes(99), 3, met(&[]), Some(1));
        }
        let tired = shares(&corpus);
        assert!(tired[1] < tired[0], "{tired:?}");
        corpus.add(genes(100), 3, met(&[(12, 1)]), Some(1));
        assert!(shares(&corpus)[1] > tired[1], "it is worth it again");
    }

    #[test]
    fn memory_is_bounded() {
        let mut corpus = Corpus::default();
        for n in 0..2 * ENTRIES_MAX as u64 {
            let many: Vec<(u64, u64)> = (0..100).map(|i| (n * 100 + i, i)).collect();
            corpus.add(genes(n), 3, met(&many), None);
        }
        assert_eq!(corpus.entries.len(), ENTRIES_MAX);
        let longest = corpus.entries.iter().map(|e| e.meetings.len()).max();
        assert_eq!(longest, Some(MEETINGS_MAX));
        // The latest are kept.
        assert!(corpus.entries[0].meetings.iter().all(|(_, at)| *at >= 36));
    }
}
