//! The world, tried with a store of a few lines and programs that do as told.

mod connections;
mod exhaustive;
mod hosts;
mod redis;
mod runs;

use std::collections::VecDeque;

use sluice_core::client::{Conn, Failure, Input, Output, RequestId};
use sluice_core::redis::{Bytes, Command, Reply};
use sluice_core::time::LocalTime;

use super::*;
use crate::choice::{Kind, Touch};
use crate::store::{Names, SessionId};

pub(super) const MS: u64 = 1_000_000;

/// `ADD word` appends to a list, `PUBLISH word` sends to all subscribers,
/// `LOAD` and `RUN` are a script cache of one script, `TIME` is the clock.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Tiny {
    pub(super) list: Vec<String>,
    /// Says of its commands that they touch nothing.
    pub(super) denies: bool,
    loaded: bool,
    subscribers: Vec<SessionId>,
    pushes: VecDeque<(SessionId, Reply)>,
}

impl Store for Tiny {
    type Engine = ();

    fn execute(&mut self, (): &(), now_us: u64, session: SessionId, command: &Command) -> Reply {
        let word = command.args.get(1).cloned().unwrap_or_default();
        match command.name() {
            b"ADD" => {
                self.list.push(String::from_utf8_lossy(&word).into());
                Reply::Int(self.list.len() as i64)
            }
            b"LEN" => Reply::Int(self.list.len() as i64),
            b"SUBSCRIBE" => {
                self.subscribers.push(session);
                Reply::Array(vec![
                    Reply::bulk("subscribe"),
                    Reply::Bulk(word),
                    Reply::Int(1),
                ])
            }
            b"PUBLISH" => {
                for to in &self.subscribers {
                    let message = vec![
                        Reply::bulk("message"),
                        Reply::bulk("c"),
                        Reply::Bulk(word.clone()),
                    ];
                    self.pushes.push_back((*to, Reply::Array(message)));
                }
                Reply::Int(self.subscribers.len() as i64)
            }
            b"LOAD" => {
                self.loaded = true;
                Reply::ok()
            }
            b"RUN" if self.loaded => Reply::ok(),
            b"RUN" => Reply::error("NOSCRIPT No matching script."),
            b"TIME" => Reply::Int(now_us as i64),
            name => panic!("{}", name.escape_ascii()),
        }
    }

    fn poll_push(&mut self) -> Option<(SessionId, Reply)> {
        self.pushes.pop_front()
    }

    fn disconnect(&mut self, session: SessionId) {
        self.subscribers.retain(|s| *s != session);
    }

    fn flush_scripts(&mut self) {
        self.loaded = false;
    }

    fn restart(&mut self, keep_data: bool) {
        let list = core::mem::take(&mut self.list);
        *self = Self::default();
        if keep_data {
            self.list = list;
        }
    }

    fn evictable(&self, _: u64) -> Vec<Bytes> {
        let words = self.list.iter();
        words.map(|word| Bytes::from(word.as_bytes())).collect()
    }

    fn evict(&mut self, key: &[u8]) {
        self.list.retain(|word| word.as_bytes() != key);
    }

    fn digest(&self) -> u64 {
        Digest::of(self)
    }

    fn identity(&self, _: u64, names: &dyn Names) -> u64 {
        let mut state = Digest::default();
        for word in &self.list {
            let name = names.name(word.as_bytes());
            name.unwrap_or_else(|| Digest::of(word)).hash(&mut state);
        }
        let who = self.subscribers.iter().map(|s| names.session(*s));
        (self.loaded, who.collect::<Vec<_>>()).hash(&mut state);
        state.finish()
    }

    fn touch(&self, _: &Command) -> Touch {
        Touch {
            keys: if self.denies { 0 } else { u64::MAX },
            writes: !self.denies,
            ..Touch::default()
        }
    }

    fn marks(&self, _: u64, name: &[u8]) -> u64 {
        let places = self.list.iter().zip(1u64..);
        let mine = places.filter(|(word, _)| word.as_bytes() == name);
        mine.map(|(_, place)| Digest::of(&place))
            .fold(0, u64::wrapping_add)
    }
}

/// Does what it is told at given local times, and remembers what it sees.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Puppet {
    pub(super) todo: VecDeque<(u64, u16, Output)>,
    out: VecDeque<(u16, Output)>,
    pub(super) seen: Vec<(u64, u16, Input)>,
    pub(super) restarts: u32,
}

impl Puppet {
    pub(super) fn at(mut self, ns: u64, actor: u16, output: Output) -> Self {
        self.todo.push_back((ns, actor, output));
        self
    }

    /// Sends `ADD word` as request `n`.
    pub(super) fn add(self, ns: u64, actor: u16, n: u64, word: &str) -> Self {
        self.at(ns, actor, command(n, &["ADD", word]))
    }

