//! What a step did, with enough in it for traces, timelines and properties.

use core::hash::{Hash, Hasher};

use sluice_core::client::{Event, Failure, RequestId};
use sluice_core::redis::{Bytes, Command, Reply};

use super::fault::FaultKind;
use super::refusal::Refusal;

/// An actor on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActorId {
    /// The host's number.
    pub host: u16,
    /// The actor's number on it.
    pub actor: u16,
}

impl Hash for ActorId {
    /// Every step is digested, and every happening has one of these.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(u32::from(self.host) << 16 | u32::from(self.actor));
    }
}

/// One thing that happened, at [`super::World::now`] of its step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    /// A connection of an actor was made.
    Connected {
        /// Whose.
        who: ActorId,
        /// Number among the actor's connections.
        connection: u32,
    },
    /// A connection could not be made.
    Refused {
        /// Whose.
        who: ActorId,
        /// Number among the actor's connections.
        connection: u32,
    },
    /// The server executed a command.
    Executed {
        /// Who had sent it.
        who: ActorId,
        /// Number among the actor's connections.
        connection: u32,
        /// The client's name for it; `None` for what the driver sends by
        /// itself (`SUBSCRIBE`).
        request: Option<RequestId>,
        /// What was executed.
        command: Command,
        /// What the server answered.
        reply: Reply,
        /// When the client had sent it.
        sent_ns: u64,
    },
    /// A client received a reply.
    Delivered {
        /// Who.
        who: ActorId,
        /// To which request.
        request: RequestId,
        /// What it says.
        reply: Reply,
        /// When the request had been sent.
        sent_ns: u64,
    },
    /// A client was told that a request will not be answered.
    Lost {
        /// Who.
        who: ActorId,
        /// Which request.
        request: RequestId,
        /// What is known of it.
        failure: Failure,
        /// When the request had been sent.
        sent_ns: u64,
    },
    /// A command was lost on its way: it will never be executed.
    CommandLost {
        /// Who had sent it.
        who: ActorId,
        /// The client's name for it.
        request: Option<RequestId>,
        /// What it was.
        command: Command,
    },
    /// A command was executed and its reply was lost on its way.
    ReplyLost {
        /// Who would have got it.
        who: ActorId,
        /// The client's name for the request.
        request: Option<RequestId>,
        /// What it said.
        reply: Reply,
    },
    /// A subscription is in place.
    Subscribed {
        /// Whose.
        who: ActorId,
    },
    /// A subscription is gone.
    Unsubscribed {
        /// Whose.
        who: ActorId,
    },
    /// A client received a message.
    Message {
        /// Who.
        who: ActorId,
        /// What it says.
        payload: Bytes,
    },
    /// The server learned that a connection has ended.
    HungUp {
        /// Whose it was.
        who: ActorId,
        /// Number among the actor's connections.
        connection: u32,
    },
    /// A deadline of an actor was reached.
    Woke {
        /// Who.
        who: ActorId,
        /// Why.
        reason: &'static str,
    },
    /// A client told its application something.
    Told {
        /// Who.
        who: ActorId,
        /// What.
        event: Event,
    },
    /// Fault: a connection was cut.
    Cut {
        /// Whose.
        who: ActorId,
        /// Number among the actor's connections.
        connection: u32,
        /// Bytes that still reach the server.
        up_bytes: u64,
        /// Bytes that still reach the client.
        down_bytes: u64,
    },
    /// Fault: a connection carries nothing for a while.
    Stalled {
        /// Whose.
        who: ActorId,
        /// Number among the actor's connections.
        connection: u32,
        /// Until when.
        until_ns: u64,
    },
    /// Fault: a host is cut off from the server.
    Partitioned {
        /// Which.
        host: u16,
        /// Until when.
        until_ns: u64,
    },
    /// A host is connected again.
    Mended {
        /// Which.
        host: u16,
    },
    /// Fault: the server refuses new connections of a host.
    Refusing {
        /// Which.
        host: u16,
        /// Until when.
        until_ns: u64,
    },
    /// Fault: a process stands still.
    Paused {
        /// On which host.
        host: u16,
        /// Until when.
        until_ns: u64,
    },
    /// A paused process goes on.
    Resumed {
        /// On which host.
        host: u16,
    },
    /// Fault: a process died.
    Crashed {
        /// On which host.
        host: u16,
        /// When it will start again.
        until_ns: u64,
    },
    /// A process started again.
    Restarted {
        /// On which host.
        host: u16,
    },
    /// Fault: a host's clock stepped.
    ClockStepped {
        /// Which.
        host: u16,
        /// By how much.
        by_ns: i64,
    },
    /// Fault: the server's clock stepped.
    ServerClockStepped {
        /// By how much.
        by_us: i64,
    },
    /// Fault: the server forgot its cached scripts.
    ScriptsFlushed,
    /// Fault: the server went down, with all its connections.
    ServerStopped {
        /// [`FaultKind::ServerRestart`], [`FaultKind::PowerLoss`],
        /// [`FaultKind::ServerWipe`], or [`FaultKind::ServerFailover`].
        kind: FaultKind,
        /// How many of the last commands that wrote are lost, or
        /// [`EVERYTHING`](super::EVERYTHING).
        lost: u32,
        /// When it will be up again.
        until_ns: u64,
    },
    /// Fault: a replica takes the server's place for who connects from now on;
    /// who is connected stays with the old one.
    ServerSplit {
        /// How many of the last commands that wrote the replica lacks.
        lost: u32,
        /// When the old one learns of it, and ends.
        until_ns: u64,
    },
    /// A server that has been replaced executed a command all the same.
    ExecutedByFormer {
        /// Who had sent it.
        who: ActorId,
        /// What was executed.
        command: Command,
        /// What the server answered.
        reply: Reply,
    },
    /// A server that has been replaced has learnt of it, and ends.
    FormerStopped,
    /// Fault: the server answers commands with an error for a while.
    ServerRefuses {
        /// Which.
        refusal: Refusal,
        /// Until when.
        until_ns: u64,
    },
    /// The server is up again.
    ServerStarted {
        /// Until when it answers `-LOADING`.
        loading_until_ns: u64,
    },
    /// The time of faults is over, and everything has healed.
    Healed,
    /// Fault: the server threw a key away, for want of memory.
    Evicted {
        /// Which.
        key: Bytes,
    },
}

