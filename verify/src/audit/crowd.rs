//! Real concurrent users of a real gate: threads in several processes, each
//! with a connection of its own.
//!
//! A *worker* process runs a share of the users. It reads its [`Task`] and the
//! sign to leave from standard input and answers on standard output, a line of
//! JSON each; so the server's password is on no command line. What is counted
//! is counted by the store (`INCR` when a slot is believed to be held, `DECR`
//! before it is given back), not by the gate under audit.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sluice_core::client::slots::Settings;
use sluice_core::client::{Ask, Event};
use sluice_core::redis::Command;
use sluice_core::script::{GateKeys, Zone};
use sluice_core::slots::Config;

use super::drive::Driver;
use super::{QUERIES, SESSIONS, Stop};
use crate::real::{Error, Url};
use crate::subject::gate::{self, AnyClient};
use crate::subject::hash_gate::{self, Activation, Door, HashGate};
use crate::subject::variant::Variant;
use crate::subject::{self, Kind};

/// No user waits longer than this for anything; then it counts as not served.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL_MS: u64 = 50;
/// What the audit counts lives no longer than this without a change, in
/// seconds, should nobody be left to remove it.
pub(super) const KEPT_S: u64 = 600;

/// What a worker is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The server.
    pub url: String,
    /// Under which all keys live.
    pub prefix: String,
    /// Number of the first user, and how many.
    pub users: (u32, u32),
    /// What they do.
    pub load: Load,
    /// The gate in front of the sessions.
    pub gate: Gate,
}

/// The gate that sessions pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gate {
    /// The one under audit: the subject of this name, which is `slots` or a
    /// variant of it.
    Slots(String),
    /// `HLEN`, then `HSET`, over a network that takes so many milliseconds a
    /// command: a control that the same counting must catch.
    Naive {
        /// Passes before each command.
        delay_ms: u64,
    },
}

impl Gate {
    fn delay(&self) -> Duration {
        match self {
            Self::Slots(_) => Duration::ZERO,
            Self::Naive { delay_ms } => Duration::from_millis(*delay_ms),
        }
    }

    /// A client for sessions.
    fn session(&self, prefix: &str, id: &str) -> AnyClient {
        match self {
            Self::Slots(subject) => slots_client(subject, prefix, "sessions", id),
            Self::Naive { .. } => {
                let [sessions, queue] = naive_keys(prefix);
                let settings = hash_gate::Settings {
                    door: Door::TwoRoundTrips,
                    activation: Activation::Unconditional,
                    cap: SESSIONS,
                    sessions,
                    queue,
                    poll_ms: POLL_MS,
                    retry_ms: POLL_MS,
                };
                AnyClient::Hash(HashGate::new(Arc::new(settings), id))
            }
        }
    }

    /// A client for queries; those behind a wrong gate pass the real one.
    fn query(&self, prefix: &str, id: &str) -> AnyClient {
        let subject = match self {
            Self::Slots(subject) => subject,
            Self::Naive { .. } => "slots",
        };
        slots_client(subject, prefix, "queries", id)
    }
}

fn slots_client(subject: &str, prefix: &str, level: &str, id: &str) -> AnyClient {
    let settings = Arc::new(settings(prefix, level));
    gate::Gate::of(subject_variant(subject), settings)
        .client(id)
        .expect("it is in the store")
}

/// What is wrong about a subject that is a variant of `slots`.
///
/// # Panics
/// If it is not: whoever starts an audit has asked.
pub(super) fn subject_variant(name: &str) -> Variant {
    match subject::by_name(name).map(|subject| subject.kind) {
        Ok(Kind::Slots(variant)) => variant,
        Ok(_) | Err(_) => panic!("{name} is no variant of slots"),
    }
}

/// The hash of sessions and the list of waiters of [`Gate::Naive`].
pub(super) fn naive_keys(prefix: &str) -> [String; 2] {
    ["active", "queue"].map(|key| format!("{prefix}{{naive}}:{key}"))
}

/// What users do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Load {
    /// All join at once, stay until told, and leave; who waits is served then.
    Burst,
    /// Join, stay for between the two times, leave, again, until time is over.
    Sustained {
        /// For how long new sessions are begun, in milliseconds.
        for_ms: u64,
        /// Shortest and longest session, in milliseconds.
        session_ms: (u64, u64),
    },
    /// In a session, ask so many queries of so many milliseconds (R3.1).
    Queries {
        /// Queries a session.
        each: u32,
        /// Length of one, in milliseconds.
        work_ms: u64,
    },
}

