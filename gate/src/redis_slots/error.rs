//! What can go wrong, said to a person: what, where, what to do.

use redis::{ErrorKind, RedisError};
use sluice_core::client::slots::SettingsError;
use sluice_core::redis::Reply;
use sluice_core::script::NameError;
use sluice_core::slots::{Ended, IdError};

use super::wire;

/// Why [`connect`](super::RedisSlots::connect) failed. Messages carry no password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be understood.
    #[error("wrong URL: {0}; it should look like redis://[user:password@]host[:port][/database]")]
    Url(String),
    /// The gate's name or prefix cannot be part of a key.
    #[error("wrong name: {0}")]
    Name(NameError),
    /// The configuration or the options do not hold.
    #[error("wrong settings: {0}")]
    Settings(SettingsError),
    /// Nobody answers there.
    #[error("no connection to {address}: {why}; is the server running, and is the address right?")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system said.
        why: String,
    },
    /// The server wants a password, or another one.
    #[error("{address} does not let us in: {why}; put user:password@ before the host in the URL")]
    Auth {
        /// Host and port.
        address: String,
        /// What the server said.
        why: String,
    },
    /// The server answers, but with an error.
    #[error("{address} refuses: {why}; see the server's log")]
    Refused {
        /// Host and port.
        address: String,
        /// What the server said.
        why: String,
    },
}

/// Why there is no slot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// The id is not one.
    #[error("wrong id: {0}")]
    Id(IdError),
    /// This process already waits or holds under this id.
    #[error("this id waits for or holds a slot already; use another id, or release that one first")]
    IdInUse,
    /// The queue is at its limit.
    #[error("the gate's queue is full; try again later")]
    Full,
    /// No slot is free, and waiting was not wanted.
    #[error("no slot is free")]
    Busy,
    /// The wait was longer than allowed.
    #[error("no slot within the time allowed{}", .trouble.as_ref().map_or(String::new(), |why| format!(" ({why})")))]
    TimedOut {
        /// What was wrong with the gate's server at the end, if anything was.
        trouble: Option<Box<str>>,
    },
    /// The place ended while it waited: cancelled by a newer attempt of the same
    /// id elsewhere, abandoned after too long a silence.
    #[error(
        "the place in line has ended: {0:?}; was it silent for too long, or is the id used elsewhere?"
    )]
    Ended(Ended),
    /// The server refuses for a reason that trying again cannot mend.
    #[error("the gate's server refuses: {0}")]
    Refused(String),
    /// The gate was closed.
    #[error("the gate was closed in this process")]
    Closed,
}

/// Why a release was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// The server refuses; it is tried again in the background until the lease
    /// has ended.
    #[error("the gate's server refuses: {0}; trying again in the background")]
    Refused(String),
    /// The gate was closed, which releases everything.
    #[error("the gate was closed in this process")]
    Closed,
}

/// Why there is no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// No answer.
    #[error("the gate's server does not answer; is it running?")]
    Unreachable,
    /// An answer that is none.
    #[error("the gate's server gives no status: {0}")]
    Refused(String),
    /// The gate was closed.
    #[error("the gate was closed in this process")]
    Closed,
}

impl ConnectError {
    pub(super) fn url(error: &RedisError) -> Self {
        // Only redis-rs's own words: the URL may carry a password.
        Self::Url(match error.kind() {
            ErrorKind::InvalidClientConfig => error.to_string(),
            _ => error.category().to_owned(),
        })
    }

    pub(super) fn refused(address: &str, error: &RedisError) -> Self {
        match wire::error_reply(error) {
            Some(Reply::Error(text)) => Self::server(address, &text),
            _ => Self::Unreachable {
                address: address.to_owned(),
                why: error.to_string(),
            },
        }
    }

    pub(super) fn server(address: &str, text: &[u8]) -> Self {
        let (address, why) = (
            address.to_owned(),
            String::from_utf8_lossy(text).into_owned(),
        );
        match text.split(|b| *b == b' ').next() {
            Some(b"NOAUTH" | b"WRONGPASS" | b"NOPERM") => Self::Auth { address, why },
            _ => Self::Refused { address, why },
        }
    }
}
