//! What a server answers that cannot, or must not, do what it is asked.
//!
//! None of it means "denied": a client that takes it for an answer of the gate
//! lets somebody in, or throws somebody out, for no reason.

use std::borrow::Cow;

use crate::choice::Touch;

/// An error that a server gives for a while.
///
/// While a slot is on its way to another node, a node answers by what it still
/// has of a command's keys: with all of them it executes the command; with none,
/// it says `ASK`; with some, `TRYAGAIN`, which commands of one key never get.
/// (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// It has become a replica, and refuses to write.
    ReadOnly,
    /// `maxmemory` is reached, and nothing may be evicted.
    OutOfMemory,
    /// Another script has been running for too long.
    Busy,
    /// A replica without its master.
    MasterDown,
    /// A node of a cluster that lacks slots.
    ClusterDown,
    /// Fewer replicas than `min-replicas-to-write`.
    NoReplicas,
    /// The slot has gone to another node.
    Moved,
    /// The slot is on its way to another node, and of several keys some are there.
    TryAgain,
    /// The slot is on its way to another node, and all of its keys are there.
    Ask,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::ReadOnly,
        Self::OutOfMemory,
        Self::Busy,
        Self::MasterDown,
        Self::ClusterDown,
        Self::NoReplicas,
        Self::Moved,
        Self::TryAgain,
        Self::Ask,
    ];

    /// The first word of the error reply.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.text().split(' ').next().unwrap_or_default()
    }

    /// The text of the error reply, as Redis has it; `MOVED` and `ASK` go on
    /// with the slot, and the address of another node.
    const fn text(self) -> &'static str {
        match self {
            Self::ReadOnly => "READONLY You can't write against a read only replica.",
            Self::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            Self::Busy => {
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
            }
            Self::MasterDown => {
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
            }
            Self::ClusterDown => "CLUSTERDOWN The cluster is down",
            Self::NoReplicas => "NOREPLICAS Not enough good replicas to write.",
            Self::Moved => "MOVED",
            Self::TryAgain => "TRYAGAIN Multiple keys request during rehashing of slot",
            Self::Ask => "ASK",
        }
    }

    /// What a command is answered that touches this, and declares keys in these
    /// slots (one for each key); `None` if it is executed all the same.
    #[must_use]
    pub fn answer(self, touch: &Touch, slots: &[u16]) -> Option<Cow<'static, str>> {
        let text = Cow::Borrowed(self.text());
        match self {
            Self::ReadOnly | Self::OutOfMemory | Self::NoReplicas => {
                (touch.keys != 0 && touch.writes).then_some(text)
            }
            Self::ClusterDown => (!slots.is_empty()).then_some(text),
            Self::TryAgain => (slots.len() > 1).then_some(text),
            Self::Moved | Self::Ask => {
                let slot = slots.first()?;
                Some(Cow::Owned(format!("{text} {slot} 127.0.0.1:6381")))
            }
            Self::Busy | Self::MasterDown => Some(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_core::redis::Command;

    use super::*;
    use crate::redis::Server;
    use crate::store::Store;

    /// Each is given to the commands it concerns, and to no other.
    #[test]
    fn commands_are_refused_by_what_they_touch() {
        let server = Server::new();
        let command = |line: &str| {
            let mut words = line.split(' ');
            let name = Command::new(words.next().expect("a name"));
            words.fold(name, |command, word| command.arg(word))
        };
        let lines = [
            "PING",
            "GET {a}x",
            "SET {a}x 1",
            "MGET {a}x {a}y",
            "EVAL return 0",
            "EVAL return 2 {a}x {a}y",
        ];
        let lines = lines.map(command);
        let refused = |refusal: Refusal| {
            let answers = lines.iter().map(|command| {
                let (touch, slots) = (server.touch(command), server.slots(command));
                refusal.answer(&touch, &slots)
            });
            let codes = answers.map(|text| match text {
                Some(text) if text.starts_with(refusal.code()) => 'x',
                Some(_) => '?',
                None => '.',
            });
            codes.collect::<String>()
        };
        for (refusal, expected) in [
            (Refusal::ReadOnly, "..x..x"),
            (Refusal::OutOfMemory, "..x..x"),
            (Refusal::NoReplicas, "..x..x"),
            (Refusal::Busy, "xxxxxx"),
            (Refusal::MasterDown, "xxxxxx"),
            (Refusal::ClusterDown, ".xxx.x"),
            (Refusal::Moved, ".xxx.x"),
            (Refusal::Ask, ".xxx.x"),
            (Refusal::TryAgain, "...x.x"),
        ] {
            assert_eq!(refused(refusal), expected, "{refusal:?}");
        }
        let slots = server.slots(&command("GET {a}x"));
        let told = Refusal::Ask.answer(&server.touch(&lines[1]), &slots);
        assert_eq!(told.as_deref(), Some("ASK 15495 127.0.0.1:6381"));
    }
}
