//! One user: arrives, acquires a session, runs queries inside it, leaves.

use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;

use sluice_core::client::{Ask, Event, Likeness};
use sluice_core::slots::{Ended, Fence};
use sluice_core::time::LocalTime;

use crate::subject::gate::Level;

/// What a user means to do. Drawn when the scenario is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// When it arrives, by its host's clock.
    pub arrive: LocalTime,
    /// How often it comes.
    pub rounds: u32,
    /// Pause between two visits.
    pub gap_ns: u64,
    /// It cancels when it has waited so long.
    pub patience_ns: Option<u64>,
    /// It does not want to wait at all.
    pub hasty: bool,
    /// Queries in each session.
    pub queries: u32,
    /// Time before each query.
    pub think_ns: u64,
    /// Time each query is at work.
    pub work_ns: u64,
    /// A session lasts at least this long.
    pub stay_ns: u64,
    /// Nobody leaves before this time (bursts hold until they are measured).
    pub hold_until: LocalTime,
    /// After a crash it comes back under another id.
    pub renamed: bool,
}

/// Where a user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Not here yet, or between two visits.
    Away,
    /// Asked for a session.
    Joining,
    /// In its session.
    Inside,
    /// Asked to be out.
    Leaving,
    /// Through with everything.
    Done,
}

/// Where its query is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryStage {
    /// There is none.
    None,
    /// Asked for a query slot.
    Joining,
    /// At work, with this fencing number.
    Working(Fence),
    /// Asked to be out.
    Leaving,
}

/// How a user's asks ended. Each acquire ends in exactly one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tally {
    /// Acquires asked, at both levels.
    pub asked: u64,
    /// Of these: granted.
    pub granted: u64,
    /// Rejected, as full or busy.
    pub rejected: u64,
    /// Cancelled by the user.
    pub cancelled: u64,
    /// Ended by the gate while waiting.
    pub ended: u64,
    /// Given up by the client for a reason that cannot be mended.
    pub fatal: u64,
    /// The process died before the answer.
    pub crashed: u64,
}

impl Tally {
    /// Asks that are not answered yet.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.asked
            - (self.granted
                + self.rejected
                + self.cancelled
                + self.ended
                + self.fatal
                + self.crashed)
    }
}

/// A user, without its clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct User {
    /// Its number in the whole scenario.
    pub number: u16,
    /// What it means to do. Never changes, and is copied with every fork.
    pub plan: Rc<Plan>,
    /// Where it is.
    pub stage: Stage,
    /// Where its query is.
    pub query: QueryStage,
    /// How its asks ended.
    pub tally: Tally,
    /// Its last session acquire ended by its own cancellation.
    pub cancelled: bool,
    at: Option<LocalTime>,
    rounds_left: u32,
    queries_left: u32,
    leave: LocalTime,
    session_over: bool,
    pending: [bool; 2],
    lives: u32,
    id: Arc<str>,
}

impl User {
    /// A user that has not arrived.
    #[must_use]
    pub fn new(number: u16, plan: Plan) -> Self {
        Self {
            number,
            stage: Stage::Away,
            query: QueryStage::None,
            tally: Tally::default(),
            cancelled: false,
            at: Some(plan.arrive),
            rounds_left: plan.rounds,
            queries_left: 0,
            leave: plan.arrive,
            plan: Rc::new(plan),
            session_over: false,
            pending: [false; 2],
            lives: 0,
            id: format!("u{number}").into(),
        }
    }

    /// Its id at the gates.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When it acts next by itself.
    #[must_use]
    pub const fn at(&self) -> Option<LocalTime> {
        self.at
    }

    /// Feeds what its further behaviour depends on, with points in time relative
    /// to `now`; what it has counted is left out, and its number, which its id
    /// says too.
    pub fn identity<H: Likeness>(&self, now: LocalTime, state: &mut H) {
        // Who is not inside has yet to be told when to leave.
        let leave = (self.stage == Stage::Inside).then_some(self.leave);
        for at in [self.at, leave] {
            // What has passed has passed, however long ago.
            let ahead = at.map(|at| at.max(now).relative_to(now));
            ahead.is_some().hash(state);
            ahead.into_iter().for_each(|ns| state.deadline(ns));
        }
        (&self.id, &self.plan, self.stage, self.query, self.cancelled).hash(state);
        (self.rounds_left, self.queries_left, self.session_over).hash(state);
        let lives = self.plan.renamed.then_some(self.lives);
        (self.pending, lives).hash(state);
    }

    /// Acts, if its time has come.
    pub fn act(&mut self, now: LocalTime, queries: bool) -> Option<(Level, Ask)> {
        if self.at.is_none_or(|at| at > now) {
            return None;
        }
        self.at = None;
        match (self.stage, self.query) {
            (Stage::Away, _) => {
                self.stage = Stage::Joining;
                self.cancelled = false;
                self.session_over = false;
                self.queries_left = if queries { self.plan.queries } else { 0 };
                self.at = self.plan.patience_ns.map(|ns| plus(now, ns));
                self.asks(Level::Sessions);
                let hasty = self.plan.hasty;
                let ask = if hasty { Ask::TryAcquire } else { Ask::Acquire };
                Some((Level::Sessions, ask))
            }
            (Stage::Joining, _) => {
                self.stage = Stage::Leaving;
                self.cancelled = true;
                Some((Level::Sessions, Ask::Cancel))
            }
            (Stage::Inside, QueryStage::None) if self.queries_left > 0 => {
                self.query = QueryStage::Joining;
                self.asks(Level::Queries);
                Some((Level::Queries, Ask::Acquire))
            }
            (Stage::Inside | Stage::Leaving, QueryStage::Working(_)) => {
                self.query = QueryStage::Leaving;
                Some((Level::Queries, Ask::Release))
            }
            (Stage::Inside, QueryStage::None) if now >= self.leave => {
                self.stage = Stage::Leaving;
                Some((Level::Sessions, Ask::Release))
            }
            (Stage::Inside, QueryStage::None) => {
                self.at = Some(self.leave);
                None
            }
            (Stage::Inside, QueryStage::Joining | QueryStage::Leaving)
            | (Stage::Leaving | Stage::Done, _) => None,
        }
    }

