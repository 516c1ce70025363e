//! A blocking driver for one client machine on one real connection.
//!
//! It takes no decision: what the machine wants sent is sent, what it wants
//! told is handed out. Messages are left out on purpose (the subscription is
//! never confirmed), so the machine's own polling is what wakes it: a wake-up
//! can then not hide a poll that does not work.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sluice_core::client::{Ask, Client, Conn, Event, Failure, Input, Output};
use sluice_core::redis::{Command, Reply};
use sluice_core::time::LocalTime;

use crate::real::{Connection, Error, Url};
use crate::subject::gate::AnyClient;

/// One client at work.
pub(super) struct Driver {
    client: AnyClient,
    url: Url,
    /// Passes before each command: the network of a control.
    delay: Duration,
    connection: Option<Connection>,
    birth: Instant,
    events: VecDeque<Event>,
    /// Times the machine told of trouble, and the last one in words.
    pub(super) troubles: (u64, String),
}

impl Driver {
    /// Connects at once, so that the first answer is not charged for it.
    #[expect(clippy::disallowed_methods, reason = "drives a real server")]
    pub(super) fn new(client: AnyClient, url: &Url, delay: Duration) -> Result<Self, Error> {
        Ok(Self {
            client,
            url: url.clone(),
            delay,
            connection: Some(Connection::open(url)?),
            birth: Instant::now(),
            events: VecDeque::new(),
            troubles: (0, String::new()),
        })
    }

    /// Asks, and returns the next thing the application is told.
    pub(super) fn ask(&mut self, ask: Ask, patience: Duration) -> Option<Event> {
        self.handle(Input::Ask(ask));
        self.next(patience)
    }

    /// The next thing the application is told; `None` when patience is over.
    pub(super) fn next(&mut self, patience: Duration) -> Option<Event> {
        let until = self.birth.elapsed() + patience;
        loop {
            self.drain();
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let now = self.birth.elapsed();
            if now >= until {
                return None;
            }
            let deadline = self.client.deadline();
            let due = deadline.map_or(until, |(at, _)| Duration::from_nanos(at.0).min(until));
            if let Some(pause) = due.checked_sub(now) {
                std::thread::sleep(pause);
            }
            self.handle(Input::Wake);
        }
    }

    /// A command of the observer's own, on the same connection.
    ///
    /// # Errors
    /// As [`Connection::ask`]: a refusal is an error.
    pub(super) fn observe(&mut self, command: &Command) -> Result<Reply, Error> {
        self.connected()?.ask(command)
    }

    /// As [`Driver::observe`], for a number.
    ///
    /// # Errors
    /// As [`Connection::count`].
    pub(super) fn count(&mut self, command: &Command) -> Result<u64, Error> {
        self.connected()?.count(command)
    }

    fn connected(&mut self) -> Result<&mut Connection, Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.url)?,
        };
        Ok(self.connection.insert(connection))
    }

    fn handle(&mut self, input: Input) {
        let now = self.birth.elapsed().as_nanos();
        self.client.handle(LocalTime(now as u64), input);
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Send { request, command } => {
                    let input = match self.call(&command) {
                        Ok(reply) => Input::Reply(request, reply),
                        Err(failure) => Input::Failed(request, failure),
                    };
                    self.handle(input);
                }
                Output::Reset(Conn::Commands) => self.connection = None,
                Output::Reset(Conn::Messages) | Output::Subscribe(_) | Output::Unsubscribe => {}
                Output::Tell(Event::Trouble(words)) => {
                    self.troubles = (self.troubles.0 + 1, words.into());
                }
                Output::Tell(event) => self.events.push_back(event),
            }
        }
    }

    fn call(&mut self, command: &Command) -> Result<Reply, Failure> {
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
        let connection = self.connected().map_err(|_| Failure::NotSent)?;
        connection.call(command).map_err(|_| {
            self.connection = None;
            Failure::Unknown
        })
    }
}
