//! The specification of the slot machine, to be read beside `ARCHITECTURE.md`.
//!
//! One `Vec` of places, linear scans, no index, no cache, no cleverness: this
//! is what [`sluice_core::slots::Slots`] and the Lua scripts are held against.
//! It shares words with `core` (configuration, replies, statistics) and not one
//! line of logic. Every operation costs O(n²) at worst, and may.

use sluice_core::slots::{
    Class, Config, Ended, Fence, Flow, Nonce, Outcome, Rejected, Reply, Stats,
};
use sluice_core::time::StoreTime;

/// Where a place is; an id has at most one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Zone {
    /// Remembered until then, so that delayed copies are recognised.
    Ended {
        /// The way it ended.
        how: Ended,
        /// When it is forgotten.
        until: StoreTime,
    },
    /// Holds a slot.
    Held {
        /// The number of the grant.
        fence: Fence,
        /// Lease, if there is one.
        alive_until: Option<StoreTime>,
        /// Idle time, if there is one.
        active_until: Option<StoreTime>,
        /// What it waited, once claimed; before that the offer's deadline.
        claim: Claim,
    },
    /// In line, and present.
    Waiting,
    /// In line, and not heard of.
    Absent,
}

/// Whether a grant was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Claim {
    /// Taken, after this wait.
    Claimed {
        /// Milliseconds.
        wait_ms: u64,
    },
    /// Offered until then.
    Offered {
        /// When it lapses.
        until: StoreTime,
    },
}

/// One id's place.
#[derive(Clone, Debug, PartialEq)]
pub struct Place<Id> {
    /// Whose.
    pub id: Id,
    /// Its newest attempt.
    pub nonce: Nonce,
    /// Its key in line.
    pub order: u64,
    /// When it joined.
    pub joined_at: StoreTime,
    /// When it was last heard.
    pub heard_at: StoreTime,
    /// Where it is.
    pub zone: Zone,
}

/// The specification.
#[derive(Clone, Debug)]
pub struct Model<Id> {
    config: Config,
    places: Vec<Place<Id>>,
    ticket: u64,
    fence: Fence,
    stats: Stats,
    flow: Flow,
    last_promotion: Option<StoreTime>,
    wakes: Vec<Id>,
}

/// The operation under way.
#[derive(Clone)]
struct Call<Id> {
    /// The place that acquire and poll speak for.
    caller: Option<Id>,
    /// Whether it joined in this very operation.
    joined: bool,
    /// How housekeeping ended it meanwhile.
    ended: Option<Ended>,
}

impl<Id: Clone + Ord> Model<Id> {
    /// An empty gate.
    #[must_use]
    pub fn new(config: Config, first_fence: Fence) -> Self {
        Self {
            config,
            places: Vec::new(),
            ticket: 0,
            fence: first_fence,
            stats: Stats::default(),
            flow: Flow::default(),
            last_promotion: None,
            wakes: Vec::new(),
        }
    }

    /// Joins, or repeats a join.
    pub fn acquire(
        &mut self,
        now: StoreTime,
        id: Id,
        nonce: Nonce,
        class: Class,
        wait: bool,
    ) -> Reply {
        self.expire(now);
        let mut call = Call {
            caller: Some(id.clone()),
            joined: false,
            ended: None,
        };
        let mut tombstone = None;
        if let Some(place) = self.place(&id) {
            let (known, zone) = (place.nonce, place.zone);
            let over = matches!(zone, Zone::Ended { .. });
            if nonce < known || (over && nonce == known) {
                return self.answer(now, None, Outcome::Stale { nonce: known });
            }
            if !over {
                if nonce > known {
                    self.take_over(now, &id, nonce);
                }
                self.hear(now, &id);
                return self.serve(now, call);
            }
            tombstone = self.remove(&id);
        }

        let in_line = self.count(|z| *z == Zone::Waiting)
            + if self.config.count_absent {
                self.count(|z| *z == Zone::Absent)
            } else {
                0
            };
        let free = u64::from(self.config.capacity).saturating_sub(self.held());
        if wait && in_line + 1 > u64::from(self.config.queue_limit) + free {
            self.stats.rejected += 1;
            self.places.extend(tombstone);
            return self.answer(now, None, Outcome::Rejected(Rejected::Full));
        }
        if self.count(|z| *z == Zone::Waiting) == 0 {
            self.last_promotion = None;
        }
        self.ticket += 1;
        let boost = u64::from(self.config.boosts[usize::from(class.get())]);
        self.places.push(Place {
            id: id.clone(),
            nonce,
            order: (self.ticket + (1 << 32) - boost) * 4 + u64::from(class.get()),
            joined_at: now,
            heard_at: now,
            zone: Zone::Waiting,
        });
        call.joined = true;
        self.promote(now, &mut call);
        let granted = self
            .place(&id)
            .is_some_and(|p| matches!(p.zone, Zone::Held { .. }));
        if !wait && !granted {
            self.remove(&id);
            self.places.extend(tombstone);
            self.trim(); // another place may have ended in the meantime
            self.stats.rejected += 1;
            return self.close(now, Outcome::Rejected(Rejected::Busy));
        }
        self.reply_to(now, &call)
    }

