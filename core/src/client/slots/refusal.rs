//! What an error reply means. None of them means "denied" (B40, B45): the
//! scripts deny in words of their own, never by an error.
//!
//! The question is only whether trying again can help. Where it can, the
//! client keeps trying and says so; where it cannot, it says what to do.

/// What to do about an error reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Load the script, then send the same request again.
    Load,
    /// The same request again, later, on the same connection.
    Retry,
    /// The same request again, later, on a new connection: the server behind
    /// the address may be another one by then.
    Reconnect,
    /// Trying again cannot mend it.
    GiveUp,
}

/// An error reply, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What to do.
    pub(super) remedy: Remedy,
    /// What it means and what a person can do, for messages.
    pub(super) meaning: &'static str,
}

/// Understands an error reply by its code, its first word.
pub(super) fn understand(error: &[u8]) -> Refusal {
    use Remedy::{GiveUp, Load, Reconnect, Retry};
    let code = error.split(|b| *b == b' ').next().unwrap_or_default();
    let (remedy, meaning) = match code {
        b"NOSCRIPT" => (
            Load,
            "the script cache was flushed; loading the script again",
        ),
        b"LOADING" => (Retry, "the server is loading its data"),
        b"BUSY" => (Retry, "the server is busy with a slow script"),
        b"OOM" => (
            Retry,
            "the server is out of memory; raise maxmemory or free some",
        ),
        b"MISCONF" => (
            Retry,
            "the server refuses writes because it cannot save; see its log",
        ),
        b"NOREPLICAS" => (Retry, "the server has too few replicas to accept writes"),
        b"CLUSTERDOWN" => (Retry, "the cluster does not serve all of its slots"),
        b"TRYAGAIN" => (Retry, "the gate's keys are being moved within the cluster"),
        b"ASK" => (Retry, "the gate's keys are being moved to another node"),
        b"READONLY" => (
            Reconnect,
            "the server is a replica; is a failover under way?",
        ),
        b"MASTERDOWN" => (
            Reconnect,
            "the server is a replica that has lost its primary",
        ),
        b"MOVED" => (
            GiveUp,
            "the gate's keys live on another node of the cluster; connect to the node it names",
        ),
        b"CROSSSLOT" => (GiveUp, "the gate's keys do not share a hash tag"),
        b"NOAUTH" => (GiveUp, "the server wants a password; put it into the URL"),
        b"WRONGPASS" => (
            GiveUp,
            "the server does not know this user or password; check the URL",
        ),
        b"NOPERM" => (
            GiveUp,
            "this user lacks a permission; it needs evalsha, script|load, subscribe, and the gate's keys and channel",
        ),
        b"DENIED" => (
            GiveUp,
            "the server is in protected mode; give it a password or bind it",
        ),
        b"WRONGTYPE" => (
            GiveUp,
            "a key of this gate holds something else; choose another name or remove the key",
        ),
        b"NOPROTO" => (GiveUp, "the server does not speak this protocol version"),
        b"ERR" if error.starts_with(b"ERR max number of clients") => (
            Reconnect,
            "the server has no connection left; raise its maxclients",
        ),
        b"ERR" => (
            GiveUp,
            "the server cannot run the gate's script; is its version supported?",
        ),
        // A code unknown today may be passing tomorrow; giving up would lose a place.
        _ => (
            Retry,
            "the server refuses for a reason this version does not know",
        ),
    };
    Refusal { remedy, meaning }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_told_apart() {
        let remedy = |text: &str| understand(text.as_bytes()).remedy;
        assert_eq!(remedy("NOSCRIPT No matching script."), Remedy::Load);
        for text in [
            "LOADING Redis is loading the dataset in memory",
            "BUSY Redis is busy running a script.",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "MISCONF Redis is configured to save RDB snapshots",
            "NOREPLICAS Not enough good replicas to write.",
            "CLUSTERDOWN The cluster is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "ASK 3999 127.0.0.1:6381",
            "TOMORROW Something new",
            "",
        ] {
            assert_eq!(remedy(text), Remedy::Retry, "{text}");
        }
        for text in [
            "READONLY You can't write against a read only replica.",
            "MASTERDOWN Link with MASTER is down",
            "ERR max number of clients reached",
        ] {
            assert_eq!(remedy(text), Remedy::Reconnect, "{text}");
        }
        for text in [
            "MOVED 3999 127.0.0.1:6381",
            "CROSSSLOT Keys in request don't hash to the same slot",
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOPERM this user has no permissions to run the 'evalsha' command",
            "DENIED Redis is running in protected mode",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "NOPROTO unsupported protocol version",
            "ERR unknown command 'EVALSHA'",
        ] {
            assert_eq!(remedy(text), Remedy::GiveUp, "{text}");
        }
    }
}
