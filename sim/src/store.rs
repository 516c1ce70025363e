//! What the world needs of a server.
//!
//! The server of a run is the simulated Redis. The world asks so little of it
//! that its own tests run against a store of twenty lines, and a failure there
//! is a failure of the world.

use core::fmt::Debug;

use sluice_core::redis::{Bytes, Command, Reply};

use crate::choice::Touch;
use crate::digest::Digest;

/// One connection, as the server sees it. Never used twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// How a search calls what it takes to be interchangeable.
pub trait Names {
    /// What stands for these bytes, if they are a name.
    fn name(&self, bytes: &[u8]) -> Option<u64>;

    /// What stands for a session.
    fn session(&self, session: SessionId) -> u64;
}

/// A server: executes commands one at a time, without a clock of its own.
pub trait Store: Clone + Debug {
    /// What is shared between all servers and takes no part in their state,
    /// such as compiled scripts.
    type Engine;

    /// Executes one command. `now_us`: microseconds since 1970 by the
    /// server's clock, which may run backwards.
    fn execute(
        &mut self,
        engine: &Self::Engine,
        now_us: u64,
        session: SessionId,
        command: &Command,
    ) -> Reply;

    /// Executes one command, whose reply may come later: then `None`, and it
    /// comes out of [`Store::poll_reply`]. Until then its session sends nothing.
    fn submit(
        &mut self,
        engine: &Self::Engine,
        now_us: u64,
        session: SessionId,
        command: &Command,
    ) -> Option<Reply> {
        Some(self.execute(engine, now_us, session, command))
    }

    /// The next reply that came later, in order; `None` once drained.
    fn poll_reply(&mut self) -> Option<(SessionId, Reply)> {
        None
    }

    /// When a session that waits has waited enough, by the server's clock.
    fn deadline_us(&self) -> Option<u64> {
        None
    }

    /// Answers those whose time is up. Harmless when it is early.
    fn time_out(&mut self, now_us: u64) {
        let _ = now_us;
    }

    /// The next message for a subscriber, in order; `None` once drained.
    fn poll_push(&mut self) -> Option<(SessionId, Reply)>;

    /// The connection has ended.
    fn disconnect(&mut self, session: SessionId);

    /// Forgets all cached scripts.
    fn flush_scripts(&mut self);

    /// The process ends and starts again: sessions and cached scripts are
    /// gone, and unless `keep_data`, all keys are.
    fn restart(&mut self, keep_data: bool);

    /// The server that was restarted reads its keys from a snapshot, and leaves
    /// out what has expired by then.
    fn load_snapshot(&mut self, now_us: u64) {
        let _ = now_us;
    }

    /// Whether a session waits for a replica to have what it wrote last.
    fn awaits_replica(&self, session: SessionId) -> bool {
        let _ = session;
        false
    }

    /// A replica has it: answers the session.
    fn replicated(&mut self, session: SessionId) {
        let _ = session;
    }

    /// Keys that the server may throw away for want of memory, in an order that
    /// is always the same. None where it refuses to write instead.
    fn evictable(&self, now_us: u64) -> Vec<Bytes> {
        let _ = now_us;
        Vec::new()
    }

    /// Throws one of these away.
    fn evict(&mut self, key: &[u8]) {
        let _ = key;
    }

    /// Identity of the logical state.
    fn digest(&self) -> u64;

    /// Identity of the state for all that can follow, at `now_us` by the
    /// server's clock: [`Store::digest`] with names replaced, and with times
    /// relative to now where they can be. Without better knowledge, the digest
    /// and the time.
    fn identity(&self, now_us: u64, names: &dyn Names) -> u64 {
        let _ = names;
        Digest::of(&(self.digest(), now_us))
    }

    /// Everything that is stored under a name (the field, member or item it is),
    /// as one number that does not depend on the name. 0 without better
    /// knowledge: then interchangeable clients are found less often.
    fn marks(&self, now_us: u64, name: &[u8]) -> u64 {
        let _ = (now_us, name);
        0
    }

    /// Which keys a command reads or changes ([`Touch::keys`],
    /// [`Touch::writes`]). All of them, unless the store knows better.
    fn touch(&self, command: &Command) -> Touch {
        let _ = command;
        Touch {
            keys: u64::MAX,
            writes: true,
            ..Touch::default()
        }
    }
    /// In a cluster, the slots of the keys that a command declares, one for each
    /// key. Without better knowledge, one key.
    fn slots(&self, command: &Command) -> Vec<u16> {
        let _ = command;
        vec![0]
    }
}
