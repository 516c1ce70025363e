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
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sluice_core::client::slots::{Settings, SlotsClient};
use sluice_core::client::{Ask, Event};
use sluice_core::redis::Command;
use sluice_core::script::{GateKeys, Zone};
use sluice_core::slots::Config;

use super::drive::Driver;
use super::{QUERIES, SESSIONS};
use crate::real::Url;

/// No user waits longer than this for anything; then it counts as not served.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL_MS: u64 = 50;

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
    let mut settings = Settings::new(keys, config);
    settings.poll_ms = POLL_MS;
    settings
}

/// Runs the users of a load in so many processes of `binary`; `joined` is called
/// in a burst when everybody has an answer and nobody has left yet.
///
/// # Errors
/// When a worker cannot be started or does not answer.
pub fn run<R>(
    binary: &Path,
    processes: u32,
    users: u32,
    task: impl Fn((u32, u32)) -> Task,
    joined: impl FnOnce() -> R,
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
        worker.line()?;
    }
    let found = joined();
    for worker in &mut workers {
        worker.stdin.write_all(b"leave\n")?;
    }
    let mut seen = Seen::default();
    for worker in &mut workers {
        let line = worker.line()?;
        seen.add(serde_json::from_str(&line)?);
    }
    Ok((seen, found))
}

/// A process of users; ended when dropped.
struct Worker {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
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
        Ok(Self {
            child,
            stdin,
            stdout,
        })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            let why = "a worker process ended early; its message is above";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        Ok(line)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The worker's side: `verify crowd`.
///
/// # Errors
/// When the task cannot be read or the server not be reached.
pub fn work(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut lines = input.lines();
    let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let task: Task = serde_json::from_str(&lines.next().ok_or_else(gone)??)?;
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
        lines.next().ok_or_else(gone)??;
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
    id: String,
    prefix: String,
    random: u64,
    seen: Seen,
}

impl User {
    fn new(task: &Task, url: &Url, number: u32) -> Result<Self, crate::real::Error> {
        let id = format!("user-{number}");
        let driver = |level| {
            let settings = Arc::new(settings(&task.prefix, level));
            let client = SlotsClient::new(settings, id.as_bytes()).expect("the id is plain");
            Driver::new(client, url)
        };
        Ok(Self {
            session: driver("sessions")?,
            query: driver("queries")?,
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
        let line = settings(&self.prefix, "sessions").keys;
        let score = Command::new("ZSCORE").arg(line.line()).arg(&self.id);
        let reply = self.session.observe(&score)?;
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
        let now = self.count("sessions", "INCR");
        self.seen.sessions_max = self.seen.sessions_max.max(now);
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
        let now = self.count("queries", "INCR");
        self.seen.queries_max = self.seen.queries_max.max(now);
        std::thread::sleep(Duration::from_millis(work_ms));
        self.count("queries", "DECR");
        if self.query.ask(Ask::Release, PATIENCE) == Some(Event::Released) {
            self.seen.queries.0 += 1;
        }
    }

    /// How many are inside, by the store's own count.
    fn count(&mut self, level: &str, how: &str) -> u64 {
        let key = format!("{}inside:{level}", self.prefix);
        let reply = self.session.observe(&Command::new(how).arg(key));
        reply
            .and_then(|reply| reply.as_int())
            .map_or(0, |n| n.max(0) as u64)
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
