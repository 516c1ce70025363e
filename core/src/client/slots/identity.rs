//! What makes two clients one to a search: all that their further behaviour
//! depends on, and nothing else.

use core::hash::{Hash, Hasher};

use super::{By, Phase, SlotsClient};
use crate::client::Likeness;
use crate::time::LocalTime;

impl SlotsClient {
    /// See [`Client::identity`](crate::client::Client::identity).
    pub(super) fn feed(&self, now: LocalTime, state: &mut impl Likeness) {
        let Self {
            settings: _,
            id,
            clock,
            phase,
            nonce,
            unanswered,
            limit,
            current,
            superseded,
            next_at,
            failures,
            load,
            nudged,
            subscription,
            outputs,
        } = self;
        let now = clock.peek(now);
        let until = match phase {
            Phase::Holding(held) => held.until,
            Phase::Leaving(leaving) => leaving.until,
            Phase::Idle | Phase::Joining { .. } | Phase::Waiting { .. } => None,
        };
        for at in [*limit, until, *next_at] {
            // What has passed has passed, however long ago.
            let ahead = at.map(|at| at.max(now).relative_to(now));
            ahead.is_some().hash(state);
            ahead.into_iter().for_each(|ns| state.deadline(ns));
        }
        state.age(clock.age(now));
        (id, nonce, unanswered).hash(state);
        core::mem::discriminant(phase).hash(state);
        match phase {
            Phase::Idle => {}
            Phase::Joining { wait } => wait.hash(state),
            Phase::Waiting { wait, position } => {
                wait.hash(state);
                state.figure(*position);
            }
            Phase::Holding(held) => {
                state.fence(held.fence);
                state.figure(held.wait_ms);
                (held.told, held.touched).hash(state);
            }
            Phase::Leaving(leaving) => {
                match leaving.by {
                    By::Release(fence) => state.fence(fence),
                    By::Cancel => By::Cancel.hash(state),
                }
                (&leaving.tell, leaving.then).hash(state);
            }
        }
        if let Some(current) = current {
            (current.request, current.sent.relative_to(now), current.what).hash(state);
        }
        (superseded, failures).hash(state);
        (load, nudged, subscription, outputs).hash(state);
    }
}

/// Settings are the same for all clients of a run and are left out.
impl Hash for SlotsClient {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            settings: _,
            id,
            clock,
            phase,
            nonce,
            unanswered,
            limit,
            current,
            superseded,
            next_at,
            failures,
            load,
            nudged,
            subscription,
            outputs,
        } = self;
        (id, clock, phase, nonce, unanswered, limit, current).hash(state);
        (
            superseded,
            next_at,
            failures,
            load,
            nudged,
            subscription,
            outputs,
        )
            .hash(state);
    }
}
