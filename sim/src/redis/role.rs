//! The part that the server plays among others: a master without replicas, or a
//! replica whose master does not answer.
//!
//! There is one server here, so a replica (`REPLICAOF`) never gets anywhere, and
//! `min-replicas-to-write` is never met. Both are what limiters meet on a bad
//! day, and can be had on purpose this way: `READONLY`, `NOREPLICAS`,
//! `MASTERDOWN`.

use sluice_core::redis::{Bytes, Command};

use super::command::{Arg, Fail, Spec, lookup};
use super::functions::Flags;
use super::settings::{MAX_LAG, MIN_REPLICAS, READ_ONLY, SERVE_STALE};
use super::{Server, SessionId, State};

/// Whose replica it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Master {
    pub(super) host: Bytes,
    pub(super) port: u16,
}

const NO_REPLICAS: Fail = Fail::fixed("NOREPLICAS Not enough good replicas to write.");
const A_REPLICA: Fail = Fail::fixed("READONLY You can't write against a read only replica.");
const STALE: Fail =
    Fail::fixed("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.");

/// What a replica without its master may still be asked: these, and what has no
/// subcommand among the keys.
const WITHOUT_MASTER: &[&str] = &[
    "acl",
    "auth",
    "client",
    "cluster",
    "command",
    "config",
    "debug",
    "discard",
    "echo",
    "eval",
    "eval_ro",
    "evalsha",
    "evalsha_ro",
    "exec",
    "fcall",
    "fcall_ro",
    "hello",
    "info",
    "lastsave",
    "latency",
    "module",
    "monitor",
    "multi",
    "psubscribe",
    "publish",
    "pubsub",
    "punsubscribe",
    "quit",
    "readonly",
    "readwrite",
    "replicaof",
    "reset",
    "role",
    "select",
    "shutdown",
    "slaveof",
    "slowlog",
    "spublish",
    "ssubscribe",
    "subscribe",
    "sunsubscribe",
    "time",
    "unsubscribe",
    "unwatch",
    "watch",
];

impl State {
    /// Why nothing may be written, if so.
    pub(super) fn refuse_write(&self) -> Option<Fail> {
        match &self.master {
            None if self.settings.is_default() => None,
            None => {
                let wanted = self.settings.get(&MIN_REPLICAS) > 0;
                (wanted && self.settings.get(&MAX_LAG) > 0).then_some(NO_REPLICAS)
            }
            Some(_) => (self.settings.get(&READ_ONLY) != 0).then_some(A_REPLICA),
        }
    }

    /// Whether what it knows may be out of date, and nobody is to be told.
    fn is_stale(&self) -> bool {
        self.master.is_some() && self.settings.get(&SERVE_STALE) == 0
    }

    /// Why a script is not run, if so; `flags`: what it says of itself, if
    /// anything.
    pub(super) fn refuse_script(&self, flags: Option<Flags>) -> Result<(), Fail> {
        let writes = flags.is_some_and(|flags| !flags.has(Flags::NO_WRITES));
        if writes && let Some(refused) = self.refuse_write() {
            return Err(refused);
        }
        let stale = flags.is_some_and(|flags| flags.has(Flags::ALLOW_STALE));
        if self.is_stale() && !stale {
            return Err(STALE);
        }
        Ok(())
    }

    /// The same for a command of a script.
    pub(super) fn refuse_in_script(&self, spec: &Spec) -> Option<Fail> {
        if spec.write
            && let Some(refused) = self.refuse_write()
        {
            return Some(refused);
        }
        let stale = self.is_stale() && !WITHOUT_MASTER.contains(&spec.name);
        stale.then_some(Fail::fixed(
            "ERR Can not execute the command on a stale replica",
        ))
    }
}

impl Server {
    /// Why this command is not executed, if so, on such a server.
    pub(super) fn refuse_by_role(&mut self, id: SessionId, args: &[Bytes]) -> Option<Fail> {
        let spec = lookup(&args[0]).filter(|spec| spec.accepts(args.len()))?;
        let queued = || {
            let queue = self.state.sessions.get(&id)?.queue.as_ref()?;
            let writes = |command: &Command| lookup(&command.args[0]).is_some_and(|s| s.write);
            Some(queue.iter().any(writes))
        };
        let writes = spec.write || spec.name == "exec" && queued() == Some(true);
        let write = self.state.refuse_write().filter(|_| writes);
        let stale = self.state.is_stale() && !WITHOUT_MASTER.contains(&spec.name);
        let refused = write.or_else(|| stale.then_some(STALE))?;
        Some(self.reject(id, spec, refused))
    }