    /// A waiter asks how it stands.
    pub fn poll(&mut self, now: StoreTime, id: &Id, nonce: Nonce) -> Reply {
        self.expire(now);
        match self.place(id) {
            None => self.answer(now, None, Outcome::Unknown),
            Some(p) if p.nonce != nonce => {
                let nonce = p.nonce;
                self.answer(now, None, Outcome::Stale { nonce })
            }
            Some(Place {
                zone: Zone::Ended { how, .. },
                ..
            }) => {
                let how = *how;
                self.answer(now, None, Outcome::Ended(how))
            }
            Some(_) => {
                self.hear(now, id);
                self.serve(
                    now,
                    Call {
                        caller: Some(id.clone()),
                        joined: false,
                        ended: None,
                    },
                )
            }
        }
    }

    /// Heartbeat of a holder.
    pub fn renew(&mut self, now: StoreTime, id: &Id, fence: Fence, touch: bool) -> Reply {
        self.expire(now);
        let (lease, idle) = (self.config.lease_ms, self.config.idle_ms);
        let mut outcome = Outcome::Lost;
        if self.owns(now, id, fence) {
            let place = self.place_mut(id);
            if let Zone::Held {
                alive_until,
                active_until,
                claim: Claim::Claimed { .. },
                ..
            } = &mut place.zone
            {
                *alive_until = lease.map(|ms| now.plus(ms));
                if touch {
                    *active_until = idle.map(|ms| now.plus(ms));
                }
                outcome = Outcome::Renewed {
                    ttl_ms: deadline_held(&place.zone).map(|d| d.since(now)),
                };
            }
        }
        self.answer(now, None, outcome)
    }

    /// Gives a slot back.
    pub fn release(&mut self, now: StoreTime, id: &Id, fence: Fence) -> Reply {
        self.expire(now);
        let owns = self.owns(now, id, fence);
        if owns {
            self.stats.released += 1;
            self.end(now, id, Ended::Released);
        }
        self.answer(
            now,
            None,
            if owns {
                Outcome::Released
            } else {
                Outcome::Lost
            },
        )
    }

    /// Ends an attempt, whatever became of it.
    pub fn cancel(&mut self, now: StoreTime, id: &Id, nonce: Nonce) -> Reply {
        self.expire(now);
        let known = self.place(id).map(|p| (p.nonce, p.zone));
        match known {
            Some((known, _)) if known > nonce => {
                return self.answer(now, None, Outcome::Stale { nonce: known });
            }
            Some((_, Zone::Ended { .. })) => self.place_mut(id).nonce = nonce,
            Some(_) => {
                self.place_mut(id).nonce = nonce;
                self.stats.cancelled += 1;
                self.end(now, id, Ended::Cancelled);
            }
            None => {
                self.places.push(Place {
                    id: id.clone(),
                    nonce,
                    order: 0,
                    joined_at: now,
                    heard_at: now,
                    zone: Zone::Absent,
                });
                self.end(now, id, Ended::Cancelled);
            }
        }
        self.answer(now, None, Outcome::Cancelled)
    }

    /// Changes the capacity; evicts nobody. The caller has validated it.
    pub fn resize(&mut self, now: StoreTime, capacity: u32) -> Reply {
        self.expire(now);
        let from = std::mem::replace(&mut self.config.capacity, capacity);
        let r = f64::from(from) / f64::from(capacity);
        self.flow.gap_mean_ms *= r;
        self.flow.gap_var_ms2 *= r * r;
        self.answer(now, None, Outcome::Resized { from })
    }

    /// Housekeeping alone.
    pub fn sweep(&mut self, now: StoreTime) -> Reply {
        self.expire(now);
        self.answer(now, None, Outcome::Swept)
    }

