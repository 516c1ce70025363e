//! `CONFIG`: what can be asked and set, and the little of it that is obeyed.

use sluice_core::redis::Reply;

use super::{Arg, Fail, Out};
use crate::redis::kept::{self, IMMUTABLE, Kept, memory};
use crate::redis::lua::Engine;
use crate::redis::memory::Policy;
use crate::redis::notify;
use crate::redis::number::parse_i64;
use crate::redis::settings::{NUMBERS, Number, Output, Sync, Unit};
use crate::redis::{Server, SessionId, State};

/// What would change where files are written.
const PROTECTED: &[(&str, &str)] = &[("dbfilename", "dump.rdb"), ("dir", "/")];

/// Every parameter with its value, in the order of names.
fn parameters(state: &State) -> Vec<(&'static str, String)> {
    let protected = PROTECTED.iter();
    let mut all: Vec<_> = protected
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    let cluster = if state.nodes > 0 { "yes" } else { "no" };
    all.push(("cluster-enabled", cluster.to_owned()));
    all.push(("port", port(state).to_owned()));
    let password = state.settings.password();
    let password = password.map_or(String::new(), |p| String::from_utf8_lossy(p).into_owned());
    all.push(("requirepass", password));
    all.push(("appendfsync", state.settings.sync().name().to_owned()));
    all.push((OUTPUT, outputs(&state.settings.output())));
    all.push(("maxmemory", state.limits.bytes.to_string()));
    all.push(("maxmemory-policy", state.limits.policy.name().to_owned()));
    let master = state.master.as_ref();
    let master = master.map_or(String::new(), |master| {
        format!("{} {}", String::from_utf8_lossy(&master.host), master.port)
    });
    all.extend(MASTER.map(|name| (name, master.clone())));
    for kept in kept::of(state.version) {
        let value = state.settings.kept(kept);
        let value = String::from_utf8_lossy(&value).into_owned();
        if !kept.alias.is_empty() {
            all.push((kept.alias, value.clone()));
        }
        all.push((kept.name, value));
    }
    for number in numbers(state) {
        let value = state.settings.get(number);
        let value = match number.unit {
            Unit::Events => notify::letters(value),
            Unit::Switch => (if value == 0 { "no" } else { "yes" }).to_owned(),
            Unit::Plain | Unit::Bytes | Unit::Hertz => value.to_string(),
        };
        let names = [number.name, number.alias].into_iter();
        all.extend(
            names
                .filter(|name| !name.is_empty())
                .map(|name| (name, value.clone())),
        );
    }
    all.sort_unstable();
    all
}

const OUTPUT: &str = "client-output-buffer-limit";
/// Whose replica it is, which `REPLICAOF` changes.
const MASTER: [&str; 2] = ["replicaof", "slaveof"];

/// Where clients have come to.
pub(super) fn port(state: &State) -> &str {
    let clients = state.network.iter().flat_map(|network| &network.clients);
    let port = clients.map(|(_, client)| client.local.rsplit(':').next());
    port.flatten().next().unwrap_or("6379")
}

fn outputs(output: &Output) -> String {
    let classes = Output::CLASSES.iter().zip(&output.0);
    let classes = classes.map(|(name, [hard, soft, s])| format!("{name} {hard} {soft} {s}"));
    classes.collect::<Vec<_>>().join(" ")
}

/// `class hard soft seconds` any number of times, over what there is.
fn read_outputs(text: &[u8], now: &Output) -> Result<Output, &'static str> {
    let mut output = now.clone();
    let words: Vec<&[u8]> = text
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    let groups = words.chunks_exact(4);
    if !groups.remainder().is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.");
    }
    for group in groups {
        let name: &[u8] = match group[0] {
            name if name.eq_ignore_ascii_case(b"replica") => b"slave",
            name => name,
        };
        let mut classes = Output::CLASSES.iter();
        let class = classes.position(|class| name.eq_ignore_ascii_case(class.as_bytes()));
        let class = class.ok_or("Invalid client class specified in buffer limit configuration.")?;
        let bytes = |text| memory(text).and_then(|bytes| i64::try_from(bytes).ok());
        let seconds = parse_i64(group[3]).filter(|seconds| *seconds >= 0);
        let limits = (bytes(group[1]), bytes(group[2]), seconds);
        let (Some(hard), Some(soft), Some(seconds)) = limits else {
            return Err(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            );
        };
        output.0[class] = [hard, soft, seconds];
    }
    Ok(output)
}

