//! The simulated Redis for any client: RESP over TCP.
//!
//! One thread, one server, as Redis has it: a command is executed as soon as it
//! is read, and what it brings about for others (messages, the end of a wait)
//! is sent before the next. A client that asks for too much is told so and its
//! connection closed. While a reply is due to a client, no further command of
//! its own is executed; a client that does not listen loses its connection when
//! 32 MB of messages are due to it.
//!
//! A script that does not end keeps the server silent for `busy-reply-threshold`,
//! and then `BUSY`. `SHUTDOWN` ends it.
//!
//! What Redis leaves to chance (`SRANDMEMBER`) is drawn from a fixed seed: the
//! same commands bring the same answers.
//!
//! With a simulated clock, time stands still until somebody says
//! `CLOCK ADVANCE milliseconds` (a command of this server, not of Redis):
//! expiry and timeouts can then be tested to the millisecond, from any
//! language, without waiting.

mod read;
mod write;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sluice_core::redis::{Command, Reply};
use sluice_sim::redis::{Engine, Server, SessionId, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::LocalSet;

pub use read::{Limits, Malformed, Reader};
use write::weight;
pub use write::{Protocol, Shape, write, write_all, write_reply};

/// So much of messages may be due to a client that does not read.
const PUSHED_MAX: usize = 32 << 20;
/// No further command of a client is executed while so much is due to it, so no
/// more can be due to it but by one reply.
const DUE_ENOUGH: usize = 1 << 20;
/// One reply may be longer than the longest argument by so much.
const REPLY_MORE: usize = 32 << 20;
/// No more is read from a client that waits for a reply.
const AHEAD_MAX: usize = 64 << 10;

/// How often keys that have expired are looked for, and among how many.
const SWEEP_EVERY: Duration = Duration::from_millis(100);
const SWEEP_KEYS: usize = 10_000;
/// What Redis leaves to chance is drawn from here.
const SEED: u64 = 1;

/// Whose time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// That of this machine.
    Wall,
    /// Its own: it stands still until it is advanced.
    Simulated,
}

/// All that the clients share.
struct Hub {
    server: Server,
    engine: Engine,
    /// The simulated time in microseconds, if time is simulated.
    simulated_us: Option<u64>,
    clients: BTreeMap<u64, Client>,
    /// The deadline changed.
    timer: Rc<Notify>,
    /// It was told to shut down.
    over: Rc<Notify>,
}

/// What is to be done for one client.
#[derive(Default)]
struct Client {
    due: Vec<u8>,
    /// How much of that are messages, which it did not ask for one by one.
    pushed: usize,
    ready: Rc<Notify>,
    /// What its open transaction holds.
    queued: Vec<Command>,
    /// It waits for a reply of this shape.
    parked: Option<Shape>,
    /// Too much was due to it.
    lost: bool,
    /// It was killed: what is due to it is the last.
    closing: bool,
}

impl Client {
    /// A reply is due to it, which is about so long; no longer than `most`, or
    /// the client is dropped rather than the memory filled.
    fn send(&mut self, weight: usize, most: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if weight > most {
            self.lose();
        }
        if !self.lost {
            write(&mut self.due);
        }
        self.ready.notify_one();
    }

    /// A message is due to it; drops it when those are too much.
    fn push(&mut self, weight: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.pushed += weight;
        if self.pushed > PUSHED_MAX {
            self.lose();
        }
        if !self.lost {
            write(&mut self.due);
        }
        self.ready.notify_one();
    }

    fn lose(&mut self) {
        self.lost = true;
        self.due = Vec::new();
    }

    /// What is due to it, which is then sent.
    fn take_due(&mut self) -> Vec<u8> {
        self.pushed = 0;
        std::mem::take(&mut self.due)
    }
}

impl Hub {
    fn now_us(&self) -> u64 {
        self.simulated_us.unwrap_or_else(wall_us)
    }

    /// How long a reply may be.
    fn longest_reply(&self) -> usize {
        self.server.longest_argument().saturating_add(REPLY_MORE)
    }

