//! What operators and clients of clusters ask for, and of which there is little
//! to say: `SLOWLOG`, `LATENCY`, `SAVE`, `READONLY` and their kin. A simulated
//! command takes no time, so none is slow.

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out, containers, int};
use crate::redis::lua::Engine;
use crate::redis::settings::LATENCY;
use crate::redis::{Server, SessionId, State};

const NOTHING: Reply = Reply::Array(Vec::new());

pub(super) fn slowlog(state: &mut State, args: &[Arg]) -> Out {
    let word = &args[1];
    match args {
        [_, _] if word.is("LEN") => int(0),
        [_, _] if word.is("RESET") => Ok(state.replies.ok()),
        [_, _] if word.is("GET") => Ok(NOTHING),
        [_, _, count] if word.is("GET") => {
            let count = count.int().ok().filter(|count| *count >= -1);
            count.map(|_| NOTHING).ok_or(Fail::fixed(
                "ERR count should be greater than or equal to -1",
            ))
        }
        _ => Err(containers::misused(word, "SLOWLOG")),
    }
}

pub(super) fn latency(server: &mut Server, _: &Engine, _: SessionId, args: &[Arg]) -> Out {
    const OFF: &str = "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it. If we weren't in a deep space mission I'd suggest to take a look at https://redis.io/topics/latency-monitor.\n";
    const FINE: &str = "Dave, no latency spike was observed during the lifetime of this Redis instance, not in the slightest bit. I honestly think you ought to sit down calmly, take a stress pill, and think things over.\n";
    let word = &args[1];
    match args {
        [_, _] if word.is("LATEST") => Ok(NOTHING),
        [_, _, _] if word.is("HISTORY") => Ok(NOTHING),
        [_, _, event] if word.is("GRAPH") => Err(Fail::new(
            [b"ERR No samples available for event '", &**event, b"'"].concat(),
        )),
        [_, _] if word.is("DOCTOR") => {
            Ok(Reply::bulk(if server.state.settings.get(&LATENCY) == 0 {
                OFF
            } else {
                FINE
            }))
        }
        [_, _, ..] if word.is("RESET") => int(0),
        [_, _, ..] if word.is("HISTOGRAM") => Ok(NOTHING),
        _ => Err(containers::misused(word, "LATENCY")),
    }
}

pub(super) fn module(_: &mut Server, _: &Engine, _: SessionId, args: &[Arg]) -> Out {
    match args {
        [_, word] if word.is("LIST") => Ok(NOTHING),
        [_, word, ..] => Err(containers::misused(word, "MODULE")),
        _ => Err(Fail::arity("module")),
    }
}

/// Never called: it is switched off, which is said before.
pub(super) fn debug(_: &mut Server, _: &Engine, _: SessionId, _: &[Arg]) -> Out {
    Err(Fail::SYNTAX)
}

/// `READONLY`, `READWRITE`, `ASKING`: one server is all of its cluster, and has
/// every slot, so there is nothing to remember.
pub(super) fn of_clusters(state: &mut State, _: &[Arg]) -> Out {
    if state.nodes == 0 {
        return Err(Fail::fixed(
            "ERR This instance has cluster support disabled",
        ));
    }
    Ok(state.replies.ok())
}

impl State {
    /// From now on nothing has changed since the last save.
    fn saved(&mut self) {
        self.gather();
        self.changes = 0;
        self.saved_s = self.now_us / 1_000_000;
        if let Some(network) = &mut self.network {
            network.saves += 1;
        }
    }

    /// What is on the disk of a simulated world is the world's to decide.
    fn has_disk(&self, args: &[Arg]) -> Result<(), Fail> {
        match self.network {
            Some(_) => Ok(()),
            None => Err(crate::redis::unknown(args, self.version)),
        }
    }
}

/// Where there are real clients, what is saved is lost with the process all the
/// same.
pub(super) fn save(server: &mut Server, _: &Engine, _: SessionId, args: &[Arg]) -> Out {
    server.state.has_disk(args)?;
    server.state.saved();
    Ok(server.state.replies.ok())
}

pub(super) fn bgsave(server: &mut Server, _: &Engine, _: SessionId, args: &[Arg]) -> Out {
    server.state.has_disk(args)?;
    match &args[1..] {
        [] => {}
        [mode] if mode.is("SCHEDULE") => {}
        _ => return Err(Fail::SYNTAX),
    }
    server.state.saved();
    let text = &b"Background saving started"[..];
    Ok(Reply::Status(Bytes::from(text)))
}

/// Nothing is written anywhere, so there is nothing to write anew.
pub(super) fn bgrewriteaof(server: &mut Server, _: &Engine, _: SessionId, args: &[Arg]) -> Out {
    server.state.has_disk(args)?;
    let text = &b"Background append only file rewriting started"[..];
    Ok(Reply::Status(Bytes::from(text)))
}

pub(super) fn lastsave(state: &mut State, _: &[Arg]) -> Out {
    int(state.saved_s as usize)
}

#[cfg(test)]
mod tests {
    use crate::redis::SessionId;
    use crate::redis::tests::Bench;

    /// What Redis 7.0.15 says.
    #[test]
    fn nothing_was_slow_and_nobody_is_a_cluster() {
        let mut bench = Bench::new();
        let no_cluster = "-ERR This instance has cluster support disabled";
        let count = "-ERR count should be greater than or equal to -1";
        for (line, told) in [
            ("SLOWLOG GET", "[]"),
            ("SLOWLOG GET -1", "[]"),
            ("SLOWLOG GET -2", count),
            ("SLOWLOG GET x", count),
            (
                "SLOWLOG GET 1 2",
                r"-ERR unknown subcommand or wrong number of arguments for \'GET\'. Try SLOWLOG HELP.",
            ),
            ("SLOWLOG LEN", ":0"),
            ("SLOWLOG RESET", "+OK"),
            ("LATENCY LATEST", "[]"),
            ("LATENCY HISTORY x", "[]"),
            ("LATENCY RESET a b", ":0"),
            (
                "LATENCY GRAPH x",
                r"-ERR No samples available for event \'x\'",
            ),
            ("READONLY", no_cluster),
            ("READWRITE", no_cluster),
            ("ASKING", no_cluster),
        ] {
            assert_eq!(bench.run(line), told, "{line}");
        }
        assert_eq!(bench.eval("return redis.call('SLOWLOG', 'LEN')"), ":0");
        let script = bench.eval("return redis.call('LATENCY', 'LATEST')");
        assert!(script.contains("not allowed from script"), "{script}");
    }

    #[test]
    fn saving_is_for_servers_with_clients() {
        let mut bench = Bench::new();
        assert!(bench.run("SAVE").contains("unknown command"));
        bench
            .server
            .connect(bench.now_us, SessionId(1), "a:1", "b:2");
        assert_eq!(bench.run("LASTSAVE"), ":1700000000");
        bench.run("SET k v");
        bench.now_us += 5_000_000;
        assert!(bench.run("INFO persistence").contains("since_last_save:1"));
        assert_eq!(bench.run("BGSAVE"), "+Background saving started");
        assert_eq!(
            bench.run("BGREWRITEAOF"),
            "+Background append only file rewriting started"
        );
        assert_eq!(bench.run("BGSAVE x"), "-ERR syntax error");
        assert!(bench.run("INFO persistence").contains("since_last_save:0"));
        assert_eq!(bench.run("LASTSAVE"), ":1700000005");
        assert_eq!(bench.run("SAVE"), "+OK");
    }
}
