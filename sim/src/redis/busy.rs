//! A script that does not end.
//!
//! A script runs at once here. One that is over its budget of instructions is
//! stopped where it is; what it has written stays, its client waits, and the
//! server answers `BUSY` until the script is killed or the server is shut down.
//! So others see what they would see of a real server, but that a script which
//! would have come to an end after all never does. Where nothing waits
//! ([`Server::execute`], transactions) it is as if it were killed at once.

use sluice_core::redis::{Command, Reply};

use super::command::{Arg, Fail, Spec};
use super::settings::BUSY_REPLY;
use super::{Server, SessionId, Version};

/// What is known of the script.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Busy {
    session: SessionId,
    /// The call.
    command: Command,
    /// It has called a command that writes.
    wrote: bool,
    since_us: u64,
}

impl Busy {
    pub(super) fn new(session: SessionId, command: &Command, wrote: bool, since_us: u64) -> Self {
        Self {
            session,
            command: command.clone(),
            wrote,
            since_us,
        }
    }

    /// Whether it is a function, which `FUNCTION KILL` kills.
    fn is_function(&self) -> bool {
        let name = self.command.name();
        name.get(..5)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"fcall"))
    }

    fn refusal(&self, version: Version) -> Fail {
        let who = if version.is_valkey() {
            "Valkey"
        } else {
            "Redis"
        };
        let kill = if self.is_function() {
            "FUNCTION"
        } else {
            "SCRIPT"
        };
        Fail::new(format!(
            "BUSY {who} is busy running a script. You can only call {kill} KILL or SHUTDOWN NOSAVE."
        ))
    }
}

