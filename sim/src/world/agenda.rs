//! When each source of events is due next.
//!
//! A tournament tree over a dense set of sources: each leaf holds the time of
//! its source's next event, each inner node the least of its two children.
//! Against a binary heap of events: no stale entries when a time changes,
//! ties come out in the order of the sources without sorting, and a clone is
//! one copy of flat memory. Changing a time is O(log n), finding the ties
//! O(ties · log n). In adversarial running, where time stands still and
//! everything that is due is asked for again and again, who is due is kept as a
//! set.

use std::borrow::Cow;

use smallvec::SmallVec;

/// Sources that are due together: one, as a rule.
pub(super) type Ties = SmallVec<[usize; 4]>;

/// A set of sources, in order: a bit for each.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    words: SmallVec<[u64; 4]>,
    len: u32,
}

impl Sources {
    #[inline]
    fn set(&mut self, source: usize, member: bool) {
        let (at, bit) = (source / 64, 1 << (source % 64));
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let word = &mut self.words[at];
        let was = *word & bit != 0;
        *word = (*word & !bit) | if member { bit } else { 0 };
        self.len = self.len + u32::from(member) - u32::from(was);
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// The one that so many others come before.
    #[inline]
    pub(super) fn nth(&self, mut before: usize) -> Option<usize> {
        for (at, word) in self.words.iter().enumerate() {
            let sums = sums(*word);
            let here = (sums >> 56) as usize;
            if before < here {
                return Some(64 * at + select(*word, sums, before as u64) as usize);
            }
            before -= here;
        }
        None
    }

    #[inline]
    pub(super) fn first(&self) -> Option<usize> {
        let (at, word) = self.words.iter().enumerate().find(|(_, w)| **w != 0)?;
        Some(64 * at + word.trailing_zeros() as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut word = *word;
            core::iter::from_fn(move || {
                let low = (word != 0).then(|| word.trailing_zeros())?;
                word &= word - 1;
                Some(64 * at + low as usize)
            })
        })
    }
}

/// A word of eight times this byte.
const fn bytes(byte: u64) -> u64 {
    byte * 0x0101_0101_0101_0101
}

/// For each byte of a word, how many bits are set in it and those below.
const fn sums(word: u64) -> u64 {
    let pairs = word - ((word >> 1) & bytes(0x55));
    let fours = (pairs & bytes(0x33)) + ((pairs >> 2) & bytes(0x33));
    ((fours + (fours >> 4)) & bytes(0x0f)).wrapping_mul(bytes(1))
}

/// The place of the bit that so many others come before, without a branch that
/// would be guessed wrong (Vigna: *Broadword implementation of rank/select
/// queries*, WEA 2008). There must be one.
const fn select(word: u64, sums: u64, before: u64) -> u64 {
    // A byte's top bit stays where all of it, and all below, come before.
    let all_before = (((bytes(before) | bytes(0x80)) - sums) >> 7) & bytes(1);
    let place = (all_before.wrapping_mul(bytes(1)) >> 56) * 8;
    let before = before - (((sums << 8) >> place) & 0xff);
    place + SELECT[((word >> place) & 0xff) as usize][before as usize] as u64
}