/// One join, as its user saw it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Join {
    /// From asking to the first answer, active or queued, in milliseconds.
    pub answer_ms: f64,
    /// Whether that answer was active or queued.
    pub answered: bool,
    /// Order key, where the user was seen in line.
    pub key: Option<u64>,
    /// Fencing number, once it was granted.
    pub fence: Option<u64>,
    /// Whether it was given back in order.
    pub served: bool,
}

/// What a worker saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// All joins of its users.
    pub joins: Vec<Join>,
    /// Most believed holders at any moment, over all processes.
    pub sessions_max: u64,
    /// Most queries at work at any moment, over all processes.
    pub queries_max: u64,
    /// Queries that were served, and asked.
    pub queries: (u64, u64),
    /// Times a client met trouble, and the last one in words.
    pub troubles: u64,
    /// The last trouble in words.
    pub trouble: String,
    /// Counts that could not be taken: the figures above may be wrong then.
    pub uncounted: u64,
    /// Why the last of them could not, in words.
    pub uncounted_why: String,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.joins.extend(other.joins);
        self.sessions_max = self.sessions_max.max(other.sessions_max);
        self.queries_max = self.queries_max.max(other.queries_max);
        self.queries.0 += other.queries.0;
        self.queries.1 += other.queries.1;
        self.troubles += other.troubles;
        if !other.trouble.is_empty() {
            self.trouble = other.trouble;
        }
        self.uncounted += other.uncounted;
        if !other.uncounted_why.is_empty() {
            self.uncounted_why = other.uncounted_why;
        }
    }
}

/// The gate's settings at one level, the same in every process.
#[must_use]
pub fn settings(prefix: &str, level: &str) -> Settings {
    let config = match level {
        "queries" => Config::semaphore(QUERIES, 60_000, 300_000),
        _ => Config::session_cap(SESSIONS),
    };
    let keys = GateKeys::new(prefix, level).expect("prefix and level are plain");
    let keys = keys.retain(KEPT_S * 1_000);
    let mut settings = Settings::new(keys, config);
    settings.poll_ms = POLL_MS;
    settings
}

/// Runs the users of a load in so many processes of `binary`; `joined` is called
/// in a burst when everybody has an answer and nobody has left yet.
///
/// # Errors
/// When a worker cannot be started or does not answer, and
/// [`io::ErrorKind::Interrupted`] on the sign to stop. No worker is left then.
pub fn run<R>(
    binary: &Path,
    processes: u32,
    users: u32,
    task: impl Fn((u32, u32)) -> Task,
    joined: impl FnOnce() -> R,
    stop: &Stop,
) -> io::Result<(Seen, R)> {
    let share = users.div_ceil(processes);
    let mut workers = Vec::new();
    for from in (0..users).step_by(share as usize) {
        workers.push(Worker::start(
            binary,
            &task((from, share.min(users - from))),
        )?);
    }
    for worker in &mut workers {
        worker.line(stop)?;
    }
    let found = joined();
    for worker in &mut workers {
        worker.stdin.write_all(b"leave\n")?;
    }
    let mut seen = Seen::default();
    for worker in &mut workers {
        let line = worker.line(stop)?;
        seen.add(serde_json::from_str(&line)?);
    }
    Ok((seen, found))
}

/// A process of users; ended when dropped.
struct Worker {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<io::Result<String>>,
}

