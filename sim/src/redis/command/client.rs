//! `CLIENT`, `MONITOR`: connections.

use sluice_core::redis::Reply;

use super::{Arg, Fail, Out, containers};
use crate::redis::lua::Engine;
use crate::redis::network::Mute;
use crate::redis::session::Listens;
use crate::redis::{Server, SessionId};

/// Which connections are meant.
#[derive(Default)]
struct Filter<'a> {
    ids: Vec<u64>,
    addr: Option<Arg<'a>>,
    local: Option<Arg<'a>>,
    kind: Option<Kind>,
    /// Not who asks.
    others: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Replica,
    PubSub,
    Master,
}

impl Kind {
    fn read(arg: &Arg) -> Result<Self, Fail> {
        let known = [
            ("normal", Self::Normal),
            ("slave", Self::Replica),
            ("replica", Self::Replica),
            ("pubsub", Self::PubSub),
            ("master", Self::Master),
        ];
        let found = known.into_iter().find(|(name, _)| arg.is(name));
        found
            .map(|(_, kind)| kind)
            .ok_or_else(|| Fail::new([b"ERR Unknown client type '", &**arg, b"'"].concat()))
    }
}

impl Server {
    /// The connections that are meant, in the order of their ids.
    fn connections(&self, asks: SessionId, filter: &Filter) -> Vec<SessionId> {
        let Some(network) = &self.state.network else {
            return Vec::new();
        };
        let clients = network.clients.iter().filter(|(id, client)| {
            let kind = || {
                let session = self.state.sessions.get(id);
                if session.is_some_and(|session| session.subscribed > 0) {
                    Kind::PubSub
                } else {
                    Kind::Normal
                }
            };
            (filter.ids.is_empty() || filter.ids.contains(&id.0))
                && filter
                    .addr
                    .is_none_or(|addr| *addr == *client.addr.as_bytes())
                && (filter.local).is_none_or(|addr| *addr == *client.local.as_bytes())
                && filter.kind.is_none_or(|wanted| wanted == kind())
                && !(filter.others && **id == asks)
        });
        clients.map(|(id, _)| *id).collect()
    }

    /// The line of `CLIENT LIST`. What is not modelled (memory, buffers) is 0.
    fn describe(&self, id: SessionId, asks: SessionId, args: &[Arg]) -> String {
        let session = self.state.sessions.get(&id).cloned().unwrap_or_default();
        let network = self.state.network.as_ref();
        let client = network.and_then(|network| network.clients.get(&id));
        let seconds = |at: u64| self.state.now_us.saturating_sub(at) / 1_000_000;
        let (addr, local, age, idle, command) = client.map_or(("", "", 0, 0, "NULL"), |c| {
            let (age, idle) = (seconds(c.since_us), seconds(c.asked_us));
            (&*c.addr, &*c.local, age, idle, &*c.command)
        });
        let mut flags = String::new();
        let monitors = network.is_some_and(|network| network.monitors.contains(&id));
        for (is, flag) in [
            (monitors, 'O'),
            (session.subscribed > 0, 'P'),
            (session.queue.is_some(), 'x'),
            (self.is_parked(id), 'b'),
        ] {
            flags.extend(is.then_some(flag));
        }
        if flags.is_empty() {
            flags.push('N');
        }
        let name = session.name.as_ref();
        let name = name.map_or(String::new(), |name| String::from_utf8_lossy(name).into());
        let count = |kind| self.state.subscriptions.of(kind, id).len();
        let (channels, patterns) = (count(Listens::Channel), count(Listens::Pattern));
        let shards = count(Listens::Shard);
        let queued = session
            .queue
            .as_ref()
            .map_or(-1, |queue| queue.len() as i64);
        // The present command is all that was sent and not executed yet.
        let length = |n: usize| n.to_string().len() + 3;
        let sizes = args.iter().map(|arg| length(arg.len()) + arg.len() + 2);
        let unread = if id == asks {
            length(args.len()) + sizes.sum::<usize>()
        } else {
            0
        };
        let resp = if session.resp3 { 3 } else { 2 };
        format!(
            "id={} addr={addr} laddr={local} fd=0 name={name} age={age} idle={idle} flags={flags} \
             db={} sub={channels} psub={patterns} ssub={shards} multi={queued} qbuf={unread} qbuf-free=0 \
             argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r \
             cmd={command} user=default redir=-1 resp={resp}\n",
            id.0, session.db
        )
    }
}

const BAD_ID: Fail = Fail::fixed("ERR Invalid client ID");

