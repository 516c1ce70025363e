//! What scripts have done before, so that they need not do it again.

use std::cell::RefCell;
use std::hash::{Hash, Hasher};

use hashbrown::HashMap;
use sluice_core::redis::Reply;

use super::Job;
use crate::digest::Digest;
use crate::digest::FixedState;
use crate::redis::State;
use crate::redis::command::Fail;

/// More results than this are forgotten, all at once.
const MOST: usize = 200_000;

/// By state, time, script and arguments: the state afterwards, and the reply.
#[derive(Default)]
pub(super) struct Memory(RefCell<HashMap<u64, Known, FixedState>>);

/// What a script made of the state, and answered.
type Known = (State, Result<Reply, Fail>);

impl Memory {
    pub(super) fn recall(
        &self,
        state: &mut Box<State>,
        job: &Job,
        run: impl FnOnce(&mut Box<State>) -> Result<Reply, Fail>,
    ) -> Result<Reply, Fail> {
        let key = key(state, job);
        if let Some((after, reply)) = self.0.borrow().get(&key) {
            // A script changes nothing else.
            state.db = after.db.clone();
            state.others.clone_from(&after.others);
            state.subscriptions = after.subscriptions.clone();
            state.libraries = after.libraries.clone();
            state.undeclared.clone_from(&after.undeclared);
            state.left = after.left.clone();
            state.park.clone_from(&after.park);
            return reply.clone();
        }
        let reply = run(state);
        let mut known = self.0.borrow_mut();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, (State::clone(state), reply.clone()));
        reply
    }
}

fn key(state: &State, job: &Job) -> u64 {
    let mut key = Digest::default();
    state.selected.hash(&mut key);
    state.db.awaited().hash(&mut key);
    for db in state.others.values() {
        db.awaited().hash(&mut key);
    }
    state.hash_keys(&mut key, |db| db.digest(state.now_us));
    state.subscriptions.hash(&mut key);
    (&state.undeclared, state.now_us, state.version, state.nodes).hash(&mut key);
    state.left.hash(&mut key);
    if job.function.is_some() {
        state.libraries.hash(&mut key);
    }
    key.write(&job.sha);
    job.function.hash(&mut key);
    (job.keys.len(), job.argv.len(), job.read_only, job.may_grow).hash(&mut key);
    for arg in job.keys.iter().chain(job.argv) {
        key.write(arg);
    }
    key.finish()
}
