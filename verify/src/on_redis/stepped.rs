//! A run repeated on a private server on the simulated clock.
//!
//! Before each command the server's clock is set to the time at which the
//! simulated server executed it, to the microsecond; with it, the server is
//! asked for the `TIME`, and must say just that. Replies are compared as they
//! are, fencing numbers and times to live included, and so is every message to
//! a subscriber. In the end the keys are compared.
//!
//! Repeated as they were: connections that end, whether they were cut, given up
//! or belonged to a process that crashed (the real one is closed, and the replay
//! waits until the server knows); steps of the server's clock, backwards, too; a
//! server that is killed and comes back with its keys (saved before) or without
//! any; a script cache that is flushed. What happens to clients alone (pauses,
//! stalls, partitions, commands that are lost on their way) has shown in which
//! commands the server got, and when.
//!
//! Not replayable: what takes a second server or chance ([failover, split,
//! eviction](super)); commands that the server refused because of its state, for
//! example since it was still loading, for a private one with so few keys is
//! never in that state for long enough; commands that wait at the server, since a
//! run keeps when they were answered, and not when they came; and what only a
//! cluster refuses.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sluice_core::redis::{Bytes, Command, Reply};
use sluice_core::script;
use sluice_sim::world::{ActorId, EVERYTHING, Happening, Refusal};

use super::left::{Closeness, Left};
use super::{Alike, BrokenOff, End, Report, alike, beyond_one_server, in_the_end};
use crate::real::{Connection, Error, Stepped, info_field};
use crate::timeline::Step;

/// What a replay is told about the run it repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The server's clock at the start, in microseconds since 1970.
    pub epoch_us: u64,
    /// The server knows the gate's scripts.
    pub scripts_loaded: bool,
    /// When it restarts, it reads its keys from a snapshot, which lacks what has
    /// expired by then.
    pub from_snapshot: bool,
}

/// A message that has not come by then does not come: the server sends it
/// together with the reply to whoever published it, which is there already.
const MESSAGE: Duration = Duration::from_secs(2);

/// Commands that may wait at the server.
const WAITING: [&[u8]; 12] = [
    b"BLPOP",
    b"BRPOP",
    b"BLMOVE",
    b"BLMPOP",
    b"BRPOPLPUSH",
    b"BZPOPMIN",
    b"BZPOPMAX",
    b"BZMPOP",
    b"WAIT",
    b"WAITAOF",
    b"XREAD",
    b"XREADGROUP",
];

/// Repeats a run on this server, from its first step to its last, and compares
/// the keys that are left then. Whatever is on the server is forgotten before.
///
/// # Errors
/// If the server cannot be reached, stops answering, or does not start again.
pub fn replay(
    server: &mut Stepped,
    steps: &[Step],
    left: &Left,
    start: &Start,
) -> Result<Report, BrokenOff> {
    let at = |step| move |source| BrokenOff { step, source };
    server.forget(start.epoch_us).map_err(at(0))?;
    if start.scripts_loaded {
        let control = server.control().map_err(at(0))?;
        for one in script::ALL {
            control.ask(&script::load(one)).map_err(at(0))?;
        }
    }
    let mut run = Run {
        epoch_us: start.epoch_us,
        from_snapshot: start.from_snapshot,
        processes: Vec::new(),
        ahead_us: 0,
        lines: BTreeMap::new(),
        listening: BTreeMap::new(),
        refusing: None,
        report: Report {
            server: server.describe(),
            equal: 0,
            other_words: 0,
            messages: 0,
            keys: 0,
            already_loaded: 0,
            end: End::Identical,
        },
        server,
    };
    run.learn_process().map_err(at(0))?;
    for step in steps {
        if let Some(end) = run.step(step).map_err(at(step.step))? {
            run.report.end = end;
            return Ok(run.report);
        }
    }
    let last = steps.last().map_or((0, 0), |last| (last.step, last.at_ns));
    run.compare(left, last).map_err(at(last.0))?;
    Ok(run.report)
}

/// A connection of the run.
#[derive(Debug)]
struct Line {
    /// `None` once it has ended.
    connection: Option<Connection>,
    /// What the server had sent when it ended, and the client has not seen yet.
    late: VecDeque<Reply>,
}

struct Run<'a> {
    server: &'a mut Stepped,
    epoch_us: u64,
    from_snapshot: bool,
    /// The names (`run_id`) of the server's processes: theirs and the run's.
    processes: Vec<(String, String)>,
    /// The server's clock is ahead by so much, for it has stepped.
    ahead_us: i64,
    lines: BTreeMap<(ActorId, u32), Line>,
    /// On which connection an actor receives messages.
    listening: BTreeMap<ActorId, u32>,
    /// Why the server refuses commands, if it does.
    refusing: Option<Refusal>,
    report: Report,
}

