//! A run repeated on a server with a clock of its own.
//!
//! What follows from that clock is not compared: durations in the scripts'
//! replies (time to live, waits, the pace of the queue), and fencing numbers as
//! such, which start from the store's clock; they are mapped, and must be mapped
//! one to one and rising. A schedule in which a deadline may pass cannot be
//! repeated this way, and neither can a server that dies.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sluice_core::redis::{Bytes, Command, Reply};
use sluice_core::script::{self, Script};
use sluice_core::slots::{Fence, Flow, Outcome};
use sluice_sim::world::{ActorId, Happening};

use super::left::{Closeness, Left};
use super::{Alike, End, Report, alike, beyond_one_server, in_the_end};
use crate::real::{Connection, Error, Server};
use crate::timeline::Step;

/// What a replay is told about the run it repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// What every key of the run begins with.
    pub key_prefix: &'a str,
    /// The shortest deadline that the run's gates and keys have, if any. Once
    /// more simulated time than this has passed, the real clock may tell another
    /// story.
    pub shortest_deadline_ms: Option<u64>,
}

/// Repeats a run on a real server, from its first step, and compares the keys
/// that are left after the last, as far as they hold no times.
///
/// # Errors
/// If the server cannot be reached, or stops answering.
pub fn replay(
    server: &Server,
    steps: &[Step],
    left: &Left,
    setting: &Setting<'_>,
) -> Result<Report, Error> {
    // Removes its keys when the replay is over.
    let mut space = server.space()?;
    let mut run = Run {
        server,
        setting,
        prefix: space.prefix().to_owned(),
        connections: BTreeMap::new(),
        fences: BTreeMap::new(),
        equal: 0,
        other_words: 0,
        already_loaded: 0,
    };
    let mut end = run.all(steps)?;
    let mut keys = 0;
    if end == End::Identical {
        let prefix = space.prefix().to_owned();
        let names = space.keys()?;
        let bare = |name: &String| Bytes::from(&name.as_bytes()[prefix.len()..]);
        let names = names.iter().map(bare).collect();
        let closeness = Closeness::WithoutTime(&prefix);
        let step = steps.last().map_or(0, |last| last.step);
        keys = left.len() as u64;
        if let Some(first) = left.against(&mut server.connect()?, names, closeness)? {
            end = in_the_end(step, first);
        }
    }
    Ok(Report {
        server: server.describe(),
        equal: run.equal,
        other_words: run.other_words,
        messages: 0,
        keys,
        already_loaded: run.already_loaded,
        end,
    })
}

struct Run<'a> {
    server: &'a Server,
    setting: &'a Setting<'a>,
    prefix: String,
    connections: BTreeMap<(ActorId, u32), Connection>,
    /// By gate: the run's fencing numbers, and what they are over there.
    fences: BTreeMap<Bytes, BTreeMap<Fence, Fence>>,
    equal: u64,
    other_words: u64,
    already_loaded: u64,
}