impl Worker {
    fn start(binary: &Path, task: &Task) -> io::Result<Self> {
        let mut child = Process::new(binary)
            .arg("crowd")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let mut stdin = child.stdin.take().ok_or_else(gone)?;
        let stdout = BufReader::new(child.stdout.take().ok_or_else(gone)?);
        writeln!(stdin, "{}", serde_json::to_string(task)?)?;
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let told = stdout.lines().try_for_each(|line| send.send(line));
            drop(told); // an error: nobody listens any more
        });
        Ok(Self {
            child,
            stdin,
            lines,
        })
    }

    /// Its next line, unless the sign to stop comes first.
    fn line(&mut self, stop: &Stop) -> io::Result<String> {
        loop {
            if stop.is_given() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match self.lines.recv_timeout(Duration::from_millis(20)) {
                Ok(line) => return line,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let why = "a worker process ended early; its message is above";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
                }
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The worker's side: `verify crowd`. `gone` is called as soon as the input
/// ends: whoever started the worker is no more, and it should not go on alone.
///
/// # Errors
/// When the task cannot be read or the server not be reached.
pub fn work(
    input: impl BufRead + Send + 'static,
    mut output: impl Write,
    gone: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in input.lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return; // the work is done
            }
        }
        gone();
    });
    let next = || {
        let ended = |_| io::Error::from(io::ErrorKind::UnexpectedEof);
        lines.recv().map_err(ended)
    };
    let task: Task = serde_json::from_str(&next()?)?;
    let url: Url = task.url.parse().map_err(io::Error::other)?;
    let (from, count) = task.users;
    let mut users = Vec::new();
    for number in from..from + count {
        users.push(User::new(&task, &url, number).map_err(io::Error::other)?);
    }
    // All start together, and in a burst leave together.
    let start = Arc::new(Barrier::new(users.len() + 1));
    let (joined, leave) = (start.clone(), start.clone());
    std::thread::scope(|scope| {
        let threads: Vec<_> = users
            .into_iter()
            .map(|user| {
                let (start, joined, leave) = (start.clone(), joined.clone(), leave.clone());
                scope.spawn(move || user.live(task.load, &start, &joined, &leave))
            })
            .collect();
        start.wait();
        if task.load == Load::Burst {
            joined.wait();
        }
        writeln!(output, "joined")?;
        output.flush()?;
        next()?;
        if task.load == Load::Burst {
            leave.wait();
        }
        let mut seen = Seen::default();
        for thread in threads {
            seen.add(
                thread
                    .join()
                    .map_err(|_| io::Error::other("a user panicked"))?,
            );
        }
        writeln!(output, "{}", serde_json::to_string(&seen)?)
    })
}

/// One user: a session client, and a query client.
struct User {
    session: Driver,
    query: Driver,
    gate: Gate,
    id: String,
    prefix: String,
    random: u64,
    seen: Seen,
}

impl User {
    fn new(task: &Task, url: &Url, number: u32) -> Result<Self, Error> {
        let id = format!("user-{number}");
        let session = task.gate.session(&task.prefix, &id);
        let query = task.gate.query(&task.prefix, &id);
        Ok(Self {
            session: Driver::new(session, url, task.gate.delay())?,
            query: Driver::new(query, url, Duration::ZERO)?,
            gate: task.gate.clone(),
            id,
            prefix: task.prefix.clone(),
            random: u64::from(number),
            seen: Seen::default(),
        })
    }

    #[expect(clippy::disallowed_methods, reason = "users of a real server")]
    fn live(mut self, load: Load, start: &Barrier, joined: &Barrier, leave: &Barrier) -> Seen {
        start.wait();
        let birth = Instant::now();
        match load {
            Load::Burst => {
                let join = self.join();
                joined.wait();
                leave.wait();
                self.serve(join, |_| {});
            }
            Load::Sustained {
                for_ms,
                session_ms: (least, most),
            } => {
                while birth.elapsed() < Duration::from_millis(for_ms) {
                    let join = self.join();
                    let stay = least + self.draw(most.saturating_sub(least).max(1));
                    // Its heartbeats go on while it stays.
                    self.serve(join, |user| {
                        let _ = user.session.next(Duration::from_millis(stay));
                    });
                }
            }
            Load::Queries { each, work_ms } => {
                let join = self.join();
                self.serve(join, |user| {
                    for _ in 0..each {
                        user.one_query(work_ms);
                    }
                });
            }
        }
        for driver in [&self.session, &self.query] {
            self.seen.troubles += driver.troubles.0;
            if driver.troubles.0 > 0 {
                self.seen.trouble.clone_from(&driver.troubles.1);
            }
        }
        self.seen
    }

    /// Asks for a session and notes the first answer.
    #[expect(clippy::disallowed_methods, reason = "measures a real server")]
    fn join(&mut self) -> Join {
        let asked = Instant::now();
        let answer = self.session.ask(Ask::Acquire, PATIENCE);
        let mut join = Join {
            answer_ms: asked.elapsed().as_secs_f64() * 1e3,
            answered: matches!(answer, Some(Event::Granted { .. } | Event::Waiting { .. })),
            ..Join::default()
        };
        match answer {
            Some(Event::Granted { fence, .. }) => {
                join.fence = Some(fence);
                self.enter();
            }
            Some(Event::Waiting { .. }) => join.key = self.order_key(),
            _ => {}
        }
        join
    }

