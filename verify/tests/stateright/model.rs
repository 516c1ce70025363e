//! The race for a slot as a model of its own, for stateright: written from what
//! the gates do, sharing nothing with the simulator.

use stateright::{Model, Property, Representative};

/// How a gate lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Asks how many are inside, and then writes itself in.
    Naive,
    /// One script does both.
    Script,
    /// As naive, but content with one too many: for seeing differences found.
    Sloppy,
}

/// So many clients that try once, for so many slots.
#[derive(Clone, Debug)]
pub(crate) struct Race {
    pub(crate) gate: Gate,
    pub(crate) clients: usize,
    pub(crate) cap: usize,
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stage {
    Asleep,
    Connecting,
    /// Its question is under way.
    Asks,
    /// The answer is: this number.
    Answered(usize),
    /// Its name is under way.
    Writes,
    /// The word that it was written is.
    Written,
    Inside,
    Away,
}

/// Of each client: where it is, and whether it is written in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct State(pub(crate) Vec<(Stage, bool)>);

impl State {
    pub(crate) fn held(&self) -> usize {
        self.0.iter().filter(|(_, held)| *held).count()
    }
}

impl Representative for State {
    /// Clients in order: which is which makes no difference.
    fn representative(&self) -> Self {
        let mut sorted = self.clone();
        sorted.0.sort_unstable();
        sorted
    }
}

impl Race {
    fn next(&self, held: usize, client: (Stage, bool)) -> Option<(Stage, bool)> {
        let (stage, within) = client;
        let free = match self.gate {
            Gate::Sloppy => held <= self.cap,
            Gate::Naive | Gate::Script => held < self.cap,
        };
        let stage = match (stage, self.gate) {
            (Stage::Asleep, _) => Stage::Connecting,
            (Stage::Connecting, _) => Stage::Asks,
            (Stage::Asks, Gate::Script) if free => return Some((Stage::Answered(1), true)),
            (Stage::Asks, Gate::Script) => Stage::Answered(0),
            (Stage::Asks, _) => Stage::Answered(held),
            (Stage::Answered(1), Gate::Script) => Stage::Inside,
            (Stage::Answered(_), Gate::Script) => Stage::Away,
            (Stage::Answered(seen), Gate::Naive) if seen < self.cap => Stage::Writes,
            (Stage::Answered(seen), Gate::Sloppy) if seen <= self.cap => Stage::Writes,
            (Stage::Answered(_), _) => Stage::Away,
            (Stage::Writes, _) => return Some((Stage::Written, true)),
            (Stage::Written, _) => Stage::Inside,
            (Stage::Inside | Stage::Away, _) => return None,
        };
        Some((stage, within))
    }
}

impl Model for Race {
    type State = State;
    type Action = usize;

    fn init_states(&self) -> Vec<State> {
        vec![State(vec![(Stage::Asleep, false); self.clients])]
    }

    fn actions(&self, state: &State, actions: &mut Vec<usize>) {
        let moves = |client: &usize| self.next(state.held(), state.0[*client]).is_some();
        actions.extend((0..self.clients).filter(moves));
    }

    fn next_state(&self, state: &State, client: usize) -> Option<State> {
        let mut next = state.clone();
        next.0[client] = self.next(state.held(), state.0[client])?;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("cap", |race: &Self, state: &State| state.held() <= race.cap),
            // Never met, so that all states are looked at.
            Property::sometimes("nobody", |race: &Self, state: &State| {
                state.0.len() != race.clients
            }),
        ]
    }
}
