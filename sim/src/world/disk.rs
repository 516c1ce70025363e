//! What a server finds on its disk when it starts again.
//!
//! A process that is killed leaves to the operating system what it has written;
//! a machine without power loses what was not synced as well. The two are apart:
//! with `appendfsync everysec` a killed Redis loses nothing, and "up to a second"
//! is for power loss (<https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/>).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sluice_core::redis::Command;

use super::World;
use super::fault::FaultKind;
use super::setup::Program;
use super::trouble::lost_writes;
use crate::choice::{Chooser, Label};
use crate::store::Store;

/// How a server keeps its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Persistence {
    /// Not at all: it comes back empty.
    None,
    /// `appendonly yes`, `appendfsync always`: what was answered is kept.
    #[default]
    AofAlways,
    /// `appendfsync everysec`: a killed process loses nothing, power loss any
    /// number of the writes of the last second, all of them included. (Where
    /// there were many, not every number.)
    AofEverysec,
    /// `save`: a snapshot before the first write after so many milliseconds.
    /// Either way what was written since is lost. What has expired by the
    /// server's clock when it starts is not read from a snapshot, and stays gone
    /// if that clock steps back; from an append-only file it is read.
    Rdb {
        /// Between two snapshots.
        every_ms: u64,
    },
}

/// Stands for everything, where lost writes are counted.
pub const EVERYTHING: u32 = u32::MAX;

/// So many states are remembered between which writes may be lost. When they are
/// more, every other is forgotten, the oldest never: that all is lost which was
/// not synced stays possible.
const UNSYNCED_MAX: usize = 64;

/// `everysec`, in nanoseconds.
const SYNC_NS: u64 = 1_000_000_000;

/// The server before a write that may not be synced.
#[derive(Clone, Debug)]
struct Unsynced<S> {
    at: u64,
    /// So many writes came before it.
    number: u64,
    server: S,
}

/// What is on the disk, as far as it is not what the server has.
#[derive(Clone, Debug)]
pub(super) struct Disk<S> {
    /// In order.
    unsynced: VecDeque<Unsynced<S>>,
    /// How many have written, as far as that was counted.
    written: u64,
    /// The last snapshot, when it was made, and how many have written since;
    /// before the first, nothing was there.
    pub(super) saved: Option<(u64, S)>,
    pub(super) since: u32,
}

impl<S> Default for Disk<S> {
    fn default() -> Self {
        Self {
            unsynced: VecDeque::new(),
            written: 0,
            saved: None,
            since: 0,
        }
    }
}

impl<S> Disk<S> {
    /// What it may hold instead of what the server has, each with its time and
    /// how many writes lie between it and the next, if they are several.
    pub(super) fn copies(&self) -> impl Iterator<Item = (u64, Option<u64>, &S)> {
        let unsynced = self.unsynced.iter().enumerate().map(|(at, copy)| {
            let next = self.unsynced.get(at + 1);
            let gap = next.map_or(self.written, |next| next.number) - copy.number;
            (copy.at, (gap > 1).then_some(gap), &copy.server)
        });
        let saved = self.saved.iter().map(|(at, server)| (*at, None, server));
        unsynced.chain(saved)
    }

    /// Forgets what has been synced by now. Where states between were forgotten,
    /// the one before them stays for as long as one of them would.
    fn sync(&mut self, now: u64) {
        let synced = |copy: &Unsynced<S>| copy.at + SYNC_NS <= now;
        while let Some(first) = self.unsynced.front().filter(|first| synced(first)) {
            let stays = self
                .unsynced
                .get(1)
                .is_some_and(|next| next.number > first.number + 1 && !synced(next));
            if stays {
                return;
            }
            self.unsynced.pop_front();
        }
    }

    /// Every other state but the first goes.
    fn thin_out(&mut self) {
        let mut at = 0;
        self.unsynced.retain(|_| {
            at += 1;
            at % 2 == 1
        });
    }
}