    /// The refusal as a client sees it; its transaction is none any more.
    pub(super) fn reject(&mut self, id: SessionId, spec: &Spec, refused: Fail) -> Fail {
        if spec.name == "exec" {
            self.end_transaction(id);
            self.state.unwatch(id);
            let why = b"EXECABORT Transaction discarded because of: ";
            return Fail::new([&why[..], &refused.0].concat());
        }
        if let Some(session) = self.state.sessions.get_mut(&id) {
            session.broken |= session.queue.is_some();
        }
        refused
    }

    /// `REPLICAOF host port`, or of nobody: whether that is news.
    pub(super) fn follow(&mut self, host: &Arg, port: &Arg) -> Result<bool, Fail> {
        if host.is("NO") && port.is("ONE") {
            self.state.master = None;
            return Ok(true);
        }
        let invalid = Fail::fixed("ERR Invalid master port");
        let port = port.int().ok().and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or(invalid)?;
        let known = self.state.master.as_ref();
        if known.is_some_and(|m| m.port == port && m.host.eq_ignore_ascii_case(host)) {
            return Ok(false);
        }
        let host = host.shared();
        self.state.master = Some(Master { host, port });
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    const READ_ONLY: &str = r"-READONLY You can\'t write against a read only replica.";
    const NO_REPLICAS: &str = "-NOREPLICAS Not enough good replicas to write.";
    const STALE: &str =
        r"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to \'no\'.";
    const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.";

    /// The answers here and below are those of Redis 7.0.15.
    #[test]
    fn without_replicas_nothing_is_written() {
        let mut bench = Bench::new();
        bench.run("SET a b");
        bench.run("CONFIG SET min-replicas-to-write 1");
        for (line, answer) in [
            ("SET a c", NO_REPLICAS),
            ("GET a", "\"b\""),
            ("MULTI", "+OK"),
            ("SET a c", NO_REPLICAS),
            ("GET a", "+QUEUED"),
            ("EXEC", ABORTED),
            ("CONFIG SET min-slaves-max-lag 0", "+OK"),
            ("SET a c", "+OK"),
        ] {
            assert_eq!(bench.run(line), answer, "{line}");
        }
    }

    #[test]
    fn a_replica_without_its_master_reads_or_does_not() {
        let mut bench = Bench::new();
        bench.run("SET a b");
        bench.run("MULTI");
        bench.run("SET a c");
        assert_eq!(bench.run_as(2, &["REPLICAOF", "127.0.0.1", "1"]), "+OK");
        let aborted = format!(
            "-EXECABORT Transaction discarded because of: {}",
            &READ_ONLY[1..]
        );
        assert_eq!(bench.run("EXEC"), aborted);
        let already = "+OK Already connected to specified master";
        for (line, answer) in [
            ("REPLICAOF 127.0.0.1 1", already),
            ("REPLICAOF a 70000", "-ERR Invalid master port"),
            ("SET a c", READ_ONLY),
            ("GET a", "\"b\""),
            ("ROLE", r#"["slave", "127.0.0.1", :1, "connect", :-1]"#),
        ] {
            assert_eq!(bench.run(line), answer, "{line}");
        }
        let write = "return redis.call('SET', 'a', 'c')";
        let told = bench.eval(write);
        assert!(told.starts_with(&format!("{READ_ONLY} script: ")), "{told}");
        assert_eq!(bench.eval(&format!("#!lua\n{write}")), READ_ONLY);
        bench.run("CONFIG SET replica-serve-stale-data no");
        assert_eq!(bench.run("GET a"), STALE);
        assert_eq!(bench.run("PING"), STALE);
        assert_eq!(bench.eval("return 1"), STALE);
        assert_eq!(bench.eval("#!lua flags=no-writes\nreturn 1"), STALE);
        let read = "#!lua flags=allow-stale,no-writes\nreturn redis.call('GET', 'a')";
        let told = bench.eval(read);
        let stale = "-ERR Can not execute the command on a stale replica script: ";
        assert!(told.starts_with(stale), "{told}");
        assert_eq!(bench.run("SLAVEOF NO ONE"), "+OK");
        assert_eq!(bench.run("SET a c"), "+OK");
    }
}