impl Run<'_> {
    /// One step; how the replay ends, if it does.
    fn step(&mut self, step: &Step) -> Result<Option<End>, Error> {
        let not = |why: &str| {
            Ok(Some(End::NotReplayable {
                step: step.step,
                why: why.to_owned(),
            }))
        };
        if let Some(why) = beyond_one_server(&step.what) {
            return not(why);
        }
        match &step.what {
            Happening::Executed {
                who,
                connection,
                command,
                reply,
                ..
            } => {
                if let Some(why) = self.unrepeatable(command, reply) {
                    return not(&why);
                }
                return self.execute(step, (*who, *connection), command, reply);
            }
            Happening::Message { who, payload } => return self.message(step.step, *who, payload),
            Happening::HungUp { who, connection } => self.hang_up(*who, *connection)?,
            Happening::ServerClockStepped { by_us } => {
                self.ahead_us = self.ahead_us.saturating_add(*by_us);
            }
            Happening::ScriptsFlushed => {
                let flush = Command::new("SCRIPT").arg("FLUSH");
                self.server.control()?.ask(&flush)?;
            }
            Happening::ServerStopped { lost, .. } => {
                self.set_clock(step.at_ns)?;
                self.server.kill(*lost != EVERYTHING)?;
            }
            Happening::ServerStarted { .. } => {
                self.set_clock(step.at_ns)?;
                self.start()?;
            }
            Happening::ServerRefuses { refusal, .. } => self.refusing = Some(*refusal),
            Happening::Healed => self.refusing = None,
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
            | Happening::ClockStepped { .. } => {}
        }
        Ok(None)
    }

    fn start(&mut self) -> Result<(), Error> {
        let started = self.server.start_again(self.from_snapshot);
        started.map_err(|why| Error::Lost {
            address: self.server.describe(),
            source: std::io::Error::other(why),
        })?;
        self.learn_process()
    }

    /// The process that is running now has a name, which scripts may have kept.
    /// The simulated server counts its processes from 1.
    fn learn_process(&mut self) -> Result<(), Error> {
        let control = self.server.control()?;
        let info = control.info("server")?;
        let theirs = info_field(&info, "run_id").unwrap_or_default().to_owned();
        let number = self.processes.len() + 1;
        self.processes.push((theirs, format!("{number:040x}")));
        Ok(())
    }

    /// After the last step (its number and time): are the keys the same?
    fn compare(&mut self, left: &Left, (step, at_ns): (u64, u64)) -> Result<(), Error> {
        self.server.set(left.time_us, at_ns)?;
        // A run may end while the server is down: its keys are on the disk.
        if !self.server.is_up() {
            self.start()?;
        }
        let control = self.server.control()?;
        let names = match control.ask(&Command::new("KEYS").arg("*"))? {
            Reply::Array(names) => names,
            other => return Err(control.nonsense(format!("it answers {other:?} to KEYS"))),
        };
        let names = names.into_iter().filter_map(|name| match name {
            Reply::Bulk(name) => Some(name),
            _ => None,
        });
        let first = left.against(control, names.collect(), Closeness::Exact(&self.processes))?;
        self.report.keys = left.len() as u64;
        if let Some(first) = first {
            self.report.end = in_the_end(step, first);
        }
        Ok(())
    }

    /// Why no real server can be made to answer this.
    fn unrepeatable(&self, command: &Command, reply: &Reply) -> Option<String> {
        let name = command.name();
        let blocks = |name: &[u8]| {
            let waits = WAITING.iter().any(|known| known.eq_ignore_ascii_case(name));
            let reads = name.len() > 4 && name[..1].eq_ignore_ascii_case(b"X");
            waits
                && (!reads
                    || command
                        .args
                        .iter()
                        .any(|arg| arg.eq_ignore_ascii_case(b"BLOCK")))
        };
        if name.eq_ignore_ascii_case(b"WAIT") || name.eq_ignore_ascii_case(b"WAITAOF") {
            return Some("a client waits for a replica, and one server has none".to_owned());
        }
        if blocks(name) {
            let name = name.escape_ascii();
            return Some(format!(
                "{name} may wait, and the run does not say since when"
            ));
        }
        match reply {
            Reply::Error(text) if text.starts_with(b"LOADING ") => {
                Some("the server refuses a command, since it is still loading its keys".to_owned())
            }
            Reply::Error(text) => {
                let code = text.split(|byte| *byte == b' ').next();
                let refusal = self.refusing.map(Refusal::code);
                if refusal.is_some_and(|known| Some(known.as_bytes()) == code) {
                    let refused = text.escape_ascii();
                    return Some(format!(
                        "the server refuses a command for reasons of its own: {refused}"
                    ));
                }
                let elsewhere = [&b"CROSSSLOT"[..], b"non local key", b"same slot"];
                let cluster = elsewhere
                    .iter()
                    .any(|words| text.windows(words.len()).any(|part| part == *words));
                cluster
                    .then(|| "a key is elsewhere in the cluster, and one server is none".to_owned())
            }
            _ => None,
        }
    }

    /// Sends one command, at its time.
    fn execute(
        &mut self,
        step: &Step,
        line: (ActorId, u32),
        command: &Command,
        simulated: &Reply,
    ) -> Result<Option<End>, Error> {
        let time_us = self.set_clock(step.at_ns)?;
        // At once: the clock stands still, and half the waiting is saved.
        self.server.ask_time()?;
        let connection = self.line(line)?;
        let real = connection.call(command)?;
        let read = self.server.told_time_us()?;
        let like = alike(simulated, &real);
        if like == Alike::No {
            return Ok(Some(differs(step.step, command, simulated, &real)));
        }
        self.report.equal += 1;
        self.report.other_words += u64::from(like == Alike::OtherWords);
        if command.name().eq_ignore_ascii_case(b"SUBSCRIBE") && simulated.error_code().is_none() {
            self.listening.insert(line.0, line.1);
        }
        Ok((read != time_us).then(|| End::Differs {
            step: step.step,
            command: "TIME".to_owned(),
            simulated: time_us.to_string(),
            real: read.to_string(),
        }))
    }

    /// The next message for this actor.
    fn message(&mut self, step: u64, who: ActorId, payload: &Bytes) -> Result<Option<End>, Error> {
        let number = self.listening.get(&who).copied();
        let line = number.and_then(|number| self.lines.get_mut(&(who, number)));
        let real = match line {
            Some(line) => match (line.late.pop_front(), &mut line.connection) {
                (Some(late), _) => Some(late),
                (None, Some(connection)) => next_message(connection)?,
                (None, None) => None,
            },
            None => None,
        };
        let same = match &real {
            Some(Reply::Array(parts)) => match parts.as_slice() {
                [kind, _, told] => {
                    kind.as_bytes() == Some(b"message") && told.as_bytes() == Some(&payload[..])
                }
                _ => false,
            },
            _ => false,
        };
        if same {
            self.report.messages += 1;
            return Ok(None);
        }
        Ok(Some(End::Differs {
            step,
            command: format!("a message for {}.{}", who.host, who.actor),
            simulated: payload.escape_ascii().to_string(),
            real: real.map_or_else(|| "no message came".to_owned(), |real| format!("{real:?}")),
        }))
    }

    fn hang_up(&mut self, who: ActorId, connection: u32) -> Result<(), Error> {
        let listens = self.listening.get(&who) == Some(&connection);
        let Some(line) = self.lines.get_mut(&(who, connection)) else {
            return Ok(()); // it never said anything
        };
        if let Some(connection) = line.connection.take() {
            line.late.extend(connection.hang_up()?);
        }
        if !listens {
            self.lines.remove(&(who, connection));
        }
        Ok(())
    }

    fn line(&mut self, line: (ActorId, u32)) -> Result<&mut Connection, Error> {
        if !self.lines.contains_key(&line) {
            let connection = Some(self.server.connect()?);
            let late = VecDeque::new();
            self.lines.insert(line, Line { connection, late });
        }
        let open = self.lines.get_mut(&line);
        let open = open.and_then(|line| line.connection.as_mut());
        open.ok_or_else(|| Error::Lost {
            address: format!("connection {} of {}.{}", line.1, line.0.host, line.0.actor),
            source: std::io::ErrorKind::NotConnected.into(),
        })
    }

    /// Sets the server's clock to a time of the run; what it shows then.
    fn set_clock(&mut self, at_ns: u64) -> Result<u64, Error> {
        let time_us = self.epoch_us.saturating_add(at_ns / 1_000);
        let time_us = time_us.saturating_add_signed(self.ahead_us);
        self.server.set(time_us, at_ns)?;
        Ok(time_us)
    }
}

/// What the server says next; `None` if it says nothing.
fn next_message(connection: &mut Connection) -> Result<Option<Reply>, Error> {
    connection.set_patience(MESSAGE)?;
    match connection.receive() {
        Ok(reply) => Ok(Some(reply)),
        Err(Error::Timeout { .. } | Error::Lost { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn differs(step: u64, command: &Command, simulated: &Reply, real: &Reply) -> End {
    End::Differs {
        step,
        command: format!("{command:?}"),
        simulated: format!("{simulated:?}"),
        real: format!("{real:?}"),
    }
}
