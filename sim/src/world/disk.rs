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
    /// number of the writes of the last second, of which the last 64 are
    /// remembered.
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

/// Writes that are remembered as not synced.
const UNSYNCED_MAX: usize = 64;

/// `everysec`, in nanoseconds.
const SYNC_NS: u64 = 1_000_000_000;

/// What is on the disk, as far as it is not what the server has.
#[derive(Clone, Debug)]
pub(super) struct Disk<S> {
    /// The server before each write that may not be synced, and when that was.
    pub(super) unsynced: VecDeque<(u64, S)>,
    /// The last snapshot, when it was made, and how many have written since;
    /// before the first, nothing was there.
    pub(super) saved: Option<(u64, S)>,
    pub(super) since: u32,
}

impl<S> Default for Disk<S> {
    fn default() -> Self {
        Self {
            unsynced: VecDeque::new(),
            saved: None,
            since: 0,
        }
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
        let unsynced = &mut self.disk.unsynced;
        while unsynced.front().is_some_and(|(at, _)| *at + SYNC_NS <= now) {
            unsynced.pop_front();
        }
        if unsynced.len() == UNSYNCED_MAX {
            unsynced.pop_front();
        }
        unsynced.push_back((now, self.server.clone()));
    }

    /// The server starts again with what the disk has. How many of the last
    /// commands that wrote are lost, or [`EVERYTHING`].
    pub(super) fn recover(
        &mut self,
        kind: FaultKind,
        what: Label,
        chooser: &mut dyn Chooser,
    ) -> u32 {
        let disk = core::mem::take(&mut self.disk);
        match self.faults.persistence {
            Persistence::AofAlways => 0,
            Persistence::AofEverysec if kind == FaultKind::ServerRestart => 0,
            Persistence::AofEverysec => {
                let now = self.now;
                let fresh = |at: &u64| *at + SYNC_NS > now;
                let unsynced = disk.unsynced.into_iter().filter(|(at, _)| fresh(at));
                let mut unsynced: Vec<S> = unsynced.map(|(_, server)| server).collect();
                let lost = chooser.draw(lost_writes(what), unsynced.len() as u64 + 1) as usize;
                if lost > 0 {
                    let at = unsynced.len() - lost;
                    self.server = unsynced.swap_remove(at);
                }
                lost as u32
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
