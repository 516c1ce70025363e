//! A log as a wish: followed as far as the run allows.
//!
//! A [`Replay`](super::Replay) repeats a run to the letter, and is lost at the
//! first question that was not asked then. What is left of a log after
//! shrinking, or after the code under test has changed, needs more forgiveness:
//!
//! * *Order of events*: the enabled event that the log names first is next.
//!   Where it names none, whoever did something last goes on; else the first
//!   that lets no time pass; else the first. So an empty log is a run without
//!   preemption, and every event in a log is one that has to come early.
//! * *Faults* strike after the event that they followed (or that an
//!   [`After`](Decision::After) names), and nowhere else; their targets and
//!   magnitudes go by what they are about, not by how many came before.
//! * *Numbers* go by label; what the log does not say is 0, a duration its mean,
//!   and the next fault never.
//!
//! What the log names and the run never asks for is [unmet](Follow::unmet).

use std::collections::BTreeMap;

use crate::choice::{Chooser, Events, Kind, Label};
use crate::dist::Dist;
use crate::log::Decision;

/// The strategy. See the module.
#[derive(Clone, Debug)]
pub struct Follow {
    decisions: Vec<Decision>,
    met: Vec<bool>,
    /// Events, with their place in the log.
    events: BTreeMap<Label, usize>,
    /// Faults: where in the log, and after which event (`None`: at the start).
    faults: Vec<(usize, Option<Label>)>,
    /// What faults strike.
    targets: Vec<usize>,
    /// Numbers, by what they are about.
    draws: BTreeMap<(Kind, u16, u16), Vec<usize>>,
    last: Option<Label>,
}

/// What a decision is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The next event.
    Event,
    /// A fault strikes.
    Fault,
    /// No fault strikes.
    NoFault,
    /// What it strikes.
    Target,
    /// A number.
    Number,
    /// A place.
    Place,
}

impl Decision {
    /// What it is about.
    #[must_use]
    pub const fn role(&self) -> Role {
        let label = match self {
            Self::Draw(..) => return Role::Number,
            Self::After(_) => return Role::Place,
            Self::Pick(label) => label,
        };
        match label.kind {
            Kind::Next => Role::NoFault,
            Kind::Cut
            | Kind::Stall
            | Kind::Partition
            | Kind::Refuse
            | Kind::Crash
            | Kind::Pause
            | Kind::ClockStep
            | Kind::ServerClockStep
            | Kind::ScriptFlush
            | Kind::ServerRestart
            | Kind::ServerWipe
            | Kind::ServerFailover
            | Kind::ServerSplit
            | Kind::ServerErrors
            | Kind::Eviction
            | Kind::PowerLoss => {
                if label.host == Label::SERVER {
                    Role::Fault
                } else {
                    Role::Target
                }
            }
            Kind::Connect
            | Kind::Execute
            | Kind::HangUp
            | Kind::Deliver
            | Kind::Loss
            | Kind::Publish
            | Kind::Wake
            | Kind::Act
            | Kind::Delay
            | Kind::Fault
            | Kind::Mend
            | Kind::Restart
            | Kind::Resume
            | Kind::Replicate
            | Kind::ServerStart
            | Kind::Heal
            | Kind::Setup => Role::Event,
        }
    }
}

impl Follow {
    /// Follows this log.
    #[must_use]
    pub fn new(decisions: Vec<Decision>) -> Self {
        let mut follow = Self {
            met: vec![false; decisions.len()],
            events: BTreeMap::new(),
            faults: Vec::new(),
            targets: Vec::new(),
            draws: BTreeMap::new(),
            last: None,
            decisions,
        };
        let mut place = None;
        for (at, decision) in follow.decisions.iter().enumerate() {
            match (*decision, decision.role()) {
                (Decision::Pick(label), Role::Event) => {
                    follow.events.entry(label).or_insert(at);
                    place = Some(label);
                }
                (Decision::After(label), _) => {
                    place = Some(label);
                    follow.met[at] = true;
                }
                (_, Role::Fault) => follow.faults.push((at, place)),
                (_, Role::Target) => follow.targets.push(at),
                (Decision::Draw(label, _), _) => {
                    let about = (label.kind, label.host, label.actor);
                    follow.draws.entry(about).or_default().push(at);
                }
                (Decision::Pick(_), _) => follow.met[at] = true,
            }
        }
        follow
    }

    /// The first decision of the log that the run never asked for: its place,
    /// from 0, and what it says.
    #[must_use]
    pub fn unmet(&self) -> Option<(usize, Decision)> {
        let at = self.met.iter().position(|met| !met)?;
        Some((at, self.decisions[at]))
    }

    /// The answer to a question about a number.
    fn number(&mut self, what: Label) -> Option<u64> {
        let list = self.draws.get_mut(&(what.kind, what.host, what.actor))?;
        let value = |at: usize| match self.decisions[at] {
            Decision::Draw(label, value) => (label.occurrence, value),
            Decision::Pick(_) | Decision::After(_) => unreachable!("only numbers are listed"),
        };
        let exact = list
            .iter()
            .position(|at| value(*at).0 == what.occurrence)
            // A fault is counted among its kind, and others may be gone.
            .or_else(|| {
                let counted = !matches!(what.kind, Kind::Delay | Kind::Setup);
                (counted && !list.is_empty()).then_some(0)
            })?;
        let at = list.remove(exact);
        self.met[at] = true;
        Some(value(at).1)
    }
}

