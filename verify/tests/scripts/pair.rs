//! The agreement: plans run on the scripts and on `Slots`, side by side.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use libtest_mimic::Failed;
use proptest::prelude::*;
use proptest::test_runner::{Config as Proptest, RngAlgorithm, TestRng, TestRunner};
use sluice_core::redis::{Command, Reply as RedisReply};
use sluice_core::script::{self, GateKeys};
use sluice_core::slots::{Config, Event, Fence, Reply, Slots};
use sluice_core::time::StoreTime;

use crate::backend::Backend;
use crate::header::Header;
use crate::plan::{Op, Plans, config, name, op, priority};
use crate::seen::{Seen, kept};

/// Runs random plans on both sides.
pub(crate) fn agree(
    backend: &mut dyn Backend,
    prefix: &str,
    plans: Plans,
) -> Result<Words, Failed> {
    let Plans {
        cases,
        unit_ms: unit,
        retain_ms,
    } = plans;
    for script in script::ALL {
        let (loaded, ..) = backend.call(&script::load(script))?;
        if loaded.as_bytes() != Some(script.sha1.as_bytes()) {
            return Err(format!("{}: SCRIPT LOAD answered {loaded:?}", script.name).into());
        }
    }
    // Fixed, so that a failure comes again; the plans shrink.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let settings = Proptest {
        cases,
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Proptest::default()
    };
    let mut runner = TestRunner::new_with_rng(settings, rng);
    let strategy = (config(unit), prop::collection::vec(op(), 1..60));
    let (backend, runs, words) = (RefCell::new(backend), Cell::new(0), RefCell::default());
    let result = runner.run(&strategy, |(config, ops)| {
        runs.set(runs.get() + 1);
        let gate = GateKeys::new(prefix, &format!("run-{}", runs.get())).expect("a good name");
        let mut pair = Pair {
            backend: &mut **backend.borrow_mut(),
            gate: gate.retain(retain_ms),
            config,
            slots: Vec::new(),
            retain_ms: (retain_ms > 0 && config.lease_ms.is_some()).then_some(retain_ms),
            words: &words,
        };
        pair.backend
            .listen(&pair.gate.wake_channel())
            .map_err(|e| TestCaseError::fail(e.message().unwrap_or("failed").to_owned()))?;
        for (step, &op) in ops.iter().enumerate() {
            pair.step(op, unit).map_err(|e| {
                TestCaseError::fail(format!(
                    "step {step}, {op:?}: {}",
                    e.message().unwrap_or("failed")
                ))
            })?;
        }
        Ok(())
    });
    result.map_err(|e| Failed::from(e.to_string()))?;
    Ok(words.into_inner())
}

/// The scripts and the machine, side by side.
struct Pair<'a> {
    backend: &'a mut dyn Backend,
    gate: GateKeys,
    config: Config,
    /// How long the keys are to be kept, if not for ever.
    retain_ms: Option<u64>,
    /// Each agrees with everything seen so far. More than one only when a
    /// millisecond turned around a call and nothing has told them apart yet.
    slots: Vec<Slots<Vec<u8>>>,
    words: &'a RefCell<Words>,
}

/// Replies seen: script, first word.
pub(crate) type Words = BTreeSet<(&'static str, &'static str)>;