    /// The place in line, read from the store itself; `None` if it has just
    /// been promoted.
    fn order_key(&mut self) -> Option<u64> {
        if !matches!(self.gate, Gate::Slots(_)) {
            return None; // it keeps no order that could be read
        }
        let line = settings(&self.prefix, "sessions").keys;
        let score = Command::new("ZSCORE").arg(line.line()).arg(&self.id);
        let reply = match self.session.observe(&score) {
            Ok(reply) => reply,
            Err(error) => {
                self.uncounted(&error);
                return None;
            }
        };
        let score = std::str::from_utf8(reply.as_bytes()?).ok()?.parse().ok()?;
        match Zone::of(score) {
            Zone::Waiting(key) | Zone::Absent(key) => Some(key),
            Zone::Ended(_) | Zone::Held(_) => None,
        }
    }

    /// Waits for the slot if need be, holds it while `inside` lasts, gives it back.
    fn serve(&mut self, mut join: Join, inside: impl FnOnce(&mut Self)) {
        if join.fence.is_none() {
            join.fence = granted(&mut self.session);
            if join.fence.is_some() {
                self.enter();
            }
        }
        if join.fence.is_some() {
            inside(self);
            self.count("sessions", "DECR");
            let farewell = self.session.ask(Ask::Release, PATIENCE);
            join.served = farewell == Some(Event::Released);
        }
        self.seen.joins.push(join);
    }

    /// Counts itself in, and notes how many believe to be inside.
    fn enter(&mut self) {
        if let Some(now) = self.count("sessions", "INCR") {
            self.seen.sessions_max = self.seen.sessions_max.max(now);
        }
    }

    fn one_query(&mut self, work_ms: u64) {
        self.seen.queries.1 += 1;
        let inside = match self.query.ask(Ask::Acquire, PATIENCE) {
            Some(Event::Granted { .. }) => true,
            Some(Event::Waiting { .. }) => granted(&mut self.query).is_some(),
            _ => false,
        };
        if !inside {
            return;
        }
        if let Some(now) = self.count("queries", "INCR") {
            self.seen.queries_max = self.seen.queries_max.max(now);
        }
        std::thread::sleep(Duration::from_millis(work_ms));
        self.count("queries", "DECR");
        if self.query.ask(Ask::Release, PATIENCE) == Some(Event::Released) {
            self.seen.queries.0 += 1;
        }
    }

    /// How many are inside, by the store's own count; `None`, and noted, if the
    /// store did not count.
    fn count(&mut self, level: &str, how: &str) -> Option<u64> {
        let key = format!("{}inside:{level}", self.prefix);
        let counted = self.session.count(&Command::new(how).arg(&key));
        let kept = Command::new("EXPIRE").arg(&key).num(KEPT_S);
        let counted = counted.and_then(|n| self.session.count(&kept).map(|_| n));
        counted.map_err(|error| self.uncounted(&error)).ok()
    }

    fn uncounted(&mut self, why: &Error) {
        self.seen.uncounted += 1;
        self.seen.uncounted_why = why.to_string();
    }

    /// A number below `bound` (splitmix64): sessions differ, and repeat.
    fn draw(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Waits until the slot is granted.
fn granted(driver: &mut Driver) -> Option<u64> {
    loop {
        match driver.next(PATIENCE)? {
            Event::Granted { fence, .. } => return Some(fence),
            Event::Waiting { .. } | Event::Trouble(_) => {}
            Event::Rejected(_)
            | Event::Ended(_)
            | Event::Released
            | Event::Cancelled
            | Event::Fatal(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::work;

    /// Standard input that stays open until told.
    struct Open(mpsc::Receiver<()>);

    impl Read for Open {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(0)
        }
    }

    #[test]
    fn a_worker_hears_at_once_that_nobody_is_left() {
        let (close, open) = mpsc::channel();
        let (gone, heard) = mpsc::channel();
        let worker = std::thread::spawn(move || {
            let gone = move || gone.send(()).expect("the test listens");
            work(BufReader::new(Open(open)), Vec::new(), gone)
        });
        assert!(heard.recv_timeout(Duration::from_millis(20)).is_err());
        drop(close);
        assert_eq!(heard.recv_timeout(Duration::from_secs(10)), Ok(()));
        assert!(worker.join().expect("no panic").is_err());
    }
}