impl Chooser for Follow {
    /// What a fault strikes.
    fn pick(&mut self, options: &[Label]) -> usize {
        let about = |l: &Label| (l.kind, l.host, l.actor);
        let wanted = |at: &usize, exact: bool| match self.decisions[*at] {
            Decision::Pick(label) => options
                .iter()
                .position(|option| *option == label || (!exact && about(option) == about(&label))),
            Decision::Draw(..) | Decision::After(_) => None,
        };
        for exact in [true, false] {
            let found = self.targets.iter().enumerate();
            let found = found.filter_map(|(i, at)| Some((i, *at, wanted(at, exact)?)));
            if let Some((i, at, option)) = found.min_by_key(|(i, ..)| *i) {
                self.targets.remove(i);
                self.met[at] = true;
                return option;
            }
        }
        0
    }

    fn pick_event(&mut self, events: &dyn Events) -> usize {
        let named = (0..events.count())
            .filter_map(|i| Some((*self.events.get(&events.label(i))?, i)))
            .min();
        let picked = match named {
            Some((at, i)) => {
                self.met[at] = true;
                i
            }
            None => {
                let last = self.last.map(|l| (l.host, l.actor));
                let goes_on = |i: &usize| {
                    let label = events.label(*i);
                    Some((label.host, label.actor)) == last
                };
                let timeless = || (0..events.count()).filter(|i| !events.touch(*i).everything);
                let same = timeless().find(goes_on);
                same.or_else(|| timeless().next()).unwrap_or(0)
            }
        };
        self.last = Some(events.label(picked));
        picked
    }

    fn weigh(&mut self, options: &[Label], weights: &[u32]) -> usize {
        let none = weights[0] > 0;
        let next = self
            .faults
            .iter()
            .position(|(_, after)| !none || *after == self.last);
        let Some(i) = next else {
            return weights.iter().position(|w| *w > 0).unwrap_or(0);
        };
        let (at, _) = self.faults.remove(i);
        let kind = match self.decisions[at] {
            Decision::Pick(label) => Some(label.kind),
            Decision::Draw(..) | Decision::After(_) => None,
        };
        let option = (0..options.len()).find(|o| Some(options[*o].kind) == kind && weights[*o] > 0);
        match option {
            Some(option) => {
                self.met[at] = true;
                option
            }
            None => weights.iter().position(|w| *w > 0).unwrap_or(0),
        }
    }

    fn draw(&mut self, what: Label, bound: u64) -> u64 {
        self.number(what).unwrap_or(0).min(bound - 1)
    }

    fn sample(&mut self, what: Label, dist: Dist) -> u64 {
        self.number(what).unwrap_or_else(|| {
            if what.host == Label::SERVER {
                u64::MAX / 2 // the next fault
            } else {
                dist.mean()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Touch;

    const fn event(kind: Kind, actor: u16, n: u32) -> Label {
        Label::new(kind, 0, actor, n)
    }

    /// Events that touch nothing.
    fn local(labels: &[Label]) -> impl Events {
        (labels, |_| Touch::default())
    }

    #[test]
    fn named_events_come_first_and_then_nobody_is_preempted() {
        let (a, b) = (event(Kind::Execute, 0, 1), event(Kind::Execute, 1, 1));
        let next = event(Kind::Deliver, 1, 1);
        let mut follow = Follow::new(vec![Decision::Pick(b)]);
        assert_eq!(follow.pick_event(&local(&[a, b])), 1);
        assert_eq!(follow.pick_event(&local(&[a, next])), 1, "it goes on");
        assert_eq!(follow.pick_event(&local(&[a])), 0);
        assert_eq!(follow.unmet(), None);
        let leap = |i: usize| [Touch::EVERYTHING, Touch::default()][i];
        let mut empty = Follow::new(Vec::new());
        assert_eq!(empty.pick_event(&(&[a, b][..], leap)), 1, "no time passes");
    }

    #[test]
    fn faults_strike_where_they_did_and_what_they_did() {
        let crash = |n| Label::new(Kind::Crash, Label::SERVER, 0, n);
        let none = Label::new(Kind::Next, Label::SERVER, 0, 0);
        let (a, b) = (event(Kind::Execute, 0, 1), event(Kind::Execute, 0, 2));
        let victim = |n| Label::new(Kind::Crash, 7, 0, n);
        let log = vec![
            Decision::After(a),
            Decision::Pick(crash(3)),
            Decision::Pick(victim(3)),
            Decision::Draw(victim(3), 5),
        ];
        let mut follow = Follow::new(log);
        let ask = |follow: &mut Follow| follow.weigh(&[none, crash(0)], &[9, 1]);
        assert_eq!(ask(&mut follow), 0);
        follow.pick_event(&local(&[a]));
        assert_eq!(ask(&mut follow), 1);
        let hosts = [Label::new(Kind::Crash, 2, 0, 0), victim(0)];
        assert_eq!(follow.pick(&hosts), 1, "by host, not by count");
        assert_eq!(follow.draw(victim(0), 100), 5);
        assert_eq!(follow.draw(victim(0), 100), 0);
        assert_eq!(ask(&mut follow), 0, "once");
        follow.pick_event(&local(&[b]));
        assert_eq!((ask(&mut follow), follow.unmet()), (0, None));
    }

    #[test]
    fn what_never_comes_up_is_unmet() {
        let (a, b) = (event(Kind::Execute, 0, 1), event(Kind::Execute, 1, 1));
        let mut follow = Follow::new(vec![Decision::Pick(a), Decision::Pick(b)]);
        follow.pick_event(&local(&[a]));
        assert_eq!(follow.unmet(), Some((1, Decision::Pick(b))));
    }
}
