//! Somebody who changes capacities while the gate is in use, and whose sweeps
//! stand in for polling clients when there are none left (R1.4, R1.11).

use std::collections::VecDeque;
use std::sync::Arc;

use sluice_core::client::{Input, Output, RequestId};
use sluice_core::redis::Command;
use sluice_core::script;
use sluice_core::time::LocalTime;

use crate::subject::variant::SlotsGate;

/// One change: at this time, which of the gates, to what capacity.
pub type Resize = (LocalTime, usize, u32);

/// Sends whole scripts (EVAL), forgets about replies, and sweeps at intervals.
#[derive(Clone, Debug)]
pub struct Operator {
    gates: Vec<Arc<SlotsGate>>,
    resizes: VecDeque<Resize>,
    sweep_ns: u64,
    sweep_at: LocalTime,
    sent: u64,
    outputs: VecDeque<Output>,
}

impl std::hash::Hash for Operator {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.resizes.hash(state);
        self.sweep_at.hash(state);
    }
}

impl Operator {
    /// An operator of these gates. `resizes` in the order of time.
    #[must_use]
    pub fn new(
        gates: Vec<Arc<SlotsGate>>,
        resizes: impl IntoIterator<Item = Resize>,
        first_sweep: LocalTime,
        sweep_ns: u64,
    ) -> Self {
        Self {
            gates,
            resizes: resizes.into_iter().collect(),
            sweep_ns: sweep_ns.max(1),
            sweep_at: first_sweep,
            sent: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Does what is due.
    pub fn handle(&mut self, now: LocalTime, input: &Input) {
        if !matches!(input, Input::Wake) {
            return;
        }
        while let Some(&(at, gate, capacity)) = self.resizes.front() {
            if at > now {
                break;
            }
            self.resizes.pop_front();
            let gate = self.gates[gate].clone();
            let settings = &gate.settings;
            let command = script::resize(&settings.keys, &settings.config, capacity);
            self.send(&gate, command, &script::RESIZE);
        }
        if self.sweep_at <= now {
            self.sweep_at = LocalTime(now.0.saturating_add(self.sweep_ns));
            for gate in self.gates.clone() {
                let settings = &gate.settings;
                let command = script::sweep(&settings.keys, &settings.config);
                self.send(&gate, command, &script::SWEEP);
            }
        }
    }

    /// The next thing to send.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When it acts next.
    #[must_use]
    pub fn deadline(&self) -> Option<LocalTime> {
        let resize = self.resizes.front().map(|r| r.0);
        Some(resize.map_or(self.sweep_at, |at| at.min(self.sweep_at)))
    }

    fn send(&mut self, gate: &SlotsGate, mut command: Command, script: &'static script::Script) {
        command.args[0] = b"EVAL"[..].into();
        command.args[1] = gate.settings.keys.script(script).text.as_bytes().into();
        self.sent += 1;
        self.outputs.push_back(Output::Send {
            request: RequestId(self.sent),
            command: gate.translate(command),
        });
    }
}
