//! The nodes in which Redis keeps a stream's entries: a run of entries each, in
//! one piece of memory. Clients can tell them by `~`, which trims whole nodes
//! only, so their bounds are kept as Redis would have them, to the byte.

use std::collections::BTreeMap;
use std::rc::Rc;

use sluice_core::redis::Bytes;

use super::stream::{Fields, Stream, StreamId};
use crate::redis::number::parse_i64;

/// When a node is full; 0 is never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

/// What is to be cut off.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trim {
    /// All but the last so many.
    Length(usize),
    /// What is older than this.
    Before(StreamId),
}

#[derive(Clone, Debug, Hash)]
struct Node {
    live: i64,
    /// Deleted; they still take their place.
    dead: i64,
    /// The last id that was added to it.
    last: StreamId,
    /// Without the two counters.
    bytes: usize,
    /// The fields of its first entry, which all others are held against.
    names: Rc<[Bytes]>,
}

/// By the first id each had.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Nodes(BTreeMap<StreamId, Node>);

/// No node is larger.
const LARGEST: usize = 1 << 30;

/// Bytes of an integer in a listpack.
const fn number(value: i64) -> usize {
    match value {
        0..=127 => 2,
        -4096..=4095 => 3,
        -0x8000..=0x7fff => 4,
        -0x80_0000..=0x7f_ffff => 5,
        -0x8000_0000..=0x7fff_ffff => 6,
        _ => 10,
    }
}

/// Bytes of a text in a listpack.
fn text(bytes: &Bytes) -> usize {
    let len = bytes.len();
    if len <= 20
        && let Some(value) = parse_i64(bytes)
    {
        return number(value);
    }
    let inner = len
        + match len {
            0..=63 => 1,
            64..=4095 => 2,
            _ => 5,
        };
    // Its length again, for those who read backwards.
    inner
        + match inner {
            0..=127 => 1,
            128..=16_382 => 2,
            16_383..=2_097_150 => 3,
            2_097_151..=268_435_454 => 4,
            _ => 5,
        }
}

fn names(fields: &Fields) -> impl ExactSizeIterator<Item = &Bytes> {
    fields.iter().step_by(2)
}

impl Node {
    fn new(id: StreamId, names: Rc<[Bytes]>) -> Self {
        let texts: usize = names.iter().map(text).sum();
        Self {
            live: 0,
            dead: 0,
            last: id,
            bytes: 7 + number(names.len() as i64) + texts + number(0),
            names,
        }
    }

    fn is_full(&self, fields: &Fields, full: Full) -> bool {
        let most = match full.bytes {
            0 => LARGEST,
            bytes => bytes.min(LARGEST),
        };
        let bytes = self.bytes + number(self.live) + number(self.dead);
        let more: usize = fields.iter().map(|part| part.len()).sum();
        bytes + more >= most || full.entries > 0 && self.live + self.dead >= full.entries as i64
    }

    fn add(&mut self, master: StreamId, id: StreamId, fields: &Fields) {
        let pairs = fields.len() / 2;
        let same = names(fields).eq(self.names.iter());
        let (texts, count): (usize, usize) = if same {
            (fields.iter().skip(1).step_by(2).map(text).sum(), pairs + 3)
        } else {
            let all: usize = fields.iter().map(text).sum();
            (all + number(pairs as i64), 2 * pairs + 4)
        };
        // The differences are 64 bits wide and wrap.
        let delta = |now: u64, then: u64| number(now.wrapping_sub(then) as i64);
        self.bytes += number(if same { 2 } else { 0 })
            + delta(id.ms, master.ms)
            + delta(id.seq, master.seq)
            + texts
            + number(count as i64);
        self.live += 1;
        self.last = id;
    }
}

impl Nodes {
    /// An entry was added at the end.
    pub(super) fn add(&mut self, id: StreamId, fields: &Fields, full: Full) {
        if let Some(mut last) = self.0.last_entry()
            && !last.get().is_full(fields, full)
        {
            let master = *last.key();
            last.get_mut().add(master, id, fields);
            return;
        }
        let mut node = Node::new(id, names(fields).cloned().collect());
        node.add(id, id, fields);
        self.0.insert(id, node);
    }

    /// An entry was deleted.
    pub(super) fn delete(&mut self, id: StreamId) {
        let Some((&master, node)) = self.0.range_mut(..=id).next_back() else {
            return;
        };
        node.live -= 1;
        node.dead += 1;
        if node.live == 0 {
            self.0.remove(&master);
        }
    }
}

/// A node's entries.
pub(crate) struct Run<'a> {
    pub(crate) master: StreamId,
    /// The fields that most entries have.
    pub(crate) names: Rc<[Bytes]>,
    pub(crate) entries: Vec<(&'a StreamId, &'a Fields)>,
}

impl Stream {
    /// All entries, node by node.
    pub(crate) fn runs(&self) -> Vec<Run<'_>> {
        let mut entries = self.entries.iter();
        let runs = self.nodes.0.iter().map(|(master, node)| Run {
            master: *master,
            names: node.names.clone(),
            entries: entries.by_ref().take(node.live as usize).collect(),
        });
        runs.collect()
    }

    /// Adds a node with its entries, behind all others.
    pub(crate) fn load_node(
        &mut self,
        master: StreamId,
        dead: i64,
        last: StreamId,
        names: Rc<[Bytes]>,
        entries: Vec<(StreamId, Fields)>,
    ) {
        let mut node = Node::new(master, names);
        for (id, fields) in entries {
            node.add(master, id, &fields);
            self.entries.insert(id, fields);
        }
        (node.dead, node.last) = (dead, last);
        self.nodes.0.insert(master, node);
    }

    /// How many nodes there are.
    pub(crate) fn nodes(&self) -> usize {
        self.nodes.0.len()
    }

    /// Cuts off the oldest entries, whole nodes if `approximate`, and at most
    /// `limit` of them; how many.
    pub(crate) fn trim(&mut self, trim: Trim, approximate: bool, limit: usize) -> usize {
        let mut gone = 0;
        while let Some((&master, node)) = self.nodes.0.first_key_value() {
            let live = node.live as usize;
            let whole = match trim {
                Trim::Length(most) if self.len() <= most => break,
                Trim::Length(most) => self.len() - live >= most,
                Trim::Before(id) => node.last < id,
            };
            if gone + live > limit {
                break;
            }
            if whole {
                self.drop_first(live);
                self.nodes.0.remove(&master);
                gone += live;
                continue;
            }
            if !approximate {
                let spare = match trim {
                    Trim::Length(most) => self.len().saturating_sub(most),
                    Trim::Before(id) => self.entries.range(..id).take(live).count(),
                };
                self.drop_first(spare);
                if let Some(node) = self.nodes.0.get_mut(&master) {
                    node.live -= spare as i64;
                    node.dead += spare as i64;
                }
                gone += spare;
            }
            break;
        }
        gone
    }
}