    /// Counters so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Pace so far.
    #[must_use]
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Ids woken since the last call, in order.
    pub fn take_wakes(&mut self) -> Vec<Id> {
        std::mem::take(&mut self.wakes)
    }

    /// Places held, by (deadline, id).
    #[must_use]
    pub fn held_places(&self) -> Vec<&Place<Id>> {
        self.sorted(
            |z| matches!(z, Zone::Held { .. }),
            |p| {
                (
                    deadline_held(&p.zone).unwrap_or(StoreTime(u64::MAX)),
                    0,
                    p.id.clone(),
                )
            },
        )
    }

    /// Present waiters in line order.
    #[must_use]
    pub fn waiting_places(&self) -> Vec<&Place<Id>> {
        self.sorted(
            |z| *z == Zone::Waiting,
            |p| (StoreTime(0), p.order, p.id.clone()),
        )
    }

    /// Absent waiters in line order.
    #[must_use]
    pub fn absent_places(&self) -> Vec<&Place<Id>> {
        self.sorted(
            |z| *z == Zone::Absent,
            |p| (StoreTime(0), p.order, p.id.clone()),
        )
    }

    /// Remembered endings, by (until, id).
    #[must_use]
    pub fn ended_places(&self) -> Vec<&Place<Id>> {
        self.sorted(
            |z| matches!(z, Zone::Ended { .. }),
            |p| match p.zone {
                Zone::Ended { until, .. } => (until, 0, p.id.clone()),
                Zone::Held { .. } | Zone::Waiting | Zone::Absent => unreachable!("filtered"),
            },
        )
    }

    // ---- steps 1, 3, 4 and 5 ------------------------------------------------

    fn expire(&mut self, now: StoreTime) {
        for _ in 0..self.config.batch {
            let held = self
                .held_places()
                .first()
                .map(|p| (deadline_held(&p.zone), p.id.clone()));
            if let Some((Some(deadline), id)) = held
                && deadline <= now
            {
                let place = self.place_mut(&id);
                if matches!(
                    place.zone,
                    Zone::Held {
                        claim: Claim::Offered { .. },
                        ..
                    }
                ) {
                    place.zone = Zone::Absent;
                    self.stats.lapsed += 1;
                } else {
                    self.stats.reclaimed += 1;
                    self.end(now, &id, Ended::Expired);
                }
            } else if let Some((deadline, id)) = self.first_due()
                && deadline <= now
            {
                self.fall_due(now, &id);
            } else if let Some(id) = self
                .ended_places()
                .first()
                .filter(|p| matches!(p.zone, Zone::Ended { until, .. } if until <= now))
                .map(|p| p.id.clone())
            {
                self.remove(&id);
            } else {
                break;
            }
        }
    }

    fn promote(&mut self, now: StoreTime, call: &mut Call<Id>) {
        for _ in 0..self.config.batch {
            if self.held() >= u64::from(self.config.capacity) {
                break;
            }
            let Some(place) = self.waiting_places().first().copied().cloned() else {
                break;
            };
            let own = call.caller.as_ref() == Some(&place.id);
            if self.due(&place).is_some_and(|due| due <= now) {
                let how = self.fall_due(now, &place.id);
                if own {
                    call.ended = how;
                }
                continue;
            }
            self.fence += 1;
            let fence = self.fence;
            let zone = Zone::Held {
                fence,
                alive_until: None,
                active_until: None,
                claim: Claim::Offered {
                    until: now.plus(self.config.presence.map_or(0, |p| p.claim_within_ms)),
                },
            };
            self.place_mut(&place.id).zone = zone;
            if !(own && call.joined) {
                self.record_flow(now);
            }
            if self.config.presence.is_none() {
                self.claim(now, &place.id);
            }
            if !own {
                self.wakes.push(place.id);
            }
        }
    }

    /// Steps 3 to 5 for an operation that speaks for a live place.
    fn serve(&mut self, now: StoreTime, mut call: Call<Id>) -> Reply {
        self.promote(now, &mut call);
        self.reply_to(now, &call)
    }