    fn protocol(&self, id: u64) -> Protocol {
        if self.server.speaks_resp3(SessionId(id)) {
            Protocol::Resp3
        } else {
            Protocol::Resp2
        }
    }

    /// Whether a script keeps it from saying anything to anybody, `BUSY` included.
    fn is_silent(&self) -> bool {
        let until = self.server.silent_until_us();
        self.simulated_us.is_none() && until.is_some_and(|at| wall_us() < at)
    }

    /// Executes a command; its reply is due to the client, now or later.
    fn execute(&mut self, id: u64, command: &Command) {
        let name = command.name().to_ascii_lowercase();
        let now_us = self.now_us();
        let own = self.simulated_us.is_some() && name == b"clock";
        let before = self.protocol(id);
        let reply = if own {
            Some(self.clock(id, command))
        } else {
            let session = SessionId(id);
            self.server.submit(&self.engine, now_us, session, command)
        };
        if self.server.is_ended() {
            self.over.notify_one();
            return;
        }
        let protocol = self.protocol(id);
        let mute = reply.is_some() && self.server.is_mute(SessionId(id));
        let typed = std::iter::from_fn(|| self.server.poll_typed());
        let mut typed: VecDeque<Vec<u8>> = typed.collect();
        let most = self.longest_reply();
        if let Some(client) = self.clients.get_mut(&id) {
            let ends = matches!(&*name, b"exec" | b"discard" | b"multi" | b"reset");
            let queued = if ends {
                std::mem::take(&mut client.queued)
            } else {
                Vec::new()
            };
            match reply {
                None => client.parked = Some(Shape::of(&command.args)),
                // What concerns subscriptions is no reply.
                Some(_) if mute && Shape::of(&command.args) != Shape::Push => {}
                Some(Reply::Array(items)) if name == b"exec" => {
                    let weight = items.iter().map(weight).sum();
                    client.send(weight, most, |out| {
                        write_all(out, &items, &queued, &mut typed, before)
                    });
                }
                Some(reply) => {
                    if reply == Reply::Status(b"QUEUED"[..].into()) {
                        client.queued.push(command.clone());
                    }
                    client.send(weight(&reply), most, |out| {
                        write_reply(out, command, &reply, &mut typed, protocol)
                    });
                }
            }
        }
        self.deliver();
        if name == b"client" {
            self.wake_all(); // it may have ended a pause
        }
    }

    /// `CLOCK`: what time it is; `CLOCK ADVANCE ms`: how late it shall be.
    fn clock(&mut self, id: u64, command: &Command) -> Reply {
        let now_us = self.now_us();
        let by_ms = match &command.args[1..] {
            [] => Some(0),
            [word, ms] if word.eq_ignore_ascii_case(b"advance") => {
                let ms = std::str::from_utf8(ms).ok();
                ms.and_then(|ms| ms.parse::<u64>().ok())
            }
            _ => None,
        };
        let later = by_ms.and_then(|ms| now_us.checked_add(ms.checked_mul(1_000)?));
        // Beyond this, Redis's own times would not fit.
        match later.filter(|at| *at < i64::MAX as u64 / 2) {
            None => Reply::error("ERR say CLOCK, or CLOCK ADVANCE milliseconds"),
            Some(later) => {
                // Whoever says so is there.
                self.server.heard_of(later, SessionId(id));
                // Each deadline on the way is met at its own time.
                while let Some(at) = self.server.deadline_us().filter(|at| *at <= later) {
                    self.server.time_out(at);
                }
                self.server.sweep(&self.engine, later, usize::MAX);
                self.simulated_us = Some(later);
                self.wake_all();
                Reply::Int((later / 1_000) as i64)
            }
        }
    }

    /// Sends those away whose time is up.
    fn tick(&mut self) {
        self.server.time_out(self.now_us());
        self.deliver();
        if self.server.is_busy() && !self.is_silent() {
            self.wake_all(); // it talks again
        }
        if self
            .server
            .paused_until_us()
            .is_some_and(|at| at < self.now_us())
        {
            self.server.end_pause();
            self.wake_all();
        }
    }