fn list(server: &Server, asks: SessionId, args: &[Arg]) -> Out {
    let mut filter = Filter::default();
    match &args[2..] {
        [] => {}
        [word, kind] if word.is("TYPE") => filter.kind = Some(Kind::read(kind)?),
        [word, ids @ ..] if word.is("ID") && !ids.is_empty() => {
            for id in ids {
                let id = id.int().ok().and_then(|id| u64::try_from(id).ok());
                filter.ids.push(id.ok_or(BAD_ID)?);
            }
        }
        _ => return Err(Fail::SYNTAX),
    }
    let found = server.connections(asks, &filter).into_iter();
    let lines = found.map(|id| server.describe(id, asks, args));
    Ok(Reply::bulk(lines.collect::<String>()))
}

fn kill(server: &mut Server, asks: SessionId, args: &[Arg]) -> Out {
    let mut filter = Filter::default();
    let old = args.len() == 3;
    if old {
        filter.addr = Some(args[2]);
    } else {
        filter.others = true;
        for option in args[2..].chunks(2) {
            let [word, value] = option else {
                return Err(Fail::SYNTAX);
            };
            if word.is("ID") {
                let id = value.int().ok().and_then(|id| u64::try_from(id).ok());
                let id = id.filter(|id| *id > 0);
                const LEAST: Fail = Fail::fixed("ERR client-id should be greater than 0");
                filter.ids = vec![id.ok_or(LEAST)?];
            } else if word.is("TYPE") {
                filter.kind = Some(Kind::read(value)?);
            } else if word.is("ADDR") {
                filter.addr = Some(*value);
            } else if word.is("LADDR") {
                filter.local = Some(*value);
            } else if word.is("USER") {
                if **value != *b"default" {
                    return Err(Fail::new([b"ERR No such user '", &**value, b"'"].concat()));
                }
            } else if word.is("SKIPME") && (value.is("YES") || value.is("NO")) {
                filter.others = value.is("YES");
            } else {
                return Err(Fail::SYNTAX);
            }
        }
    }
    let found = server.connections(asks, &filter);
    for id in &found {
        if *id != asks {
            server.disconnect(*id);
        }
        if let Some(network) = &mut server.state.network {
            network.close(*id);
        }
    }
    if !old {
        return super::int(found.len());
    }
    if found.is_empty() {
        return Err(Fail::fixed("ERR No such client"));
    }
    Ok(server.state.replies.ok())
}

pub(super) fn set_name(server: &mut Server, id: SessionId, name: &Arg) -> Out {
    if name.iter().any(|byte| !(b'!'..=b'~').contains(byte)) {
        return Err(Fail::fixed(
            "ERR Client names cannot contain spaces, newlines or special characters.",
        ));
    }
    let name = (!name.is_empty()).then(|| name.shared());
    server.edit_session(id, |session| session.name = name);
    Ok(server.state.replies.ok())
}