    /// Steps 4 and 5.
    fn reply_to(&mut self, now: StoreTime, call: &Call<Id>) -> Reply {
        let id = call
            .caller
            .as_ref()
            .expect("only operations with a place come here");
        if let Some(how) = call.ended {
            return self.close(now, Outcome::Ended(how));
        }
        if matches!(
            self.place_mut(id).zone,
            Zone::Held {
                claim: Claim::Offered { .. },
                ..
            }
        ) {
            self.claim(now, id);
        }
        let place = self.place_mut(id).clone();
        let outcome = match place.zone {
            Zone::Held {
                fence,
                claim: Claim::Claimed { wait_ms },
                ..
            } => Outcome::Granted {
                fence,
                ttl_ms: deadline_held(&place.zone).map(|d| d.since(now)),
                wait_ms,
            },
            Zone::Waiting | Zone::Absent => {
                let ahead = self
                    .places
                    .iter()
                    .filter(|p| {
                        matches!(p.zone, Zone::Waiting | Zone::Absent) && p.order < place.order
                    })
                    .count();
                Outcome::Waiting {
                    position: ahead as u64 + 1,
                    flow: self.flow,
                }
            }
            Zone::Ended { .. }
            | Zone::Held {
                claim: Claim::Offered { .. },
                ..
            } => {
                unreachable!("the caller's place is live and claimed")
            }
        };
        self.close(now, outcome)
    }

    /// Steps 3 and 5 for an operation that speaks for no place.
    fn answer(&mut self, now: StoreTime, caller: Option<Id>, outcome: Outcome) -> Reply {
        self.promote(
            now,
            &mut Call {
                caller,
                joined: false,
                ended: None,
            },
        );
        self.close(now, outcome)
    }

    fn close(&mut self, now: StoreTime, outcome: Outcome) -> Reply {
        let in_line = self.count(|z| matches!(z, Zone::Waiting | Zone::Absent));
        self.stats.held_max = self.stats.held_max.max(self.held());
        self.stats.in_line_max = self.stats.in_line_max.max(in_line);
        let held_due = self
            .held_places()
            .first()
            .and_then(|p| deadline_held(&p.zone));
        let more = held_due.is_some_and(|d| d <= now)
            || self.first_due().is_some_and(|(d, _)| d <= now)
            || (self.held() < u64::from(self.config.capacity)
                && self.count(|z| *z == Zone::Waiting) > 0);
        Reply { outcome, more }
    }

    // ---- transitions --------------------------------------------------------

    /// A deadline in line has passed; how the place ended, if it did.
    fn fall_due(&mut self, now: StoreTime, id: &Id) -> Option<Ended> {
        let place = self.place_mut(id).clone();
        let config = self.config;
        if config
            .wait_timeout_ms
            .is_some_and(|ms| place.joined_at.plus(ms) <= now)
        {
            self.stats.timed_out += 1;
            self.end(now, id, Ended::TimedOut);
            Some(Ended::TimedOut)
        } else if config
            .presence
            .is_some_and(|p| place.heard_at.plus(p.abandon_after_ms) <= now)
        {
            self.stats.abandoned += 1;
            self.end(now, id, Ended::Abandoned);
            Some(Ended::Abandoned)
        } else {
            self.place_mut(id).zone = Zone::Absent;
            None
        }
    }

    fn hear(&mut self, now: StoreTime, id: &Id) {
        let place = self.place_mut(id);
        place.heard_at = now;
        if place.zone == Zone::Absent {
            place.zone = Zone::Waiting;
        }
    }

    fn take_over(&mut self, now: StoreTime, id: &Id, new_nonce: Nonce) {
        let (lease, idle, next) = (self.config.lease_ms, self.config.idle_ms, self.fence + 1);
        let place = self.place_mut(id);
        place.nonce = new_nonce;
        let mut held = false;
        if let Zone::Held {
            fence,
            alive_until,
            active_until,
            claim,
        } = &mut place.zone
        {
            held = true;
            *fence = next;
            if matches!(claim, Claim::Claimed { .. }) {
                *alive_until = lease.map(|ms| now.plus(ms));
                *active_until = idle.map(|ms| now.plus(ms));
            }
        }
        if held {
            self.fence = next;
        }
    }

    fn claim(&mut self, now: StoreTime, id: &Id) {
        let (lease, idle) = (self.config.lease_ms, self.config.idle_ms);
        let place = self.place_mut(id);
        let wait = now.since(place.joined_at);
        if let Zone::Held {
            alive_until,
            active_until,
            claim,
            ..
        } = &mut place.zone
        {
            *alive_until = lease.map(|ms| now.plus(ms));
            *active_until = idle.map(|ms| now.plus(ms));
            *claim = Claim::Claimed { wait_ms: wait };
        }
        self.stats.processed += 1;
        self.stats.total_wait_ms = self.stats.total_wait_ms.saturating_add(wait);
        let last = self.stats.wait_histogram.len() - 1;
        let bucket = (0..last).find(|k| wait < 1 << k).unwrap_or(last);
        self.stats.wait_histogram[bucket] += 1;
    }