impl Run<'_> {
    fn all(&mut self, steps: &[Step]) -> Result<End, Error> {
        for Step {
            step, at_ns, what, ..
        } in steps
        {
            let not = |why: String| Ok(End::NotReplayable { step: *step, why });
            if let Some(why) = beyond_one_server(what) {
                return not(why.to_owned());
            }
            match what {
                Happening::Executed {
                    who,
                    connection,
                    command,
                    reply,
                    ..
                } => {
                    let at_ms = at_ns / 1_000_000;
                    let shortest = self.setting.shortest_deadline_ms;
                    if let Some(shortest) = shortest.filter(|shortest| at_ms >= *shortest) {
                        return not(format!(
                            "{at_ms} ms of simulated time have passed, and a deadline of \
                             {shortest} ms may have"
                        ));
                    }
                    if let Some(difference) = self.one((*who, *connection), command, reply)? {
                        return Ok(End::Differs {
                            step: *step,
                            command: format!("{command:?}"),
                            simulated: format!("{reply:?}"),
                            real: difference,
                        });
                    }
                }
                Happening::HungUp { who, connection } => {
                    self.connections.remove(&(*who, *connection));
                }
                Happening::ScriptsFlushed if self.server.is_ours() => {
                    let flush = Command::new("SCRIPT").arg("FLUSH");
                    self.server.connect()?.call(&flush)?;
                }
                Happening::ScriptsFlushed => {
                    return not("its script cache belongs to others too, and is not flushed".into());
                }
                Happening::ServerStopped { .. } => return not("the server dies".into()),
                Happening::ServerRefuses { .. } => {
                    return not("the server refuses commands for reasons of its own".into());
                }
                Happening::ServerClockStepped { .. } => {
                    return not("the server's clock steps".into());
                }
                // Said above.
                Happening::ServerSplit { .. }
                | Happening::ExecutedByFormer { .. }
                | Happening::FormerStopped
                | Happening::Evicted { .. }
                // What happens to clients has shown in the order of commands.
                | Happening::Connected { .. }
                | Happening::Refused { .. }
                | Happening::Delivered { .. }
                | Happening::Lost { .. }
                | Happening::CommandLost { .. }
                | Happening::ReplyLost { .. }
                | Happening::Subscribed { .. }
                | Happening::Unsubscribed { .. }
                | Happening::Message { .. }
                | Happening::Woke { .. }
                | Happening::Told { .. }
                | Happening::Cut { .. }
                | Happening::Stalled { .. }
                | Happening::Partitioned { .. }
                | Happening::Mended { .. }
                | Happening::Refusing { .. }
                | Happening::Paused { .. }
                | Happening::Resumed { .. }
                | Happening::Crashed { .. }
                | Happening::Restarted { .. }
                | Happening::ClockStepped { .. }
                | Happening::ServerStarted { .. }
                | Happening::Healed => {}
            }
        }
        Ok(End::Identical)
    }

    /// Sends one command; what the server answered, if it is not the same.
    fn one(
        &mut self,
        connection: (ActorId, u32),
        command: &Command,
        simulated: &Reply,
    ) -> Result<Option<String>, Error> {
        let script = known_script(command);
        let sent = self.translate(script, command);
        let connection = match self.connections.entry(connection) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(free) => free.insert(self.server.connect()?),
        };
        // The run's client found the script missing, and fetched it. Where the
        // server has it already, sending the call would execute it twice.
        if simulated.error_code() == Some(b"NOSCRIPT") {
            let exists = Command::new("SCRIPT").arg("EXISTS").arg(&command.args[1]);
            if connection.call(&exists)? == Reply::Array(vec![Reply::Int(1)]) {
                self.already_loaded += 1;
                return Ok(None);
            }
        }
        let real = connection.call(&sent)?;
        let same = match script {
            Some(_) => self.same_answer(command, simulated, &real),
            // It repeats the channel, which has another prefix over there.
            None if command.name() == b"SUBSCRIBE" => real.error_code().is_none(),
            None => self.same_reply(simulated, &real),
        };
        if same {
            self.equal += 1;
            Ok(None)
        } else {
            Ok(Some(format!("{real:?}")))
        }
    }

    fn same_reply(&mut self, simulated: &Reply, real: &Reply) -> bool {
        let like = alike(simulated, real);
        self.other_words += u64::from(like == Alike::OtherWords);
        like != Alike::No
    }

    /// The command for the other server: its keys, its fencing numbers.
    fn translate(&self, script: Option<&Script>, command: &Command) -> Command {
        let mut sent = command.clone();
        for arg in sent.args.iter_mut().skip(1) {
            if arg.starts_with(self.setting.key_prefix.as_bytes()) {
                *arg = [self.prefix.as_bytes(), &arg[..]].concat().into();
            }
        }
        let by_fence = script.is_some_and(|s| s.name == "renew" || s.name == "release");
        if by_fence
            && let Some(number) = command.args.get(OWN_ARG + 1)
            && let Some(there) = std::str::from_utf8(number)
                .ok()
                .and_then(|n| n.parse::<Fence>().ok())
                .and_then(|n| self.fences.get(&command.args[GATE_KEY])?.get(&n))
        {
            sent.args[OWN_ARG + 1] = there.to_string().into_bytes().into();
        }
        sent
    }

    /// Replies of the gate's scripts: the same words and numbers, but for what
    /// comes from the clock.
    fn same_answer(&mut self, command: &Command, simulated: &Reply, real: &Reply) -> bool {
        let (Ok(ours), Ok(theirs)) = (script::decode(simulated), script::decode(real)) else {
            return simulated == real;
        };
        if let (Outcome::Granted { fence, .. }, Outcome::Granted { fence: there, .. }) =
            (ours.outcome, theirs.outcome)
        {
            let gate = self
                .fences
                .entry(command.args[GATE_KEY].clone())
                .or_default();
            let known = *gate.entry(fence).or_insert(there);
            let rising = gate.values().is_sorted_by(|a, b| a < b);
            if known != there || !rising {
                return false;
            }
        }
        without_time(ours.outcome) == without_time(theirs.outcome) && ours.more == theirs.more
    }
}

/// Where the scripts' calls have the key of the gate's hash …
const GATE_KEY: usize = 3;
/// … and the first argument of their own, after the configuration.
const OWN_ARG: usize = 7;

fn known_script(command: &Command) -> Option<&'static Script> {
    let digest = command
        .args
        .get(1)
        .filter(|_| command.name() == b"EVALSHA")?;
    script::by_sha1(digest)
}

fn without_time(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Granted { ttl_ms, .. } => Outcome::Granted {
            fence: 0,
            ttl_ms: ttl_ms.map(|_| 0),
            wait_ms: 0,
        },
        Outcome::Waiting { position, flow } => Outcome::Waiting {
            position,
            flow: Flow {
                gap_mean_ms: 0.0,
                gap_var_ms2: 0.0,
                gaps: flow.gaps,
            },
        },
        Outcome::Renewed { ttl_ms } => Outcome::Renewed {
            ttl_ms: ttl_ms.map(|_| 0),
        },
        Outcome::Rejected(_)
        | Outcome::Stale { .. }
        | Outcome::Ended(_)
        | Outcome::Unknown
        | Outcome::Lost
        | Outcome::Released
        | Outcome::Cancelled
        | Outcome::Resized { .. }
        | Outcome::Swept => outcome,
    }
}