/// Those that this version has.
fn numbers(state: &State) -> impl Iterator<Item = &'static Number> {
    let version = state.version;
    NUMBERS.iter().copied().filter(move |n| n.since <= version)
}

pub(super) fn config(server: &mut Server, _: &Engine, _: SessionId, args: &[Arg]) -> Out {
    let word = &args[1];
    for (name, least) in [("get", 3), ("set", 4)] {
        if word.is(name) && args.len() < least {
            return Err(Fail::arity(&format!("config|{name}")));
        }
    }
    if word.is("GET") {
        let wanted = |name: &str| {
            args[2..]
                .iter()
                .any(|pattern| super::keys::glob(&pattern.to_ascii_lowercase(), name.as_bytes()))
        };
        let found = parameters(&server.state).into_iter();
        let found = found.filter(|(name, _)| wanted(name));
        let flat = found.flat_map(|(name, value)| [Reply::bulk(name), Reply::bulk(value)]);
        return Ok(Reply::Array(flat.collect()));
    }
    if word.is("SET") {
        if !args.len().is_multiple_of(2) {
            return Err(Fail::arity("config|set"));
        }
        return set(server, &args[2..]);
    }
    if word.is("RESETSTAT") && args.len() == 2 {
        server.state.gather();
        let state = &mut *server.state;
        (state.commands, state.evicted, state.expired) = (0, 0, 0);
        if let Some(network) = &mut state.network {
            network.reset();
        }
        return Ok(server.state.replies.ok());
    }
    if word.is("REWRITE") && args.len() == 2 {
        return Err(Fail::fixed(
            "ERR The server is running without a config file",
        ));
    }
    Err(Fail::subcommand(word, "CONFIG"))
}

/// One without an effect, by either of its names.
fn kept_as(state: &State, name: &str) -> Option<&'static Kept> {
    kept::of(state.version).find(|kept| kept.name == name || kept.alias == name)
}

const NO_INTEGER: &str = "argument couldn't be parsed into an integer";

/// All of it, or nothing.
fn set(server: &mut Server, pairs: &[Arg]) -> Out {
    let mut limits = server.state.limits;
    let mut settings = server.state.settings.clone();
    for (at, pair) in pairs.chunks_exact(2).enumerate() {
        let (name, value) = (&pair[0], &pair[1]);
        let known = parameters(&server.state);
        let Some((known, now)) = known.into_iter().find(|(known, _)| name.is(known)) else {
            let text = b"ERR Unknown option or number of arguments for CONFIG SET - '";
            return Err(Fail::new([&text[..], name, b"'"].concat()));
        };
        let failed = |why: &str| {
            let argument = String::from_utf8_lossy(name);
            Fail::new(format!(
                "ERR CONFIG SET failed (possibly related to argument '{argument}') - {why}"
            ))
        };
        if pairs[..2 * at]
            .chunks_exact(2)
            .any(|earlier| earlier[0].is(known))
        {
            return Err(failed("duplicate parameter"));
        }
        match known {
            "maxmemory" => {
                limits.bytes =
                    memory(value).ok_or_else(|| failed("argument must be a memory value"))?;
            }
            "maxmemory-policy" => {
                let policy = Policy::ALL
                    .into_iter()
                    .find(|policy| value.is(policy.name()));
                let names = Policy::ALL.map(Policy::name).join(", ");
                let choice = format!("argument(s) must be one of the following: {names}");
                limits.policy = policy.ok_or_else(|| failed(&choice))?;
            }
            "requirepass" => settings.set_password(value.shared()),
            "appendfsync" => {
                let found = Sync::ALL.into_iter().find(|(name, _)| value.is(name));
                let names = Sync::ALL.map(|(name, _)| name).join(", ");
                let choice = format!("argument(s) must be one of the following: {names}");
                settings.set_sync(found.ok_or_else(|| failed(&choice))?.1);
            }
            OUTPUT => {
                let read = read_outputs(value, &settings.output());
                settings.set_output(read.map_err(failed)?);
            }
            "dir" | "dbfilename" => return Err(failed("can't set protected config")),
            _ if let Some(number) = numbers(&server.state).find(|n| n.is(known)) => {
                let value = read(number, value).map_err(|why| failed(&why))?;
                settings.set(number, value);
            }
            "port" if **value == *now.as_bytes() => {}
            "port" => {
                let port = parse_i64(value);
                let port = port.ok_or_else(|| failed(NO_INTEGER))?;
                return Err(failed(match port {
                    0..=65535 => "Unable to listen on this port. Check server logs.",
                    _ => "argument must be between 0 and 65535 inclusive",
                }));
            }
            _ if let Some(kept) = kept_as(&server.state, known) => {
                let value = kept.read(value).map_err(|why| failed(&why))?;
                settings.keep(kept, value);
            }
            _ => return Err(failed(IMMUTABLE)),
        }
    }
    server.state.limit(limits.bytes, limits.policy);
    server.state.settings = settings;
    let notifies = server.state.notifies();
    server.state.db.note_changes(notifies);
    Ok(server.state.replies.ok())
}