    /// Lets everybody try again what was put off.
    fn wake_all(&self) {
        for client in self.clients.values() {
            client.ready.notify_one();
        }
    }

    /// Whether a client's command has to wait for the end of a pause.
    fn puts_off(&mut self, id: u64, command: &Command) -> bool {
        let own = self.simulated_us.is_some() && command.name().eq_ignore_ascii_case(b"clock");
        let now_us = self.now_us();
        !own && self.server.puts_off(now_us, SessionId(id), command)
    }

    /// What the server has to say to others, and when it has to be asked again.
    fn deliver(&mut self) {
        let most = self.longest_reply();
        while let Some((session, reply)) = self.server.poll_reply() {
            let protocol = self.protocol(session.0);
            let mute = self.server.is_mute(session);
            if let Some(client) = self.clients.get_mut(&session.0) {
                let shape = client.parked.take().unwrap_or(Shape::Plain);
                if mute {
                    client.ready.notify_one();
                } else {
                    client.send(weight(&reply), most, |out| {
                        write(out, &reply, shape, protocol)
                    });
                }
            }
        }
        while let Some((session, reply)) = self.server.poll_push() {
            let protocol = self.protocol(session.0);
            if let Some(client) = self.clients.get_mut(&session.0) {
                client.push(weight(&reply), |out| {
                    write(out, &reply, Shape::Push, protocol)
                });
            }
        }
        while let Some(session) = self.server.poll_close() {
            if let Some(client) = self.clients.get_mut(&session.0) {
                client.closing = true;
                client.ready.notify_one();
            }
        }
        let paused = self.server.paused_until_us().is_some();
        if self.server.deadline_us().is_some() || self.is_silent() || paused {
            self.timer.notify_one();
        }
    }

    /// How long until somebody has waited enough, or a busy server says so; for
    /// ever if nobody waits for the wall's clock.
    fn patience(&self) -> Option<Duration> {
        if self.simulated_us.is_some() {
            return None;
        }
        let talks = self.server.silent_until_us().filter(|_| self.is_silent());
        let goes_on = self.server.paused_until_us();
        let deadline = self.server.deadline_us().into_iter();
        let at = deadline.chain(talks).chain(goes_on).min()?;
        Some(Duration::from_micros(at.saturating_sub(wall_us())))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "clients live by the wall's clock"
)]
fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

/// Serves until the process ends, or a client says `SHUTDOWN`.
///
/// # Errors
/// If the runtime cannot be made, or nobody can be listened to any more.
pub fn run(listener: std::net::TcpListener, version: Version, clock: Clock) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut server = Server::with_version(version);
    server.draw(SEED);
    let hub = Rc::new(RefCell::new(Hub {
        server,
        engine: Engine::new(),
        simulated_us: (clock == Clock::Simulated).then_some(1_700_000_000_000_000),
        clients: BTreeMap::new(),
        timer: Rc::default(),
        over: Rc::default(),
    }));
    let over = Rc::clone(&hub.borrow().over);
    let local = LocalSet::new();
    local.block_on(&runtime, async move {
        let listener = TcpListener::from_std(listener)?;
        tokio::task::spawn_local(watch(Rc::clone(&hub)));
        if clock == Clock::Wall {
            tokio::task::spawn_local(sweep(Rc::clone(&hub)));
        }
        for id in 1.. {
            let (stream, _) = tokio::select! {
                accepted = listener.accept() => accepted?,
                () = over.notified() => return Ok(()),
            };
            tokio::task::spawn_local(welcome(Rc::clone(&hub), stream, id));
        }
        Ok(())
    })
}