    /// Hears from one of its clients; may ask something in return.
    pub fn told(&mut self, now: LocalTime, level: Level, event: &Event) -> Option<(Level, Ask)> {
        let joining = match level {
            Level::Sessions => self.stage == Stage::Joining,
            Level::Queries => self.query == QueryStage::Joining,
        };
        // The end of an earlier visit or query: no answer to having asked to join.
        if joining && matches!(event, Event::Released | Event::Cancelled) {
            return None;
        }
        self.count(level, event);
        match level {
            Level::Sessions => self.told_session(now, event),
            Level::Queries => {
                self.told_query(now, event);
                None
            }
        }
    }

    fn told_session(&mut self, now: LocalTime, event: &Event) -> Option<(Level, Ask)> {
        match event {
            Event::Granted { .. } if self.stage == Stage::Joining => {
                self.stage = Stage::Inside;
                self.leave = plus(now, self.plan.stay_ns).max(self.plan.hold_until);
                self.at = Some(plus(now, self.plan.think_ns));
            }
            Event::Rejected(_)
            | Event::Ended(_)
            | Event::Released
            | Event::Cancelled
            | Event::Fatal(_)
                if self.stage != Stage::Away && self.stage != Stage::Done =>
            {
                self.stage = Stage::Leaving;
                self.session_over = true;
                self.at = None;
                match self.query {
                    QueryStage::None => self.next_round(now),
                    QueryStage::Joining | QueryStage::Working(_) => {
                        self.query = QueryStage::Leaving;
                        return Some((Level::Queries, Ask::Cancel));
                    }
                    QueryStage::Leaving => {}
                }
            }
            Event::Granted { .. }
            | Event::Waiting { .. }
            | Event::Trouble(_)
            | Event::Rejected(_)
            | Event::Ended(_)
            | Event::Released
            | Event::Cancelled
            | Event::Fatal(_) => {}
        }
        None
    }

    fn told_query(&mut self, now: LocalTime, event: &Event) {
        match event {
            Event::Granted { fence, .. } if self.query == QueryStage::Joining => {
                self.query = QueryStage::Working(*fence);
                self.at = Some(plus(now, self.plan.work_ns));
            }
            Event::Rejected(_)
            | Event::Ended(_)
            | Event::Released
            | Event::Cancelled
            | Event::Fatal(_)
                if self.query != QueryStage::None =>
            {
                self.query = QueryStage::None;
                self.queries_left = self.queries_left.saturating_sub(1);
                if self.session_over {
                    self.next_round(now);
                } else if self.stage == Stage::Inside {
                    self.at = Some(plus(now, self.plan.think_ns));
                }
            }
            Event::Granted { .. }
            | Event::Waiting { .. }
            | Event::Trouble(_)
            | Event::Rejected(_)
            | Event::Ended(_)
            | Event::Released
            | Event::Cancelled
            | Event::Fatal(_) => {}
        }
    }

    /// Its process died: it begins anew, with what rounds it had left.
    pub fn restart(&mut self, now: LocalTime) {
        self.lives += 1;
        if self.plan.renamed {
            self.id = format!("u{}r{}", self.number, self.lives).into();
        }
        for pending in &mut self.pending {
            if *pending {
                self.tally.crashed += 1;
                *pending = false;
            }
        }
        self.query = QueryStage::None;
        if self.stage != Stage::Done {
            self.stage = Stage::Away;
            self.at = Some(plus(now, self.plan.gap_ns).max(self.plan.arrive));
        }
    }

    fn next_round(&mut self, now: LocalTime) {
        self.rounds_left = self.rounds_left.saturating_sub(1);
        if self.rounds_left == 0 {
            self.stage = Stage::Done;
            self.at = None;
        } else {
            self.stage = Stage::Away;
            self.at = Some(plus(now, self.plan.gap_ns));
        }
    }

    fn asks(&mut self, level: Level) {
        self.tally.asked += 1;
        self.pending[level as usize] = true;
    }

    /// The first final answer to an ask closes it.
    fn count(&mut self, level: Level, event: &Event) {
        if !self.pending[level as usize] {
            return;
        }
        let tally = &mut self.tally;
        match event {
            Event::Granted { .. } => tally.granted += 1,
            Event::Rejected(_) => tally.rejected += 1,
            Event::Cancelled => tally.cancelled += 1,
            Event::Ended(Ended::Cancelled) => tally.cancelled += 1,
            Event::Ended(_) => tally.ended += 1,
            Event::Fatal(_) => tally.fatal += 1,
            Event::Waiting { .. } | Event::Trouble(_) | Event::Released => return,
        }
        self.pending[level as usize] = false;
    }
}

fn plus(at: LocalTime, ns: u64) -> LocalTime {
    LocalTime(at.0.saturating_add(ns))
}