    /// What it has seen but wake-ups, without times.
    pub(super) fn news(&self) -> Vec<Input> {
        let inputs = self.seen.iter().map(|(_, _, input)| input.clone());
        inputs.filter(|i| *i != Input::Wake).collect()
    }
}

impl Program for Puppet {
    fn handle(&mut self, now: LocalTime, actor: u16, input: Input) {
        if input == Input::Wake
            && let Some((_, actor, output)) = self.todo.pop_front()
        {
            self.out.push_back((actor, output));
        }
        self.seen.push((now.0, actor, input));
    }

    fn poll_output(&mut self) -> Option<(u16, Output)> {
        self.out.pop_front()
    }

    fn deadline(&self) -> Option<(LocalTime, u16, &'static str)> {
        let (at, actor, _) = self.todo.front()?;
        Some((LocalTime(*at), *actor, "told to"))
    }

    fn restart(&mut self, _: LocalTime) {
        self.restarts += 1;
        self.out.clear();
    }
}

pub(super) fn command(n: u64, words: &[&str]) -> Output {
    let command = words[1..]
        .iter()
        .fold(Command::new(words[0]), |c, word| c.arg(word));
    Output::Send {
        request: RequestId(n),
        command,
    }
}

/// Prefers some kinds of events over others, the later of two alike if told
/// so, and draws what it is told, or else the least.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    pub(super) first: Vec<Kind>,
    pub(super) newest: bool,
    pub(super) draws: VecDeque<u64>,
}

impl Wish {
    pub(super) fn first(kinds: &[Kind]) -> Self {
        Self {
            first: kinds.to_vec(),
            ..Self::default()
        }
    }

    pub(super) fn drawing(draws: &[u64]) -> Self {
        Self {
            draws: draws.iter().copied().collect(),
            ..Self::default()
        }
    }
}

impl Chooser for Wish {
    fn pick(&mut self, options: &[Label]) -> usize {
        let rank = |l: &Label| {
            let kind = self.first.iter().position(|k| *k == l.kind);
            let age = if self.newest {
                !l.occurrence
            } else {
                l.occurrence
            };
            (kind.unwrap_or(self.first.len()), age)
        };
        (0..options.len())
            .min_by_key(|i| rank(&options[*i]))
            .expect("options are never empty")
    }

    fn draw(&mut self, _: Label, bound: u64) -> u64 {
        self.draws.pop_front().unwrap_or(0).min(bound - 1)
    }
}

pub(super) type Stage = World<Puppet, Tiny>;

/// A world of these programs, on perfect clocks.
pub(super) fn stage(mode: Mode, programs: Vec<Puppet>) -> Stage {
    World::new(Setup {
        hosts: programs.into_iter().map(HostSetup::new).collect(),
        server: Tiny::default(),
        mode,
        faults: Faults::NONE,
        epoch_us: 1_000_000,
    })
}

/// Delays that are all different, and easy to add up.
pub(super) const PLAIN: Mode = Mode::Timed(Delays {
    up: crate::dist::Dist::Constant(1_000),
    down: crate::dist::Dist::Constant(200),
    connect: crate::dist::Dist::Constant(50),
    service: crate::dist::Dist::Constant(7),
});

impl Stage {
    /// Steps until something like this has happened.
    pub(super) fn until(&mut self, wish: &mut Wish, like: impl Fn(&Happening) -> bool) {
        for _ in 0..10_000 {
            let happened = self.step(&(), wish).expect("more to happen");
            if happened.iter().any(&like) {
                return;
            }
        }
        panic!("did not happen");
    }

    /// Steps until nothing can happen any more; all that happened.
    pub(super) fn finish(&mut self, chooser: &mut dyn Chooser) -> Vec<Happening> {
        let mut all = Vec::new();
        for _ in 0..10_000 {
            match self.step(&(), chooser) {
                Some(happened) => all.extend_from_slice(happened),
                None => return all,
            }
        }
        panic!("does not end");
    }

    /// Lets a fault strike now.
    pub(super) fn strike(&mut self, kind: FaultKind, wish: &mut Wish) {
        self.faults = Faults::new(PerFault::all(0), u64::MAX - 1);
        self.happenings.clear();
        self.fire(kind, wish);
    }
}

pub(super) fn reply(n: u64, value: i64) -> Input {
    Input::Reply(RequestId(n), Reply::Int(value))
}

pub(super) const fn failed(n: u64, failure: Failure) -> Input {
    Input::Failed(RequestId(n), failure)
}

pub(super) fn message(word: &str) -> Input {
    Input::Message(Bytes::from(word.as_bytes()))
}

pub(super) const RESET: Output = Output::Reset(Conn::Commands);