/// Whether this is no command but a line of HTTP.
fn is_http(command: &Command) -> bool {
    let name = command.name();
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// Looks at the clock for those who wait.
async fn watch(hub: Rc<RefCell<Hub>>) {
    let timer = Rc::clone(&hub.borrow().timer);
    loop {
        let patience = hub.borrow().patience();
        let enough = async {
            match patience {
                Some(patience) => tokio::time::sleep(patience).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            () = enough => hub.borrow_mut().tick(),
            () = timer.notified() => {}
        }
    }
}

/// Removes what has expired, though nobody asks for it.
async fn sweep(hub: Rc<RefCell<Hub>>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let mut hub = hub.borrow_mut();
        let Hub { server, engine, .. } = &mut *hub;
        server.sweep(engine, wall_us(), SWEEP_KEYS);
        hub.deliver();
    }
}

async fn welcome(hub: Rc<RefCell<Hub>>, mut stream: TcpStream, id: u64) {
    let full = {
        let hub = hub.borrow();
        hub.clients.len() >= hub.server.most_clients()
    };
    if full {
        // It may have gone already; nothing is lost.
        let _ = stream
            .write_all(b"-ERR max number of clients reached\r\n")
            .await;
        return;
    }
    let _ = stream.set_nodelay(true);
    let addr = |addr: io::Result<SocketAddr>| addr.map_or(String::new(), |addr| addr.to_string());
    let (peer, local) = (addr(stream.peer_addr()), addr(stream.local_addr()));
    {
        let mut hub = hub.borrow_mut();
        hub.clients.insert(id, Client::default());
        let now_us = hub.now_us();
        hub.server.connect(now_us, SessionId(id), &peer, &local);
    }
    // However the connection ended, it has ended.
    let _ = attend(&hub, stream, id).await;
    let mut hub = hub.borrow_mut();
    hub.clients.remove(&id);
    hub.server.disconnect(SessionId(id));
}

/// Reads, executes and answers, until either side has enough.
async fn attend(hub: &RefCell<Hub>, stream: TcpStream, id: u64) -> io::Result<()> {
    let (mut from, mut to) = stream.into_split();
    let mut reader = Reader::new(Limits::DEFAULT);
    let mut chunk = vec![0; 16 << 10];
    let Some(ready) = hub.borrow().clients.get(&id).map(|c| Rc::clone(&c.ready)) else {
        return Ok(());
    };
    let mut last = false;
    // A command that has to wait for the end of a pause.
    let mut held = None;
    loop {
        let (due, idle) = {
            let mut hub = hub.borrow_mut();
            let more = |hub: &Hub| {
                let client = hub.clients.get(&id);
                let silent = hub.server.is_ended() || hub.is_silent();
                !silent
                    && client.is_some_and(|c| {
                        c.parked.is_none() && c.due.len() < DUE_ENOUGH && !c.lost && !c.closing
                    })
            };
            while !last && more(&hub) {
                reader.limit_bulk(hub.server.longest_argument());
                reader.distrust(hub.server.owes_password(SessionId(id)));
                let next = match held.take() {
                    Some(command) => Ok(Some(command)),
                    None => reader.command(),
                };
                match next {
                    Ok(None) => break,
                    // A browser that was sent here, as Redis sees it: it is left
                    // at once, before it has said anything else.
                    Ok(Some(command)) if is_http(&command) => return Ok(()),
                    Ok(Some(command)) if hub.puts_off(id, &command) => {
                        held = Some(command);
                        break;
                    }
                    Ok(Some(command)) => {
                        last = command.name().eq_ignore_ascii_case(b"quit");
                        hub.execute(id, &command);
                    }
                    Err(malformed) => {
                        last = true;
                        let reply = Reply::error(malformed.to_string());
                        if let Some(client) = hub.clients.get_mut(&id) {
                            client.push(0, |out| write(out, &reply, Shape::Plain, Protocol::Resp2));
                        }
                    }
                }
            }
            let Some(client) = hub.clients.get_mut(&id).filter(|client| !client.lost) else {
                return Ok(());
            };
            last |= client.closing;
            let due = client.take_due();
            let waits = client.parked.is_some() || held.is_some();
            (due, waits || hub.is_silent())
        };
        if !due.is_empty() {
            to.write_all(&due).await?;
            continue;
        }
        if last {
            return to.shutdown().await;
        }
        let room = !idle || reader.waiting() < AHEAD_MAX;
        tokio::select! {
            count = from.read(&mut chunk), if room => match count? {
                0 => return Ok(()),
                count => reader.feed(&chunk[..count]),
            },
            () = ready.notified() => {}
        }
    }
}
