//! One connection: two ordered streams of bytes, of which any prefix may arrive.
//!
//! Frames are kept as data, never as bytes, but each knows the length that it
//! would have on the wire (RESP2), so that a cut falls on a byte and not on a
//! frame: what lies wholly before the cut arrives, what the cut falls into
//! does not.
//!
//! The two ends learn of the end at different times. A link is *open to the
//! client* until the client resets it or learns that it is lost, and *open to
//! the server* until the server learns that it has ended; it is forgotten when
//! it is open to neither. This is how a copy of a command can execute long
//! after its sender has reset the connection and gone on.

use sluice_core::client::{Conn, RequestId};
use sluice_core::redis::{Command, Reply};

use super::agenda::NEVER;
use super::happening::ActorId;
use crate::in_order::InOrder;
use crate::store::SessionId;

/// On its way from the client to the server.
#[derive(Clone, Debug, Hash)]
pub(super) struct UpFrame {
    /// When it arrives, if nothing holds it up.
    pub(super) at: u64,
    pub(super) body: Up,
}

#[derive(Clone, Debug, Hash)]
pub(super) enum Up {
    Command {
        ticket: Ticket,
        command: Command,
    },
    /// The end of the stream.
    Fin,
}

/// On its way from the server to the client.
#[derive(Clone, Debug, Hash)]
pub(super) struct DownFrame {
    /// When it arrives, if nothing holds it up.
    pub(super) at: u64,
    pub(super) body: Down,
}

#[derive(Clone, Debug, Hash)]
pub(super) enum Down {
    Reply {
        ticket: Ticket,
        reply: Reply,
    },
    /// A message, with its number among those of its actor.
    Push {
        number: u32,
        reply: Reply,
    },
    /// The end of the stream.
    Fin,
}

/// What identifies a request from sending to reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ticket {
    /// The client's name for it; `None` for the driver's own.
    pub(super) request: Option<RequestId>,
    /// Its number among all that its actor has sent.
    pub(super) number: u32,
    pub(super) sent_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// The slot is unused.
    Free,
    /// Being made; the outcome is known at this time.
    Connecting { at: u64 },
    /// Made; carries bytes both ways.
    Open,
    /// Made once; carries no more than what is already in flight.
    Dead,
}

/// Work of the server on the first frame of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Turn {
    pub(super) start: u64,
    pub(super) service: u64,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Link {
    pub(super) session: SessionId,
    pub(super) who: ActorId,
    /// Its number among the links of its actor.
    pub(super) number: u32,
    pub(super) role: Conn,
    pub(super) phase: Phase,
    pub(super) client_open: bool,
    pub(super) server_open: bool,
    /// It leads to a server that has been replaced.
    pub(super) former: bool,
    /// Nothing arrives before this time.
    pub(super) stalled_until: u64,
    /// The first frame up has arrived and waits for the server's attention.
    pub(super) turn: Option<Turn>,
    /// The command that waits at the server for something to answer with;
    /// nothing after it is executed before.
    pub(super) parked: Option<(Ticket, Command)>,
    /// Its last command that wrote, by the count of all that did.
    pub(super) wrote: u64,
    pub(super) up: InOrder<UpFrame>,
    pub(super) down: InOrder<DownFrame>,
    /// What the client has asked and has no answer to, in order.
    pub(super) pending: InOrder<Ticket>,
}

impl Link {
    /// Bytes that have not arrived at the server.
    pub(super) fn up_bytes(&self) -> u64 {
        let skip = usize::from(self.turn.is_some());
        self.up.iter().skip(skip).map(|f| f.body.len()).sum()
    }

    /// Bytes that have not arrived at the client.
    pub(super) fn down_bytes(&self) -> u64 {
        self.down.iter().map(|f| f.body.len()).sum()
    }

    /// How many frames up survive if `bytes` of those in flight arrive.
    pub(super) fn up_kept(&self, bytes: u64) -> usize {
        let skip = usize::from(self.turn.is_some());
        skip + whole(self.up.iter().skip(skip).map(|f| f.body.len()), bytes)
    }

    /// How many frames down survive if `bytes` of those in flight arrive.
    pub(super) fn down_kept(&self, bytes: u64) -> usize {
        whole(self.down.iter().map(|f| f.body.len()), bytes)
    }