impl<P: Program, S: Store> World<P, S> {
    /// Before a command: what the disk will lack.
    pub(super) fn persist(&mut self, command: &Command) {
        let weights = &self.faults.weights;
        let loses = match self.faults.persistence {
            Persistence::None | Persistence::AofAlways => return,
            Persistence::AofEverysec => weights[FaultKind::PowerLoss] > 0,
            Persistence::Rdb { .. } => {
                weights[FaultKind::PowerLoss] + weights[FaultKind::ServerRestart] > 0
            }
        };
        if !loses || !self.may_fault() || !self.server.touch(command).writes {
            return;
        }
        let now = self.now;
        if let Persistence::Rdb { every_ms } = self.faults.persistence {
            let every_ns = every_ms.saturating_mul(1_000_000);
            let last = self.disk.saved.as_ref().map_or(0, |(at, _)| *at);
            if now - last >= every_ns {
                self.disk.saved = Some((now, self.server.clone()));
                self.disk.since = 0;
            }
            self.disk.since = self.disk.since.saturating_add(1);
            return;
        }
        self.disk.sync(now);
        if self.disk.unsynced.len() == UNSYNCED_MAX {
            self.disk.thin_out();
        }
        self.disk.unsynced.push_back(Unsynced {
            at: now,
            number: self.disk.written,
            server: self.server.clone(),
        });
        self.disk.written += 1;
    }

    /// The server starts again with what the disk has. How many of the last
    /// commands that wrote are lost, or [`EVERYTHING`].
    pub(super) fn recover(
        &mut self,
        kind: FaultKind,
        what: Label,
        chooser: &mut dyn Chooser,
    ) -> u32 {
        let mut disk = core::mem::take(&mut self.disk);
        match self.faults.persistence {
            Persistence::AofAlways => 0,
            Persistence::AofEverysec if kind == FaultKind::ServerRestart => 0,
            Persistence::AofEverysec => {
                disk.sync(self.now);
                let count = disk.unsynced.len();
                let back = chooser.draw(lost_writes(what), count as u64 + 1) as usize;
                let at = count.checked_sub(back);
                match at.and_then(|at| disk.unsynced.remove(at)) {
                    Some(copy) => {
                        self.server = copy.server;
                        u32::try_from(disk.written - copy.number).unwrap_or(EVERYTHING - 1)
                    }
                    None => 0,
                }
            }
            Persistence::Rdb { .. } => match disk.saved {
                Some((at, mut server)) => {
                    self.server = server.clone();
                    // It stays there; but which process it is that reads it, and
                    // is restarted by the caller, is not in it.
                    server.restart(true);
                    self.disk.saved = Some((at, server));
                    disk.since
                }
                None => EVERYTHING,
            },
            Persistence::None => EVERYTHING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes, one every so many nanoseconds; each state is its number.
    fn after(writes: u64, every_ns: u64) -> (Disk<u64>, u64) {
        let mut disk = Disk::default();
        for number in 0..writes {
            let at = number * every_ns;
            disk.sync(at);
            if disk.unsynced.len() == UNSYNCED_MAX {
                disk.thin_out();
            }
            let server = number;
            disk.unsynced.push_back(Unsynced { at, number, server });
            disk.written += 1;
            assert!(disk.unsynced.len() <= UNSYNCED_MAX);
        }
        (disk, writes.saturating_sub(1) * every_ns)
    }

    #[test]
    fn all_that_was_not_synced_can_be_lost_however_much_it_is() {
        for (writes, every_ns) in [(10, 1), (64, 1), (65, 1), (5_000, 1), (9_999, 1_000_000)] {
            let (mut disk, now) = after(writes, every_ns);
            disk.sync(now);
            let oldest = disk.unsynced.front().map(|copy| copy.number);
            // The first write that may not be synced: it is younger than a second.
            let fresh = (0..writes).find(|n| n * every_ns + SYNC_NS > now);
            assert!(oldest <= fresh, "{writes}: {oldest:?} after {fresh:?}");
            let newest = disk.unsynced.back().map(|copy| copy.number);
            assert_eq!(newest, Some(writes - 1), "nor need more be lost than one");
            disk.sync(now + SYNC_NS);
            assert!(disk.unsynced.is_empty(), "in the end all is synced");
        }
    }

    /// As long as all are remembered, none older than a second is.
    #[test]
    fn few_writes_are_remembered_one_by_one() {
        let (disk, now) = after(100, SYNC_NS / 50);
        let numbers: Vec<u64> = disk.unsynced.iter().map(|copy| copy.number).collect();
        assert_eq!(numbers, (50..100).collect::<Vec<u64>>());
        assert!(
            disk.copies()
                .all(|(at, gap, _)| at + SYNC_NS > now && gap.is_none())
        );
    }
}