fn unblock(server: &mut Server, args: &[Arg]) -> Out {
    if args.len() > 4 {
        return Err(containers::misused(&args[1], "CLIENT"));
    }
    let error = match args.get(3) {
        None => false,
        Some(how) if how.is("TIMEOUT") => false,
        Some(how) if how.is("ERROR") => true,
        Some(_) => {
            return Err(Fail::fixed(
                "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        }
    };
    let id = u64::try_from(args[2].int()?).map(SessionId);
    super::flag(id.is_ok_and(|id| server.unpark(id, error)))
}

/// `timeout [WRITE | ALL]`. Only where there is a network: in a simulated world
/// clients and the way to them are paused by the world.
fn pause(server: &mut Server, args: &[Arg]) -> Out {
    if args.len() > 4 {
        return Err(containers::misused(&args[1], "CLIENT"));
    }
    let all = match args.get(3) {
        None => true,
        Some(mode) if mode.is("ALL") => true,
        Some(mode) if mode.is("WRITE") => false,
        Some(_) => {
            return Err(Fail::fixed("ERR CLIENT PAUSE mode must be WRITE or ALL"));
        }
    };
    let no_number = Fail::fixed("ERR timeout is not an integer or out of range");
    let ms = args[2].int().map_err(|_| no_number)?;
    let ms = u64::try_from(ms).map_err(|_| Fail::fixed("ERR timeout is negative"))?;
    let now_ms = server.state.now_us / 1_000;
    // Beyond Redis's numbers the end of the pause lies in the past.
    let until_ms = now_ms.saturating_add(ms);
    let fits = i64::try_from(until_ms).is_ok();
    if let Some(network) = server.state.network.as_mut().filter(|_| fits) {
        network.pause(until_ms.saturating_mul(1_000), all);
    }
    Ok(server.state.replies.ok())
}

/// Subcommands, with the number of their arguments as in the table of commands.
const ARITY: &[(&str, i32)] = &[
    ("getname", 2),
    ("getredir", 2),
    ("id", 2),
    ("info", 2),
    ("kill", -3),
    ("list", -2),
    ("no-evict", 3),
    ("pause", -3),
    ("reply", 3),
    ("setname", 3),
    ("trackinginfo", 2),
    ("unblock", -3),
    ("unpause", 2),
];

pub(super) fn client(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    let word = &args[1];
    let known = ARITY.iter().find(|(name, _)| word.is(name));
    if let Some((name, arity)) = known {
        let count = args.len() as i32;
        if *arity < 0 && count < -arity || *arity > 0 && count != *arity {
            return Err(Fail::arity(&format!("client|{name}")));
        }
    }
    match known.map_or("", |(name, _)| name) {
        "id" => Ok(Reply::Int(id.0 as i64)),
        "getname" => {
            let session = server.state.sessions.get(&id);
            Ok(super::bulk(
                session.and_then(|session| session.name.as_ref()),
            ))
        }
        // Nobody tracks.
        "getredir" => Ok(Reply::Int(-1)),
        "trackinginfo" => Ok(Reply::Array(vec![
            Reply::bulk("flags"),
            Reply::Array(vec![Reply::bulk("off")]),
            Reply::bulk("redirect"),
            Reply::Int(-1),
            Reply::bulk("prefixes"),
            Reply::Array(Vec::new()),
        ])),
        "info" => Ok(Reply::bulk(server.describe(id, id, args))),
        "list" => list(server, id, args),
        "kill" => kill(server, id, args),
        "setname" => set_name(server, id, &args[2]),
        "unblock" => unblock(server, args),
        "pause" if server.state.network.is_some() => pause(server, args),
        "unpause" if server.state.network.is_some() => {
            if let Some(network) = &mut server.state.network {
                network.unpause();
            }
            Ok(server.state.replies.ok())
        }
        "no-evict" if args[2].is("ON") || args[2].is("OFF") => Ok(server.state.replies.ok()),
        "reply" => {
            let mute = if args[2].is("ON") {
                Mute::No
            } else if args[2].is("OFF") {
                Mute::All
            } else if args[2].is("SKIP") {
                Mute::Next
            } else {
                return Err(Fail::SYNTAX);
            };
            if let Some(network) = &mut server.state.network {
                network.mute(id, mute);
            }
            Ok(server.state.replies.ok())
        }
        "no-evict" => Err(Fail::SYNTAX),
        _ => later(server, args),
    }
}

/// What came with 7.2.
fn later(server: &Server, args: &[Arg]) -> Out {
    let word = &args[1];
    if server.state.version.rank_with_score() {
        if word.is("SETINFO") && args.len() == 4 {
            if !args[2].is("LIB-NAME") && !args[2].is("LIB-VER") {
                return Err(Fail::new(
                    [b"ERR Unrecognized option '", &*args[2], b"'"].concat(),
                ));
            }
            return Ok(server.state.replies.ok());
        }
        if word.is("NO-TOUCH") && args.len() == 3 {
            return Ok(server.state.replies.ok());
        }
    }
    Err(Fail::subcommand(word, "CLIENT"))
}

pub(super) fn monitor(server: &mut Server, _: &Engine, id: SessionId, _: &[Arg]) -> Out {
    if server.state.in_exec {
        return Err(Fail::fixed(
            "ERR MONITOR isn't allowed for DENY BLOCKING client",
        ));
    }
    if let Some(network) = &mut server.state.network {
        network.monitors.insert(id);
    }
    Ok(server.state.replies.ok())
}

#[cfg(test)]
mod tests {
    use sluice_core::redis::{Command, Reply};

    use crate::redis::SessionId;
    use crate::redis::tests::Bench;

    impl Bench {
        fn connect(&mut self, id: u64) {
            let addr = format!("127.0.0.1:{}", 1000 + id);
            let session = SessionId(id);
            (self.server).connect(self.now_us, session, &addr, "127.0.0.1:6379");
        }

        fn pushed(&mut self) -> Vec<String> {
            let next = || self.server.poll_push();
            let all = std::iter::from_fn(next);
            all.map(|(id, reply)| format!("{}: {reply:?}", id.0))
                .collect()
        }

        /// A field of the line that describes a client.
        fn field(&mut self, asks: u64, of: u64, name: &str) -> String {
            let reply = self.run_as(asks, &["CLIENT", "LIST", "ID", &of.to_string()]);
            let mut fields = reply.split(' ').filter_map(|field| field.split_once('='));
            let found = fields.find(|(field, _)| field.trim_start_matches('"') == name);
            found.map_or(String::new(), |(_, value)| value.to_owned())
        }
    }

    #[test]
    fn clients_are_listed_as_they_are() {
        let mut bench = Bench::new();
        bench.connect(1);
        bench.now_us += 5_000_000;
        bench.connect(2);
        bench.run_as(2, &["CLIENT", "SETNAME", "ann"]);
        bench.run_as(2, &["SELECT", "3"]);
        bench.run_as(2, &["MULTI"]);
        bench.run_as(2, &["PING"]);
        for (name, value) in [
            ("addr", "127.0.0.1:1002"),
            ("name", "ann"),
            ("db", "3"),
            ("multi", "1"),
            ("flags", "x"),
            ("cmd", "ping"),
            ("age", "0"),
        ] {
            assert_eq!(bench.field(1, 2, name), value, "{name}");
        }
        assert_eq!(bench.field(1, 1, "age"), "5");
        assert_eq!(bench.field(1, 1, "cmd"), "client|list");
        // The length of this very command on the wire.
        assert_eq!(bench.field(1, 1, "qbuf"), "41");
        let wrong = "-ERR Invalid client ID";
        assert_eq!(bench.run("CLIENT LIST ID x"), wrong);
        let wrong = r"-ERR Unknown client type \'x\'";
        assert_eq!(bench.run("CLIENT LIST TYPE x"), wrong);
        assert_eq!(bench.run("CLIENT LIST TYPE pubsub"), r#""""#);
    }

    #[test]
    fn clients_are_killed_by_address_id_and_all_together() {
        let mut bench = Bench::new();
        (1..=4).for_each(|id| bench.connect(id));
        assert_eq!(bench.run("CLIENT KILL 127.0.0.1:1002"), "+OK");
        assert_eq!(
            bench.run("CLIENT KILL 127.0.0.1:1002"),
            "-ERR No such client"
        );
        assert_eq!(bench.run("CLIENT KILL ID 3"), ":1");
        assert_eq!(bench.run("CLIENT KILL SKIPME no"), ":2");
        let next = || bench.server.poll_close();
        let closed: Vec<u64> = std::iter::from_fn(next).map(|id| id.0).collect();
        assert_eq!(closed, [2, 3, 1, 4], "who asks has its reply first");
        for (line, expected) in [
            (
                "CLIENT KILL",
                r"-ERR wrong number of arguments for \'client|kill\' command",
            ),
            (
                "CLIENT KILL ID 0",
                "-ERR client-id should be greater than 0",
            ),
            ("CLIENT KILL ID 1 x", "-ERR syntax error"),
            ("CLIENT KILL USER x", r"-ERR No such user \'x\'"),
            ("CLIENT KILL SKIPME x", "-ERR syntax error"),
        ] {
            assert_eq!(bench.run(line), expected, "{line}");
        }
    }

    #[test]
    fn who_monitors_sees_what_is_executed() {
        let mut bench = Bench::new();
        bench.connect(1);
        bench.connect(2);
        assert_eq!(bench.run_as(2, &["MONITOR"]), "+OK");
        bench.run_as(1, &["SET", "k", "a\"\n\x01"]);
        bench.run("MULTI");
        bench.run("GET k");
        bench.run("NOSUCH");
        bench.run("EXEC");
        bench.run("MULTI");
        bench.run("GET k");
        bench.run("EXEC");
        bench.eval("return redis.call('GET', 'k')");
        let seen = bench.pushed();
        let words: Vec<&str> = seen
            .iter()
            .filter_map(|line| line.split_once("] ").map(|(_, rest)| rest))
            .collect();
        let expected = [
            r#""SET" "k" "a\"\n\x01""#,
            r#""MULTI""#,
            r#""EXEC""#,
            r#""MULTI""#,
            r#""GET" "k""#,
            r#""EXEC""#,
        ];
        for (seen, expected) in words.iter().zip(expected) {
            assert_eq!(*seen, expected.escape_default().to_string());
        }
        assert!(
            seen[0].starts_with("2: +1700000000.000000 [0 127.0.0.1:1001]"),
            "{}",
            seen[0]
        );
        assert!(seen[7].contains("[0 lua]"), "{}", seen[7]);
        bench.server.disconnect(SessionId(2));
        bench.run("PING");
        assert!(bench.pushed().is_empty());
    }

    /// What Redis 7.0.15 shows.
    #[test]
    fn those_who_look_on_see_where_it_was_done_and_no_password() {
        let mut bench = Bench::new();
        bench.connect(1);
        bench.connect(2);
        bench.run_as(2, &["MONITOR"]);
        for line in [
            "SELECT 1",
            "MULTI",
            "SELECT 2",
            "EXEC",
            "SELECT 99",
            "GET",
            "NOSUCH",
            "AUTH x",
            "HELLO 2 AUTH a b SETNAME c",
            "CONFIG GET hz",
            "CLIENT SETNAME x",
            "CLIENT LIST",
            "ACL WHOAMI",
            "ACL LIST",
            "RESET",
            "QUIT",
        ] {
            bench.run(line);
        }
        let seen = bench.pushed();
        let from = |line: &String| line.split_once(" [").map(|(_, rest)| rest.to_owned());
        let seen: Vec<String> = seen.iter().filter_map(from).collect();
        let expected = [
            r#"1 127.0.0.1:1001] "SELECT" "1""#,
            r#"1 127.0.0.1:1001] "MULTI""#,
            r#"2 127.0.0.1:1001] "SELECT" "2""#,
            r#"2 127.0.0.1:1001] "EXEC""#,
            r#"2 127.0.0.1:1001] "SELECT" "99""#,
            r#"2 127.0.0.1:1001] "AUTH" "(redacted)""#,
            r#"2 127.0.0.1:1001] "HELLO" "2" "AUTH" "(redacted)" "(redacted)" "SETNAME" "c""#,
            r#"2 127.0.0.1:1001] "CLIENT" "SETNAME" "x""#,
            r#"2 127.0.0.1:1001] "ACL" "WHOAMI""#,
            r#"0 127.0.0.1:1001] "RESET""#,
            r#"0 127.0.0.1:1001] "QUIT""#,
        ];
        let expected: Vec<String> = expected
            .iter()
            .map(|line| line.escape_default().to_string())
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn replies_can_be_declined() {
        let mut bench = Bench::new();
        bench.connect(1);
        let mut told = |line: &str| {
            let reply = bench.run(line);
            (!bench.server.is_mute(SessionId(1))).then_some(reply)
        };
        assert_eq!(told("CLIENT REPLY SKIP"), None);
        assert_eq!(told("PING"), None);
        assert_eq!(told("PING"), Some("+PONG".to_owned()));
        assert_eq!(told("CLIENT REPLY OFF"), None);
        assert_eq!(told("PING"), None);
        assert_eq!(told("PING"), None);
        assert_eq!(told("CLIENT REPLY ON"), Some("+OK".to_owned()));
        assert_eq!(told("CLIENT REPLY x"), Some("-ERR syntax error".to_owned()));
    }

    #[test]
    fn what_was_asked_is_counted() {
        let mut bench = Bench::new();
        bench.connect(1);
        for line in [
            "SET k v",
            "SET k",
            "INCR k",
            "CONFIG GET save",
            "NOSUCH",
            "LPUSH k x",
        ] {
            bench.run(line);
        }
        bench.eval("redis.call('SET', 'k', '1') return redis.pcall('LPUSH', 'k', 'x')");
        let command = Command::new("INFO").arg("everything");
        let reply = (bench.server).execute(&bench.engine, bench.now_us, SessionId(1), &command);
        let Reply::Bulk(text) = reply else {
            panic!("{reply:?}");
        };
        let text = String::from_utf8_lossy(&text);
        for line in [
            "cmdstat_set:calls=2,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0",
            "cmdstat_incr:calls=1,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=1",
            "cmdstat_config|get:calls=1,",
            "cmdstat_lpush:calls=2,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=2",
            "errorstat_WRONGTYPE:count=2",
            "connected_clients:1",
            "rdb_changes_since_last_save:2",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        bench.run("CONFIG RESETSTAT");
        let info = bench.run("INFO commandstats");
        assert!(!info.contains("cmdstat_set"), "{info}");
    }

    #[test]
    fn what_has_expired_goes_though_nobody_looks() {
        let mut bench = Bench::new();
        for key in ["a", "b", "c", "d"] {
            bench.run(&format!("SET {key} v PX 10"));
        }
        bench.run("SET e v");
        bench.now_us += 11_000;
        assert_eq!(bench.run("DBSIZE"), ":5");
        for left in [":3", ":1", ":1", ":1"] {
            bench.server.sweep(&bench.engine, bench.now_us, 2);
            assert_eq!(bench.run("DBSIZE"), left);
        }
        assert!(bench.run("INFO stats").contains("expired_keys:4"));
    }
}
