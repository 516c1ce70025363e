//! The one command connection of a process: requests of all machines go over
//! it, pipelined, and every request gets exactly one answer or one failure.

use std::collections::BTreeSet;
use std::future::{Future, pending};
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisResult, Value};
use sluice_core::client::{Failure, RequestId};
use sluice_core::redis::{Bytes, Command, Reply};

use super::wire;

/// Whose request it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tag {
    /// A machine's: its id, which of the machines of this id, and its number.
    Machine(Bytes, u64, RequestId),
    /// A question for the gate's status.
    Status(u64),
}

/// What became of a request.
pub(super) type Outcome = (Tag, Result<Reply, Failure>);

type Flight = Pin<Box<dyn Future<Output = (Tag, RedisResult<Value>)> + Send>>;
type Attempt = Pin<Box<dyn Future<Output = RedisResult<MultiplexedConnection>> + Send>>;

pub(super) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    state: State,
    /// Counts connections: who asks for a reset means a certain one.
    generation: u64,
    /// Waits for the connection to be made.
    queue: Vec<(Tag, Cmd)>,
    flights: FuturesUnordered<Flight>,
    in_flight: BTreeSet<Tag>,
}

enum State {
    Down,
    Connecting(Attempt),
    Up(MultiplexedConnection),
}

impl Link {
    pub(super) fn new(
        client: Client,
        config: AsyncConnectionConfig,
        first: MultiplexedConnection,
    ) -> Self {
        Self {
            client,
            config,
            state: State::Up(first),
            generation: 0,
            queue: Vec::new(),
            flights: FuturesUnordered::new(),
            in_flight: BTreeSet::new(),
        }
    }

    /// Sends, over a new connection if there is none. Returns the generation of
    /// the connection it goes over.
    pub(super) fn send(&mut self, tag: Tag, command: &Command) -> u64 {
        let cmd = wire::cmd(command);
        match &self.state {
            State::Up(connection) => {
                let connection = connection.clone();
                self.fly(connection, tag, cmd);
            }
            State::Connecting(_) => self.queue.push((tag, cmd)),
            State::Down => {
                self.queue.push((tag, cmd));
                let (client, config) = (self.client.clone(), self.config.clone());
                self.state = State::Connecting(Box::pin(async move {
                    client
                        .get_multiplexed_async_connection_with_config(&config)
                        .await
                }));
            }
        }
        self.generation
    }

    /// Drops the connection of that generation, if it is still the one in use.
    /// Returns what failed with it. One that is still being made has its own
    /// time limit, which may be longer than a request's: it is not begun anew,
    /// or a slow network would never let one come about.
    pub(super) fn reset(&mut self, generation: u64) -> Vec<Outcome> {
        if generation != self.generation {
            return Vec::new();
        }
        if !matches!(self.state, State::Connecting(_)) {
            self.generation += 1;
            self.state = State::Down;
        }
        self.fail()
    }

    /// The connection, or the attempt at one, is gone.
    fn down(&mut self) -> Vec<Outcome> {
        self.generation += 1;
        self.state = State::Down;
        self.fail()
    }

    /// All that has no answer will have none.
    fn fail(&mut self) -> Vec<Outcome> {
        self.flights = FuturesUnordered::new();
        let flown = std::mem::take(&mut self.in_flight);
        let queued = std::mem::take(&mut self.queue);
        let unknown = flown.into_iter().map(|tag| (tag, Err(Failure::Unknown)));
        let not_sent = queued
            .into_iter()
            .map(|(tag, _)| (tag, Err(Failure::NotSent)));
        unknown.chain(not_sent).collect()
    }

    /// The next answers or failures. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Vec<Outcome> {
        loop {
            match &mut self.state {
                State::Down => pending().await,
                State::Connecting(attempt) => match attempt.await {
                    Ok(connection) => {
                        for (tag, cmd) in std::mem::take(&mut self.queue) {
                            self.fly(connection.clone(), tag, cmd);
                        }
                        self.state = State::Up(connection);
                    }
                    Err(error) => {
                        let refusal = wire::error_reply(&error);
                        let mut failed = self.down();
                        if let Some(refusal) = refusal {
                            // The server itself has refused us, and said why.
                            for (_, outcome) in &mut failed {
                                *outcome = Ok(refusal.clone());
                            }
                        }
                        return failed;
                    }
                },
                State::Up(_) => match self.flights.next().await {
                    None => pending().await,
                    Some((tag, result)) => {
                        self.in_flight.remove(&tag);
                        return match wire::reply(result) {
                            Ok(reply) => vec![(tag, Ok(reply))],
                            Err(_) => {
                                let mut failed = self.down();
                                failed.push((tag, Err(Failure::Unknown)));
                                failed
                            }
                        };
                    }
                },
            }
        }
    }

    fn fly(&mut self, mut connection: MultiplexedConnection, tag: Tag, cmd: Cmd) {
        self.in_flight.insert(tag.clone());
        self.flights.push(Box::pin(async move {
            let result = connection.send_packed_command(&cmd).await;
            (tag, result)
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A server that takes 300 ms to let anybody in is reached by a client that
    /// waits 100 ms for each reply.
    #[tokio::test]
    async fn a_slow_connection_comes_about_though_requests_time_out() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let port = server.local_addr().expect("bound").port();
        tokio::spawn(slow_server(server));
        let client = Client::open(format!("redis://127.0.0.1:{port}/")).expect("a URL");
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(10)))
            .set_response_timeout(None);
        let first = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .expect("the server is there");
        let mut link = Link::new(client, config, first);
        link.reset(0);
        let ping = Command::new("PING");
        for request in 0..20 {
            let tag = Tag::Status(request);
            let generation = link.send(tag.clone(), &ping);
            match tokio::time::timeout(Duration::from_millis(100), link.next()).await {
                Ok(outcomes) => {
                    assert!(outcomes[0].1.is_ok(), "{outcomes:?}");
                    return;
                }
                Err(_) => {
                    let failed = link.reset(generation);
                    // Unknown, if the connection came about just then.
                    let sent = |f: &Failure| matches!(f, Failure::NotSent | Failure::Unknown);
                    assert!(
                        matches!(&failed[..], [(t, Err(f))] if *t == tag && sent(f)),
                        "{failed:?}"
                    );
                }
            }
        }
        panic!("twenty attempts, and none was let finish");
    }

    /// Answers whatever comes with `+OK`, a line each; the second connection
    /// and later ones only after a while.
    async fn slow_server(server: tokio::net::TcpListener) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for n in 0.. {
            let Ok((mut socket, _)) = server.accept().await else {
                return;
            };
            tokio::spawn(async move {
                if n > 0 {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                let mut buffer = [0; 4096];
                while let Ok(size @ 1..) = socket.read(&mut buffer).await {
                    let commands = buffer[..size].iter().filter(|b| **b == b'*').count();
                    let _ = socket
                        .write_all("+OK\r\n".repeat(commands).as_bytes())
                        .await;
                }
            });
        }
    }
}
