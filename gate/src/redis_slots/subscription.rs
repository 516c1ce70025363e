//! The one subscription of a process: wake-ups for all of its machines. Made
//! when the first machine wants it, kept from then on, made again when it is
//! lost.

use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{PubSub, PubSubStream};
use redis::{Client, RedisError, RedisResult};
use sluice_core::redis::Bytes;
use tokio::time::{sleep, timeout};

const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

type Attempt = Pin<Box<dyn Future<Output = RedisResult<PubSub>> + Send>>;

pub(super) struct Subscription {
    client: Client,
    channel: Bytes,
    connect_timeout: Duration,
    pause: Duration,
    state: State,
}

enum State {
    Unwanted,
    Connecting(Attempt),
    Up(PubSubStream),
}

/// What a subscription brings.
#[derive(Debug)]
pub(super) enum News {
    Subscribed,
    Unsubscribed,
    Message(Bytes),
}

impl Subscription {
    pub(super) fn new(client: Client, channel: Bytes, connect_timeout: Duration) -> Self {
        Self {
            client,
            channel,
            connect_timeout,
            pause: PAUSE_FIRST,
            state: State::Unwanted,
        }
    }

    /// A machine wants it. Returns whether it is in place already.
    pub(super) fn want(&mut self) -> bool {
        match self.state {
            State::Unwanted => {
                self.state = State::Connecting(self.attempt(Duration::ZERO));
                false
            }
            State::Connecting(_) => false,
            State::Up(_) => true,
        }
    }

    /// The next piece of news. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> News {
        loop {
            match &mut self.state {
                State::Unwanted => pending().await,
                State::Connecting(attempt) => match attempt.await {
                    Ok(pubsub) => {
                        self.pause = PAUSE_FIRST;
                        self.state = State::Up(pubsub.into_on_message());
                        return News::Subscribed;
                    }
                    Err(_) => {
                        self.state = State::Connecting(self.attempt(self.pause));
                        self.pause = (self.pause * 2).min(PAUSE_MAX);
                    }
                },
                State::Up(stream) => match stream.next().await {
                    Some(message) => return News::Message(message.get_payload_bytes().into()),
                    None => {
                        self.state = State::Connecting(self.attempt(self.pause));
                        return News::Unsubscribed;
                    }
                },
            }
        }
    }

    fn attempt(&self, pause: Duration) -> Attempt {
        let (client, channel) = (self.client.clone(), self.channel.clone());
        let limit = self.connect_timeout;
        Box::pin(async move {
            sleep(pause).await;
            let subscribed = timeout(limit, async {
                let mut pubsub = client.get_async_pubsub().await?;
                pubsub.subscribe(&*channel).await?;
                Ok(pubsub)
            });
            subscribed.await.unwrap_or_else(|_| {
                let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(RedisError::from(late))
            })
        })
    }
}
