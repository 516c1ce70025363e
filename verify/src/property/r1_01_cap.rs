//! R1.1, R3.1, R3.2 · Cap: no grant is made while the number held is at or
//! above the capacity.
//!
//! Three readings. (s), what the store has granted, is unconditional. (b), what
//! holders believe by their own clocks, is judged for attempts during which
//! clocks keep to their bounds and the store keeps its data. (e), what a resource
//! that checks fencing numbers lets happen, needs no bounds. A capacity may shrink below
//! what is held (R1.11), so it is a *rise* above the capacity that breaks it.

use sluice_core::slots::Fence;

use super::moment::name;
use super::{Broken, Code, Meaning, Moment, Property};
use crate::subject::gate::Level;

/// (s)
pub(super) struct Store {
    code: Code,
    only: Option<Level>,
    premises: u64,
}

impl Store {
    pub(super) const fn all_gates() -> Self {
        Self {
            code: Code("R1.1"),
            only: None,
            premises: 0,
        }
    }

    pub(super) const fn sessions() -> Self {
        Self {
            code: Code("R3.2"),
            only: Some(Level::Sessions),
            premises: 0,
        }
    }
}

impl Property for Store {
    fn code(&self) -> Code {
        self.code
    }

    fn meaning(&self) -> Option<Meaning> {
        Some(Meaning::Store)
    }

    fn title(&self) -> &'static str {
        match self.only {
            Some(_) => "at most so many sessions are active",
            None => "no grant at or above the capacity",
        }
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        for gate in moment.gates {
            if gate.operation.is_none() || self.only.is_some_and(|level| level != gate.level) {
                continue;
            }
            let (held, capacity) = (gate.after.held.len(), gate.after.capacity as usize);
            if held >= capacity {
                self.premises += 1; // full, and somebody calls
            }
            if held > capacity
                && let Some(place) = gate.granted().last()
            {
                let words = format!(
                    "{} was granted a slot though all {capacity} {} were held: {held} now",
                    name(place),
                    gate.level.name()
                );
                return Err(Broken::at(gate.level, words));
            }
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}

/// (b)
pub(super) struct Belief {
    code: Code,
    only: Option<Level>,
    premises: u64,
}

impl Belief {
    const fn new(code: Code, only: Option<Level>) -> Self {
        Self {
            code,
            only,
            premises: 0,
        }
    }

    pub(super) const fn all_gates() -> Self {
        Self::new(Code("R1.1"), None)
    }

    pub(super) const fn queries() -> Self {
        Self::new(Code("R3.1"), Some(Level::Queries))
    }
}

impl Property for Belief {
    fn code(&self) -> Code {
        self.code
    }

    fn meaning(&self) -> Option<Meaning> {
        Some(Meaning::Belief)
    }

    fn title(&self) -> &'static str {
        match self.only {
            Some(_) => "at most so many queries at work, all processes together",
            None => "no more believe to hold than there are slots",
        }
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        if !moment.begins() {
            return Ok(());
        }
        for gate in moment.gates {
            if self.only.is_some_and(|level| level != gate.level) {
                continue;
            }
            let capacity = gate.after.capacity as usize;
            let believers = moment.believers(gate.level).iter();
            let full = believers.filter(|b| b.in_bounds).count() >= capacity;
            self.premises += u64::from(full);
            // That each of them is held is R1.8's to see.
            if let Some(crowd) = moment.crowd(gate) {
                let count = crowd.len();
                let who: Vec<&str> = crowd.iter().take(12).map(|b| b.user.id()).collect();
                let words = format!(
                    "{count} believe to be among the {capacity} {}: {}{}",
                    gate.level.name(),
                    who.join(" "),
                    if count > 12 { " …" } else { "" }
                );
                return Err(Broken::at(gate.level, words));
            }
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}

/// (e): the resource keeps at most `capacity` users at work. One more than that
/// with a greater fencing number drives out the one with the least; one with a
/// number no greater than any driven out is refused.
#[derive(Default)]
pub(super) struct Effects {
    resources: [Resource; 2],
    premises: u64,
    /// The store has lost its numbers after its clock went back: it may come by
    /// the same ones again, unless it is guarded, which R1.7 sees to.
    numbers_recur: bool,
}

#[derive(Default)]
struct Resource {
    open: Vec<(u16, Fence)>,
    refused: Vec<(u16, Fence)>,
    floor: Fence,
}

impl Property for Effects {
    fn code(&self) -> Code {
        Code("R1.1")
    }

    fn meaning(&self) -> Option<Meaning> {
        Some(Meaning::Effects)
    }

    fn title(&self) -> &'static str {
        "a resource that checks fencing numbers serves no more than the capacity"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        self.numbers_recur |= moment.bounds.clock_went_back() && moment.loses_data();
        if !moment.begins() {
            return Ok(());
        }
        for gate in moment.gates {
            let capacity = gate.after.capacity as usize;
            let resource = &mut self.resources[gate.level as usize];
            let acting = moment.acting(gate.level);
            resource.open.retain(|user| acting.contains(user));
            resource.refused.retain(|user| acting.contains(user));
            for &(user, fence) in acting {
                let entry = (user, fence);
                if resource.open.contains(&entry) || resource.refused.contains(&entry) {
                    continue;
                }
                self.premises += 1;
                let twin = resource.open.iter().find(|o| fence > 0 && o.1 == fence);
                if let Some((other, _)) = twin.filter(|_| !self.numbers_recur) {
                    let words =
                        format!("u{user} and u{other} both act under fencing number {fence}");
                    return Err(Broken::at(gate.level, words));
                }
                resource.start(entry, capacity);
                if resource.open.len() > capacity && resource.open.last() == Some(&entry) {
                    let words = format!(
                        "u{user} is served beside {capacity} others, and the resource cannot tell: \
                         it was shown no fencing number"
                    );
                    return Err(Broken::at(gate.level, words));
                }
            }
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}

impl Resource {
    fn start(&mut self, entry: (u16, Fence), capacity: usize) {
        let fence = entry.1;
        if fence > 0 && fence <= self.floor {
            self.refused.push(entry);
            return;
        }
        while fence > 0 && self.open.len() >= capacity {
            let least = self.open.iter().copied().min_by_key(|o| o.1);
            match least {
                Some(least) if least.1 < fence => {
                    self.floor = self.floor.max(least.1);
                    self.open.retain(|o| *o != least);
                    self.refused.push(least);
                }
                Some(_) | None => {
                    self.refused.push(entry);
                    return;
                }
            }
        }
        self.open.push(entry);
    }
}