    fn end(&mut self, now: StoreTime, id: &Id, how: Ended) {
        let until = now.plus(self.config.tombstone_ms);
        self.place_mut(id).zone = Zone::Ended { how, until };
        if self.config.tombstone_ms == 0 {
            self.remove(id);
        }
        self.trim();
    }

    /// Drops the oldest of the ended that are too many to be remembered.
    fn trim(&mut self) {
        while self.count(|z| matches!(z, Zone::Ended { .. }))
            > u64::from(self.config.tombstones_max)
        {
            let oldest = self.ended_places()[0].id.clone();
            self.remove(&oldest);
        }
    }

    fn record_flow(&mut self, now: StoreTime) {
        if let Some(last) = self.last_promotion {
            self.flow.gaps = self.flow.gaps.saturating_add(1);
            let alpha = 1.0 / f64::from(self.flow.gaps.min(16));
            let d = now.since(last) as f64 - self.flow.gap_mean_ms;
            self.flow.gap_mean_ms += alpha * d;
            self.flow.gap_var_ms2 = (1.0 - alpha) * (self.flow.gap_var_ms2 + alpha * (d * d));
        }
        let left = self.count(|z| *z == Zone::Waiting);
        self.last_promotion = (left > 0).then_some(now);
    }

    // ---- looking ------------------------------------------------------------

    fn place(&self, id: &Id) -> Option<&Place<Id>> {
        self.places.iter().find(|p| p.id == *id)
    }

    fn place_mut(&mut self, id: &Id) -> &mut Place<Id> {
        self.places
            .iter_mut()
            .find(|p| p.id == *id)
            .expect("the place exists")
    }

    fn remove(&mut self, id: &Id) -> Option<Place<Id>> {
        let at = self.places.iter().position(|p| p.id == *id)?;
        Some(self.places.remove(at))
    }

    fn count(&self, zone: impl Fn(&Zone) -> bool) -> u64 {
        self.places.iter().filter(|p| zone(&p.zone)).count() as u64
    }

    fn held(&self) -> u64 {
        self.count(|z| matches!(z, Zone::Held { .. }))
    }

    fn owns(&self, now: StoreTime, id: &Id, number: Fence) -> bool {
        self.place(id).is_some_and(|p| {
            matches!(p.zone, Zone::Held { fence, .. } if fence == number)
                && deadline_held(&p.zone).is_none_or(|d| d > now)
        })
    }

    /// The next deadline of a place in line.
    fn due(&self, place: &Place<Id>) -> Option<StoreTime> {
        let wait = self
            .config
            .wait_timeout_ms
            .map(|ms| place.joined_at.plus(ms));
        let abandon = self
            .config
            .presence
            .map(|p| place.heard_at.plus(p.abandon_after_ms));
        let absent = self
            .config
            .presence
            .map(|p| place.heard_at.plus(p.absent_after_ms));
        let absent = absent.filter(|_| place.zone == Zone::Waiting);
        [wait, abandon, absent].into_iter().flatten().min()
    }

    fn first_due(&self) -> Option<(StoreTime, Id)> {
        self.places
            .iter()
            .filter(|p| matches!(p.zone, Zone::Waiting | Zone::Absent))
            .filter_map(|p| Some((self.due(p)?, p.id.clone())))
            .min()
    }

    fn sorted(
        &self,
        zone: impl Fn(&Zone) -> bool,
        key: impl Fn(&Place<Id>) -> (StoreTime, u64, Id),
    ) -> Vec<&Place<Id>> {
        let mut places: Vec<_> = self.places.iter().filter(|p| zone(&p.zone)).collect();
        places.sort_by_key(|p| key(p));
        places
    }
}

/// When a held place ends by itself.
fn deadline_held(zone: &Zone) -> Option<StoreTime> {
    match *zone {
        Zone::Held {
            claim: Claim::Offered { until },
            ..
        } => Some(until),
        Zone::Held {
            alive_until,
            active_until,
            ..
        } => [alive_until, active_until].into_iter().flatten().min(),
        Zone::Ended { .. } | Zone::Waiting | Zone::Absent => None,
    }
}