impl Happening {
    /// The host whose process took part in it, if one did.
    #[must_use]
    pub const fn host(&self) -> Option<u16> {
        match self {
            Self::Connected { who, .. }
            | Self::Refused { who, .. }
            | Self::Executed { who, .. }
            | Self::ExecutedByFormer { who, .. }
            | Self::Delivered { who, .. }
            | Self::Lost { who, .. }
            | Self::CommandLost { who, .. }
            | Self::ReplyLost { who, .. }
            | Self::Subscribed { who }
            | Self::Unsubscribed { who }
            | Self::Message { who, .. }
            | Self::HungUp { who, .. }
            | Self::Woke { who, .. }
            | Self::Told { who, .. }
            | Self::Cut { who, .. }
            | Self::Stalled { who, .. } => Some(who.host),
            Self::Partitioned { host, .. }
            | Self::Mended { host }
            | Self::Refusing { host, .. }
            | Self::Paused { host, .. }
            | Self::Resumed { host }
            | Self::Crashed { host, .. }
            | Self::Restarted { host }
            | Self::ClockStepped { host, .. } => Some(*host),
            Self::ServerClockStepped { .. }
            | Self::ScriptsFlushed
            | Self::Evicted { .. }
            | Self::ServerStopped { .. }
            | Self::ServerSplit { .. }
            | Self::FormerStopped
            | Self::ServerRefuses { .. }
            | Self::ServerStarted { .. }
            | Self::Healed => None,
        }
    }
}