impl Server {
    /// Whether a script that does not end keeps the server from all else.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.state.busy.is_some()
    }

    /// A busy server says nothing to anybody before this time (`busy-reply-threshold`
    /// after the script has begun). A simulated world does not wait for it: for a
    /// client, commands that are not answered are as good as delayed.
    #[must_use]
    pub fn silent_until_us(&self) -> Option<u64> {
        let busy = self.state.busy.as_ref()?;
        let silent_ms = self.state.settings.size(&BUSY_REPLY) as u64;
        Some(
            busy.since_us
                .saturating_add(silent_ms.saturating_mul(1_000)),
        )
    }

    /// What a busy server says to this command; nothing to the few that it
    /// executes all the same.
    pub(super) fn refuse_busy(&mut self, id: SessionId, spec: &Spec, args: &[Arg]) -> Option<Fail> {
        const ALWAYS: [&str; 8] = [
            "auth", "discard", "hello", "multi", "quit", "reset", "unwatch", "watch",
        ];
        let sub = |word: &str| args.get(1).is_some_and(|arg| arg.is(word));
        let may = match spec.name {
            "script" => sub("KILL"),
            "function" => sub("KILL") || sub("STATS"),
            "shutdown" => sub("NOSAVE"),
            name => ALWAYS.contains(&name),
        };
        let busy = self.state.busy.as_ref().filter(|_| !may)?;
        let refusal = busy.refusal(self.state.version);
        Some(self.reject(id, spec, refusal))
    }

    /// `SCRIPT KILL` (`script`) and `FUNCTION KILL`.
    pub(super) fn kill_script(&mut self, script: bool) -> Result<Reply, Fail> {
        let none = Fail::fixed("NOTBUSY No scripts in execution right now.");
        let busy = self.state.busy.as_ref().ok_or(none)?;
        if busy.wrote {
            return Err(Fail::fixed(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. \
                 You can either wait the script termination or kill the server in a hard way using \
                 the SHUTDOWN NOSAVE command.",
            ));
        }
        if script == busy.is_function() {
            return Err(busy.refusal(self.state.version));
        }
        let session = busy.session;
        self.state.busy = None;
        self.end_endless(session);
        Ok(self.state.replies.ok())
    }

    /// What `FUNCTION STATS` tells of what runs: a script, nothing.
    pub(super) fn running_script(&self) -> Result<Reply, Fail> {
        let Some(busy) = &self.state.busy else {
            return Ok(Reply::Nil);
        };
        if !busy.is_function() {
            return Err(busy.refusal(self.state.version));
        }
        let name = busy.command.args.get(1).cloned().unwrap_or_default();
        let command = busy.command.args.iter().cloned().map(Reply::Bulk);
        let for_us = self.state.now_us.saturating_sub(busy.since_us);
        Ok(Reply::Array(vec![
            Reply::bulk("name"),
            Reply::Bulk(name),
            Reply::bulk("command"),
            Reply::Array(command.collect()),
            Reply::bulk("duration_ms"),
            Reply::Int((for_us / 1_000) as i64),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use sluice_core::redis::{Command, Reply};

    use crate::redis::tests::Bench;
    use crate::redis::{Server, SessionId, Version};

    /// Says something as a server on a network does; what is answered at once.
    fn submit(bench: &mut Bench, session: u64, words: &[&str]) -> Option<String> {
        let command = words[1..].iter().fold(Command::new(words[0]), Command::arg);
        let reply = bench
            .server
            .submit(&bench.engine, bench.now_us, SessionId(session), &command);
        reply.map(|reply| format!("{reply:?}"))
    }

    fn later(bench: &mut Bench) -> Option<(u64, Reply)> {
        let (session, reply) = bench.server.poll_reply()?;
        Some((session.0, reply))
    }

    const BUSY: &str =
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";

    #[test]
    fn an_endless_script_keeps_the_server_busy_until_it_is_killed() {
        let mut bench = Bench::new();
        assert_eq!(
            submit(&mut bench, 1, &["EVAL", "\nwhile true do end", "0"]),
            None
        );
        assert!(bench.server.is_busy());
        for words in [
            &["PING"][..],
            &["GET", "k"],
            &["SCRIPT", "EXISTS", "x"],
            &["FUNCTION", "STATS"],
        ] {
            assert_eq!(
                submit(&mut bench, 2, words).as_deref(),
                Some(BUSY),
                "{words:?}"
            );
        }
        assert_eq!(submit(&mut bench, 2, &["MULTI"]).as_deref(), Some("+OK"));
        assert_eq!(submit(&mut bench, 2, &["GET", "k"]).as_deref(), Some(BUSY));
        let aborted = submit(&mut bench, 2, &["EXEC"]);
        let why = format!(
            "-EXECABORT Transaction discarded because of: {}",
            &BUSY[1..]
        );
        assert_eq!(aborted, Some(why));
        assert_eq!(
            submit(&mut bench, 2, &["FUNCTION", "KILL"]).as_deref(),
            Some(BUSY)
        );
        assert_eq!(later(&mut bench), None);
        assert_eq!(
            submit(&mut bench, 2, &["SCRIPT", "KILL"]).as_deref(),
            Some("+OK")
        );
        let killed = "ERR Script killed by user with SCRIPT KILL... script: 3be870373810a27b6f6df903d8e3aad2dfcd93d3, on @user_script:2.";
        assert_eq!(later(&mut bench), Some((1, Reply::error(killed))));
        assert_eq!(submit(&mut bench, 1, &["PING"]).as_deref(), Some("+PONG"));
        let none = "-NOTBUSY No scripts in execution right now.";
        assert_eq!(
            submit(&mut bench, 2, &["SCRIPT", "KILL"]).as_deref(),
            Some(none)
        );
    }

    /// Loading has an end of its own.
    #[test]
    fn a_library_that_never_ends_is_refused() {
        let mut bench = Bench::new();
        let library = "#!lua name=lib\nwhile true do end";
        let refused = "-ERR Error registering functions: ERR FUNCTION LOAD timeout";
        let loaded = submit(&mut bench, 1, &["FUNCTION", "LOAD", library]);
        assert_eq!(loaded.as_deref(), Some(refused));
        assert!(!bench.server.is_busy());
    }

    #[test]
    fn what_has_written_cannot_be_killed_but_with_the_server() {
        let mut bench = Bench::new();
        let script = "redis.call('SET', 'k', 'v') while true do pcall(error) end";
        assert_eq!(submit(&mut bench, 1, &["EVAL", script, "0"]), None);
        let refused = submit(&mut bench, 2, &["SCRIPT", "KILL"]).unwrap();
        assert!(
            refused.starts_with("-UNKILLABLE Sorry the script"),
            "{refused}"
        );
        let written = bench.server.keyspace().string(b"k", bench.now_us);
        assert_eq!(written.map(|v| &**v), Some(&b"v"[..]));
        assert_eq!(submit(&mut bench, 2, &["SHUTDOWN"]).as_deref(), Some(BUSY));
        bench.server.restart(true);
        assert!(!bench.server.is_busy());
    }

    #[test]
    fn a_function_is_killed_as_one() {
        let mut bench = Bench::new();
        let code =
            "#!lua name=l\nredis.register_function('spin', function()\n while true do end end)";
        assert_eq!(
            submit(&mut bench, 1, &["FUNCTION", "LOAD", code]).as_deref(),
            Some("\"l\"")
        );
        assert_eq!(submit(&mut bench, 1, &["FCALL", "spin", "0"]), None);
        let busy = BUSY.replace("SCRIPT KILL", "FUNCTION KILL");
        assert_eq!(submit(&mut bench, 2, &["PING"]), Some(busy.clone()));
        assert_eq!(submit(&mut bench, 2, &["SCRIPT", "KILL"]), Some(busy));
        bench.now_us += 7_000;
        let stats = submit(&mut bench, 2, &["FUNCTION", "STATS"]).unwrap();
        let running = r#"["name", "spin", "command", ["FCALL", "spin", "0"], "duration_ms", :7]"#;
        assert!(stats.contains(running), "{stats}");
        assert_eq!(
            submit(&mut bench, 2, &["FUNCTION", "KILL"]).as_deref(),
            Some("+OK")
        );
        let killed =
            "ERR Script killed by user with SCRIPT KILL... script: spin, on @user_function:3.";
        assert_eq!(later(&mut bench), Some((1, Reply::error(killed))));
    }

    #[test]
    fn where_nothing_waits_it_is_killed_at_once() {
        let mut bench = Bench::new();
        bench.server = Server::with_version(Version::Valkey9);
        let reply = bench.eval("while true do end");
        let killed = "-ERR Script killed by user with SCRIPT KILL. script: on @user_script:1.";
        assert_eq!(reply, killed);
        assert!(!bench.server.is_busy());
    }
}