impl Pair<'_> {
    fn step(&mut self, op: Op, unit: u64) -> Result<(), Failed> {
        let command = match op {
            Op::Advance(steps) => {
                self.backend.advance(steps * unit);
                return Ok(());
            }
            op => self.command(op, self.fence(op)),
        };
        let fence = self.fence(op);
        let (reply, from, to) = self.backend.call(&command)?;
        let lua = script::decode(&reply)?;
        self.note(&command, &reply)?;
        let woken = self.backend.messages()?;
        let seen = self.look()?;
        kept(self.backend, &self.gate, self.retain_ms)?;
        let mut differences = String::new();
        let mut candidates = Vec::new();
        for now in (from..=to).map(StoreTime) {
            if self.slots.is_empty() {
                candidates.push((now, Slots::new(self.config, now.0 * 1000)?));
            }
            candidates.extend(self.slots.iter().map(|slots| (now, slots.clone())));
        }
        let mut agreeing = Vec::new();
        for (now, mut slots) in candidates {
            let ours = apply(&mut slots, now, op, fence)?;
            slots.check();
            let expected = Seen::of(&slots);
            let wakes = wakes(&mut slots);
            if ours == lua && expected == seen && wakes == woken {
                agreeing.push(slots);
                continue;
            }
            differences += &format!("\nat {now:?}:\n slots {ours:?}\n   lua {lua:?}");
            if wakes != woken {
                differences += &format!("\n slots wake {wakes:?}\n   lua wakes {woken:?}");
            }
            if expected != seen {
                differences += &format!("\n slots {expected:?}\n   lua {seen:?}");
            }
        }
        agreeing.truncate(64);
        self.slots = agreeing;
        if !self.slots.is_empty() {
            return Ok(());
        }
        Err(differences.into())
    }

    /// Notes the reply's first word, which must be in the script's header.
    fn note(&mut self, command: &Command, reply: &RedisReply) -> Result<(), Failed> {
        let script = script::ALL
            .into_iter()
            .find(|s| command.args[1][..] == *s.sha1.as_bytes());
        let script = script.ok_or("a command of no script")?;
        let mut words = reply
            .as_bytes()
            .unwrap_or_default()
            .split(|&byte| byte == b' ');
        let first = words.next().unwrap_or_default();
        let header = Header::of(script)?.words;
        let known = header.iter().find(|word| word.as_bytes() == first);
        let known =
            known.ok_or_else(|| format!("{}: {reply:?} is not among {header:?}", script.name))?;
        self.words.borrow_mut().insert((script.name, *known));
        Ok(())
    }

    fn command(&self, op: Op, fence: Fence) -> Command {
        let (gate, config) = (&self.gate, &self.config);
        match op {
            Op::Acquire {
                id,
                nonce,
                class,
                wait,
            } => script::acquire(gate, config, &name(id), nonce, priority(class), wait),
            Op::Poll { id, nonce } => script::poll(gate, config, &name(id), nonce),
            Op::Renew { id, touch, .. } => script::renew(gate, config, &name(id), fence, touch),
            Op::Release { id, .. } => script::release(gate, config, &name(id), fence),
            Op::Cancel { id, nonce } => script::cancel(gate, config, &name(id), nonce),
            Op::Resize(capacity) => script::resize(gate, config, capacity),
            Op::Sweep => script::sweep(gate, config),
            Op::Advance(_) => unreachable!("time passes without a command"),
        }
    }

    /// The fencing number under which the caller holds its slot, or a wrong one.
    fn fence(&self, op: Op) -> Fence {
        let (Op::Renew { id, right, .. } | Op::Release { id, right }) = op else {
            return 0;
        };
        let mut held = self.slots.first().into_iter().flat_map(Slots::held);
        match held.find(|held| *held.id == name(id)) {
            Some(held) if right => held.fence,
            Some(held) => held.fence - 1,
            None => 1,
        }
    }

    fn look(&mut self) -> Result<Seen, Failed> {
        let command = script::status(&self.gate, &self.config);
        let (status, ..) = self.backend.call(&command)?;
        self.note(&command, &status)?;
        Seen::look(self.backend, &self.gate, &status)
    }
}

fn apply(
    slots: &mut Slots<Vec<u8>>,
    now: StoreTime,
    op: Op,
    fence: Fence,
) -> Result<Reply, Failed> {
    Ok(match op {
        Op::Acquire {
            id,
            nonce,
            class,
            wait,
        } => slots.acquire(now, name(id), nonce, priority(class), wait),
        Op::Poll { id, nonce } => slots.poll(now, &name(id), nonce),
        Op::Renew { id, touch, .. } => slots.renew(now, &name(id), fence, touch),
        Op::Release { id, .. } => slots.release(now, &name(id), fence),
        Op::Cancel { id, nonce } => slots.cancel(now, &name(id), nonce),
        Op::Resize(capacity) => slots.resize(now, capacity)?,
        Op::Sweep => slots.sweep(now),
        Op::Advance(_) => unreachable!("time passes without an operation"),
    })
}

/// Who is to be woken, in order: the events that Redis publishes.
fn wakes(slots: &mut Slots<Vec<u8>>) -> Vec<Vec<u8>> {
    let events = std::iter::from_fn(|| slots.poll_event());
    let woken = events.filter_map(|event| match event {
        Event::Granted { id, .. } => Some(id),
        Event::Ended { .. } => None,
    });
    woken.collect()
}