const EVENTS: &str = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";

/// The number that is meant, or what is wrong with it.
fn read(number: &Number, text: &[u8]) -> Result<i64, String> {
    let value = match number.unit {
        Unit::Plain | Unit::Hertz => parse_i64(text).ok_or(NO_INTEGER)?,
        Unit::Events => notify::flags(text).ok_or(EVENTS)?,
        Unit::Switch if text.eq_ignore_ascii_case(b"yes") => 1,
        Unit::Switch if text.eq_ignore_ascii_case(b"no") => 0,
        Unit::Switch => return Err("argument must be 'yes' or 'no'".to_owned()),
        Unit::Bytes => {
            let bytes = memory(text).ok_or("argument must be a memory value")?;
            i64::try_from(bytes).unwrap_or(i64::MAX)
        }
    };
    if (number.least..=number.most).contains(&value) {
        Ok(match number.unit {
            Unit::Hertz => value.clamp(1, 500),
            _ => value,
        })
    } else {
        let (least, most) = (number.least, number.most);
        Err(format!(
            "argument must be between {least} and {most} inclusive"
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    fn set(bench: &mut Bench, pairs: &[&str]) -> String {
        bench.run_as(1, &[&["CONFIG", "SET"], pairs].concat())
    }

    /// The texts are those of Redis 7.0.15.
    #[test]
    fn memory_can_be_set_and_nothing_else() {
        let mut bench = Bench::new();
        for (said, meant) in [
            ("1kb", 1024),
            ("1K", 1000),
            ("2Mb", 2 << 20),
            ("5b", 5),
            ("007", 7),
        ] {
            assert_eq!(set(&mut bench, &["MaxMemory", said]), "+OK");
            let told = format!(r#"["maxmemory", "{meant}"]"#);
            assert_eq!(bench.run("CONFIG GET maxmemory"), told);
        }
        assert_eq!(set(&mut bench, &["maxmemory", "0"]), "+OK");
        let failed = |name: &str, why: &str| {
            format!("-ERR CONFIG SET failed (possibly related to argument \\'{name}\\') - {why}")
        };
        let value = "argument must be a memory value";
        for text in ["5%", " 5", "-1", "abc"] {
            assert_eq!(
                set(&mut bench, &["maxmemory", text]),
                failed("maxmemory", value)
            );
        }
        let one_of = "argument(s) must be one of the following: volatile-lru, volatile-lfu, \
                      volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, \
                      noeviction";
        let both = ["maxmemory", "1kb", "maxmemory-policy", "x"];
        assert_eq!(set(&mut bench, &both), failed("maxmemory-policy", one_of));
        let twice = ["maxmemory", "1", "maxmemory", "2"];
        assert_eq!(
            set(&mut bench, &twice),
            failed("maxmemory", "duplicate parameter")
        );
        assert_eq!(
            bench.run("CONFIG GET maxmemory"),
            r#"["maxmemory", "0"]"#,
            "none of it"
        );
        let unknown = "-ERR Unknown option or number of arguments for CONFIG SET - \\'nosuch\\'";
        assert_eq!(set(&mut bench, &["nosuch", "1"]), unknown);
        assert_eq!(set(&mut bench, &["appendonly", "no"]), "+OK");
        let immutable = failed("databases", r"can\'t set immutable config");
        assert_eq!(set(&mut bench, &["databases", "4"]), immutable);
        let arity = "-ERR wrong number of arguments for \\'config|set\\' command";
        assert_eq!(set(&mut bench, &["maxmemory"]), arity);
    }

    /// The texts are those of Redis 7.0.15.
    #[test]
    fn what_has_no_effect_is_kept() {
        let mut bench = Bench::new();
        let failed = |name: &str, why: &str| {
            format!("-ERR CONFIG SET failed (possibly related to argument \\'{name}\\') - {why}")
        };
        let before = bench.server.digest();
        for (name, said, told) in [
            ("appendonly", "YES", "yes"),
            ("loglevel", "Verbose", "verbose"),
            ("repl-backlog-size", "2mb", "2097152"),
            ("slave-priority", "5", "5"),
            ("save", "900 1 60 5", "900 1 60 5"),
            ("maxmemory-clients", "10%", "10%"),
            ("oom-score-adj-values", "5 2 3", "5 2 3"),
            ("latency-tracking-info-percentiles", "50 75.5", "50 75.5"),
            ("masterauth", "a b", "a b"),
            ("port", "6379", "6379"),
        ] {
            assert_eq!(set(&mut bench, &[name, said]), "+OK", "{name}");
            let told = format!(r#"["{name}", "{told}"]"#);
            assert_eq!(bench.run(&format!("CONFIG GET {name}")), told);
        }
        assert_eq!(
            bench.run("CONFIG GET *-priority"),
            r#"["replica-priority", "5", "slave-priority", "5"]"#
        );
        assert_ne!(bench.server.digest(), before);
        for (name, said, why) in [
            ("appendonly", "x", r"argument must be \'yes\' or \'no\'"),
            (
                "loglevel",
                "x",
                "argument(s) must be one of the following: debug, verbose, notice, warning",
            ),
            (
                "repl-backlog-size",
                "0",
                "argument must be between 1 and 9223372036854775807 inclusive",
            ),
            (
                "active-expire-effort",
                "11",
                "argument must be between 1 and 10 inclusive",
            ),
            ("save", "900", "Invalid save parameters"),
            ("save", "900 1  60 5", "Invalid save parameters"),
            ("oom-score-adj-values", "1 2", "wrong number of arguments"),
            (
                "maxmemory-clients",
                "101%",
                "percentage argument must be less or equal to 100",
            ),
            ("daemonize", "no", r"can\'t set immutable config"),
            ("databases", "16", r"can\'t set immutable config"),
            ("replicaof", "a 1", r"can\'t set immutable config"),
            ("cluster-enabled", "no", r"can\'t set immutable config"),
            ("dir", "/", r"can\'t set protected config"),
            (
                "port",
                "1",
                "Unable to listen on this port. Check server logs.",
            ),
        ] {
            let told = set(&mut bench, &[name, said]);
            assert_eq!(told, failed(name, why), "{said}");
        }
        let names = bench.run("CONFIG GET *").matches("\", ").count();
        assert!(names > 2 * 190, "{names}");
    }

    #[test]
    fn numbers_have_two_names_and_bounds_and_are_obeyed() {
        let mut bench = Bench::new();
        bench.run("HSET h a 1 b 2 c 3");
        assert_eq!(bench.run("OBJECT ENCODING h"), r#""listpack""#);
        let set_both = [
            "hash-max-ziplist-entries",
            "2",
            "list-max-listpack-size",
            "3",
        ];
        assert_eq!(set(&mut bench, &set_both), "+OK");
        assert_eq!(bench.run("OBJECT ENCODING h"), r#""hashtable""#);
        assert_eq!(
            bench.run("CONFIG GET hash-max-*-entries"),
            r#"["hash-max-listpack-entries", "2", "hash-max-ziplist-entries", "2"]"#
        );
        bench.run("RPUSH l 1 2 3");
        assert_eq!(bench.run("OBJECT ENCODING l"), r#""listpack""#);
        bench.run("RPUSH l 4");
        assert_eq!(bench.run("OBJECT ENCODING l"), r#""quicklist""#);
        let failed = |name: &str, why: &str| {
            format!("-ERR CONFIG SET failed (possibly related to argument \\'{name}\\') - {why}")
        };
        let name = "stream-node-max-entries";
        let bounds = "argument must be between 0 and 9223372036854775807 inclusive";
        assert_eq!(set(&mut bench, &[name, "-1"]), failed(name, bounds));
        let number = r"argument couldn\'t be parsed into an integer";
        assert_eq!(set(&mut bench, &[name, "x"]), failed(name, number));
        assert_eq!(
            set(&mut bench, &["set-max-intset-entries", "1", name, "x"]),
            failed(name, number)
        );
        bench.run("SADD s 1 2");
        assert_eq!(bench.run("OBJECT ENCODING s"), r#""intset""#, "none of it");
    }
}