/// For each byte, the places of its bits.
const SELECT: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut nth) = (0, 0);
        while bit < 8 {
            if (byte >> bit) & 1 == 1 {
                table[byte][nth] = bit;
                nth += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

impl FromIterator<usize> for Sources {
    fn from_iter<I: IntoIterator<Item = usize>>(all: I) -> Self {
        let mut set = Self::default();
        all.into_iter().for_each(|source| set.set(source, true));
        set
    }
}

/// The time of a source that has no event.
pub(super) const NEVER: u64 = u64::MAX;

/// See the module. Invariant: every inner node is the least of its children, if
/// it is kept at all.
#[derive(Clone, Debug)]
pub(super) struct Agenda {
    /// Node 1 is the root; leaf i is node `leaves + i`.
    tree: Vec<u64>,
    leaves: usize,
    /// Whether anybody asks who is first: inner nodes are kept for nothing else.
    timed: bool,
    /// Who is due at `watched`.
    due: Sources,
    watched: u64,
}

impl Agenda {
    /// For so many sources; `timed` if [`Agenda::first`] will be asked.
    pub(super) fn new(sources: usize, timed: bool) -> Self {
        let leaves = sources.next_power_of_two().max(2);
        Self {
            tree: vec![NEVER; 2 * leaves],
            leaves,
            timed,
            due: Sources::default(),
            watched: 0,
        }
    }

    /// Sets the time of a source's next event. Makes room for new sources.
    #[inline]
    pub(super) fn set(&mut self, source: usize, time: u64) {
        // As a rule it stays what it is.
        if source >= self.leaves || self.tree[self.leaves + source] != time {
            self.change(source, time);
        }
    }

    fn change(&mut self, source: usize, time: u64) {
        if source >= self.leaves {
            self.grow(source + 1);
        }
        let at = self.leaves + source;
        self.tree[at] = time;
        self.due.set(source, time <= self.watched);
        if self.timed {
            self.climb(at);
        }
    }

    /// Corrects the nodes above one that has changed.
    fn climb(&mut self, mut at: usize) {
        while at > 1 {
            at /= 2;
            let least = self.tree[2 * at].min(self.tree[2 * at + 1]);
            if self.tree[at] == least {
                return;
            }
            self.tree[at] = least;
        }
    }

    #[inline]
    pub(super) fn get(&self, source: usize) -> u64 {
        self.tree[self.leaves + source]
    }

    /// The earliest time of all.
    fn earliest(&self) -> u64 {
        self.tree[1]
    }

    /// The sources whose time is the earliest, in order.
    pub(super) fn first(&self) -> Ties {
        debug_assert!(self.timed);
        let mut ties = Ties::new();
        if self.earliest() != NEVER {
            self.collect(1, self.earliest(), &mut ties);
        }
        ties
    }

    /// From now on keeps who is due at `now`.
    #[inline]
    pub(super) fn watch(&mut self, now: u64) {
        if self.watched != now {
            self.due = self.find_due(now);
            self.watched = now;
        }
    }

    /// The sources due at `now`. O(1) if that time is watched, else O(sources).
    #[inline]
    pub(super) fn due(&self, now: u64) -> Cow<'_, Sources> {
        if now == self.watched {
            Cow::Borrowed(&self.due)
        } else {
            Cow::Owned(self.find_due(now))
        }
    }

    fn find_due(&self, now: u64) -> Sources {
        let leaves = self.tree[self.leaves..].iter().enumerate();
        let due = leaves.filter(|(_, t)| **t <= now).map(|(s, _)| s);
        due.collect()
    }

    /// The sources that are the earliest after `now`, in order. O(sources).
    pub(super) fn next_after(&self, now: u64) -> Ties {
        let leaves = &self.tree[self.leaves..];
        let next = leaves.iter().copied().filter(|t| *t > now).min();
        match next.filter(|t| *t != NEVER) {
            Some(next) => (0..self.leaves).filter(|s| leaves[*s] == next).collect(),
            None => Ties::new(),
        }
    }

    fn collect(&self, node: usize, time: u64, out: &mut Ties) {
        if self.tree[node] > time {
            return;
        }
        if node >= self.leaves {
            out.push(node - self.leaves);
            return;
        }
        self.collect(2 * node, time, out);
        self.collect(2 * node + 1, time, out);
    }

    #[cold]
    fn grow(&mut self, sources: usize) {
        let old = core::mem::replace(self, Self::new(sources, self.timed));
        self.watched = old.watched;
        for source in 0..old.leaves {
            self.set(source, old.get(source));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every bit of a word, full, empty but for one, and in between.
    #[test]
    fn finds_each_member_of_full_words() {
        for members in [1, 3, 64, 128, 200] {
            let all: Vec<usize> = (0..members).map(|n| n * 7 % 200).collect();
            let mut sorted = all.clone();
            sorted.sort_unstable();
            let set: Sources = all.into_iter().collect();
            let found = (0..members).map(|n| set.nth(n).expect("a member"));
            assert_eq!(found.collect::<Vec<_>>(), sorted);
            assert_eq!((set.nth(members), set.len()), (None, members));
        }
        let full: Sources = (0..200).collect();
        assert!((0..200).all(|n| full.nth(n) == Some(n)));
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_list(
            changes in prop::collection::vec((0usize..300, prop_oneof![0u64..20, Just(NEVER)]), 1..600),
            now in 0u64..20,
            earlier in 0u64..20,
        ) {
            let mut agenda = Agenda::new(3, true);
            let mut plain = vec![NEVER; 512];
            agenda.watch(earlier);
            for (source, time) in changes {
                agenda.set(source, time);
                plain[source] = time;
                let least = *plain.iter().min().unwrap();
                prop_assert_eq!(agenda.earliest(), least);
                let first = agenda.first().into_vec();
                let ties: Vec<usize> = (0..512).filter(|s| least != NEVER && plain[*s] == least).collect();
                prop_assert_eq!(first, ties);
            }
            for now in [earlier, now] { // who is due is kept, and is looked for
                let expected: Vec<usize> = (0..512).filter(|s| plain[*s] <= now).collect();
                for _ in 0..2 {
                    let due = agenda.due(now).into_owned();
                    prop_assert_eq!(due.iter().collect::<Vec<_>>(), expected.clone());
                    prop_assert_eq!(due.len(), expected.len());
                    prop_assert_eq!(due.first(), expected.first().copied());
                    for at in 0..=expected.len() {
                        prop_assert_eq!(due.nth(at), expected.get(at).copied());
                    }
                    agenda.watch(now);
                }
            }
            let next = plain.iter().copied().filter(|t| *t > now).min().unwrap_or(NEVER);
            let expected = (0..512).filter(|s| next != NEVER && plain[*s] == next);
            prop_assert_eq!(agenda.next_after(now).into_vec(), expected.collect::<Vec<_>>());
        }
    }
}