    /// Appends a frame to the server, not before those already under way.
    pub(super) fn push_up(&mut self, at: u64, body: Up) {
        let at = self.up.last().map_or(at, |last| at.max(last.at));
        self.up.push(UpFrame { at, body });
    }

    /// Appends a frame to the client, not before those already under way.
    pub(super) fn push_down(&mut self, at: u64, body: Down) {
        let at = self.down.last().map_or(at, |last| at.max(last.at));
        self.down.push(DownFrame { at, body });
    }

    /// When the first frame up arrives or is executed.
    pub(super) fn up_time(&self, carried: bool) -> u64 {
        if let Some(turn) = self.turn {
            return turn.start;
        }
        // Behind a command that waits, only the connection's end is heard.
        let next = match self.parked {
            None => self.up.first(),
            Some(_) => self.up.last().filter(|frame| matches!(frame.body, Up::Fin)),
        };
        match (self.phase, next) {
            (Phase::Open | Phase::Dead, Some(head)) if carried => head.at.max(self.stalled_until),
            (Phase::Open | Phase::Dead | Phase::Free | Phase::Connecting { .. }, _) => NEVER,
        }
    }

    /// When the first frame down arrives, or the outcome of connecting does.
    pub(super) fn down_time(&self, carried: bool) -> u64 {
        match (self.phase, self.down.first()) {
            (Phase::Connecting { at }, _) => at,
            (Phase::Open | Phase::Dead, Some(head)) if carried => head.at.max(self.stalled_until),
            (Phase::Open | Phase::Dead | Phase::Free, _) => NEVER,
        }
    }
}

impl Up {
    fn len(&self) -> u64 {
        match self {
            Self::Command { command, .. } => command_len(command),
            Self::Fin => 0,
        }
    }
}

impl Down {
    fn len(&self) -> u64 {
        match self {
            Self::Reply { reply, .. } | Self::Push { reply, .. } => reply_len(reply),
            Self::Fin => 0,
        }
    }
}

/// How many of the frames lie wholly within the first `bytes`.
fn whole(lengths: impl Iterator<Item = u64>, mut bytes: u64) -> usize {
    let mut kept = 0;
    for len in lengths {
        match bytes.checked_sub(len) {
            Some(rest) => bytes = rest,
            None => break,
        }
        kept += 1;
    }
    kept
}

/// Length of a command on the wire: an array of bulk strings.
fn command_len(command: &Command) -> u64 {
    header_len(command.args.len() as u64)
        + command.args.iter().map(|a| bulk_len(a.len())).sum::<u64>()
}

/// Length of a reply on the wire.
fn reply_len(reply: &Reply) -> u64 {
    match reply {
        Reply::Status(text) | Reply::Error(text) => 3 + text.len() as u64,
        Reply::Int(n) => 3 + u64::from(*n < 0) + digits(n.unsigned_abs()),
        Reply::Bulk(bytes) => bulk_len(bytes.len()),
        Reply::Nil => 5,
        Reply::Array(items) => {
            header_len(items.len() as u64) + items.iter().map(reply_len).sum::<u64>()
        }
    }
}

const fn bulk_len(len: usize) -> u64 {
    header_len(len as u64) + len as u64 + 2
}

/// `*12\r\n`
const fn header_len(n: u64) -> u64 {
    3 + digits(n)
}

const fn digits(n: u64) -> u64 {
    match n.checked_ilog10() {
        Some(log) => log as u64 + 1,
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_wire() {
        let command = Command::new("SET").arg("key").arg("0123456789");
        let wire = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$10\r\n0123456789\r\n";
        assert_eq!(command_len(&command), wire.len() as u64);
        let reply = Reply::Array(vec![
            Reply::Int(-120),
            Reply::Nil,
            Reply::bulk(""),
            Reply::error("ERR no"),
            Reply::ok(),
            Reply::Int(0),
        ]);
        let wire = "*6\r\n:-120\r\n$-1\r\n$0\r\n\r\n-ERR no\r\n+OK\r\n:0\r\n";
        assert_eq!(reply_len(&reply), wire.len() as u64);
    }

    #[test]
    fn a_cut_inside_a_frame_loses_it() {
        let lengths = [10u64, 5, 7];
        let kept = |bytes| whole(lengths.into_iter(), bytes);
        assert_eq!([0, 9, 10, 14, 15, 21, 22].map(kept), [0, 0, 1, 1, 2, 2, 3]);
    }
}
