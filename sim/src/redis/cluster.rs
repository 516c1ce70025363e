//! The server as a cluster: keys have slots, and slots have nodes.
//!
//! One server stands for all nodes, each of which has an even share of the
//! slots. Whoever calls is taken to know where: a command is executed by the
//! node of the keys that it declares, and `MOVED` is never answered. But what a
//! command declares must be in one slot, and what a script touches besides must
//! be on the node where it runs, as it has to be in a real cluster. With as many
//! nodes as slots that is as strict as any cluster can be.

use sluice_core::redis::{Bytes, Command};

use super::command::{Arg, Fail, Spec, lookup, tag};
use super::{Server, SessionId, State, Version, number};

/// How many slots there are.
pub const SLOTS: u16 = 1 << 14;

const CROSSES: Fail = Fail::fixed("CROSSSLOT Keys in request don't hash to the same slot");
const NOT_HERE: Fail =
    Fail::fixed("ERR Script attempted to access a non local key in a cluster node");
const ANOTHER: Fail =
    Fail::fixed("ERR Script attempted to access keys that do not hash to the same slot");

/// The slot of a key: of what stands in its first braces, if anything does.
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    let step = |crc: u16, byte: &u8| crc << 8 ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)];
    tag(key).iter().fold(0, step) % SLOTS
}

/// CRC-16/XMODEM.
static TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = (at as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

/// The one slot of all these keys; `None` without keys.
fn common<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Result<Option<u16>, Fail> {
    let mut all = None;
    for slot in keys.map(slot) {
        if all.is_some_and(|all| all != slot) {
            return Err(CROSSES);
        }
        all = Some(slot);
    }
    Ok(all)
}

/// The keys that a command declares; a script, those before its arguments.
fn declared(command: &Command) -> Vec<&[u8]> {
    let args = &command.args;
    let Some(spec) = lookup(&args[0]).filter(|spec| spec.accepts(args.len())) else {
        return Vec::new();
    };
    if spec.name.starts_with("eval") || spec.name.starts_with("fcall") {
        let count = number::parse_i64(&args[2]).and_then(|n| usize::try_from(n).ok());
        let keys = args[3..].iter().take(count.unwrap_or(0));
        return keys.map(|key| &**key).collect();
    }
    let mut keys: Vec<&Bytes> = Vec::new();
    let args: Vec<Borrowed> = args.iter().map(Borrowed).collect();
    spec.keys.each(&args, |key| keys.push(key.0));
    keys.into_iter().map(|key| &**key).collect()
}

/// The slots of these, one for each.
pub(super) fn slots(command: &Command) -> Vec<u16> {
    declared(command).into_iter().map(slot).collect()
}

/// What [`super::command::Keys::each`] can look at.
#[derive(Clone, Copy)]
struct Borrowed<'a>(&'a Bytes);

impl std::ops::Deref for Borrowed<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl Server {
    /// The server is a cluster of so many nodes, at most [`SLOTS`]; 0 for none.
    pub fn cluster(&mut self, nodes: u16) {
        self.state.nodes = nodes.min(SLOTS);
    }

    /// Before a command: refuses what is in several slots.
    pub(super) fn refuse_crossing(&mut self, id: SessionId, command: &Command) -> Option<Fail> {
        let session = self.state.sessions.get_mut(&id);
        let queue =
            session.and_then(|session| Some((session.queue.as_ref()?, &mut session.broken)));
        let runs = command.name().eq_ignore_ascii_case(b"EXEC");
        match queue {
            Some((queue, _)) if runs => {
                let keys = queue.iter().flat_map(|command| declared(command));
                let refused = common(keys).err()?;
                self.end_transaction(id);
                self.state.unwatch(id);
                Some(refused)
            }
            queue => {
                let refused = common(declared(command).into_iter()).err()?;
                if let Some((_, broken)) = queue {
                    *broken = true;
                }
                Some(refused)
            }
        }
    }
}

/// Where a script runs, and how far it may reach from there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reach {
    /// How many nodes there are; 0 without a cluster.
    nodes: u16,
    node: u16,
    /// The slot that it must keep to, as scripts do that say something of
    /// themselves; `None` until its first key says which, if it declares none.
    slot: Option<u16>,
    keeps_to_one: bool,
}

impl Reach {
    /// Of a script with these keys, which are in one slot. One that declares
    /// none is taken to run on the first node.
    pub(super) fn new(nodes: u16, keys: &[Arg], keeps_to_one: bool) -> Self {
        let slot = keys.first().filter(|_| nodes > 0).map(|key| slot(key));
        Self {
            nodes,
            node: slot.map_or(0, |slot| node(slot, nodes)),
            slot,
            keeps_to_one,
        }
    }

    /// Whether the script may execute this command.
    pub(super) fn check(
        &mut self,
        spec: &Spec,
        args: &[Arg],
        version: Version,
    ) -> Result<(), Fail> {
        if self.nodes == 0 {
            return Ok(());
        }
        let (mut first, mut several) = (None, false);
        spec.keys.each(args, |key| {
            let slot = slot(key);
            several |= *first.get_or_insert(slot) != slot;
        });
        let Some(slot) = first else {
            return Ok(());
        };
        if several {
            return Err(crosses(spec, version));
        }
        if node(slot, self.nodes) != self.node {
            return Err(NOT_HERE);
        }
        if self.keeps_to_one && *self.slot.get_or_insert(slot) != slot {
            return Err(ANOTHER);
        }
        Ok(())
    }
}

/// Whether a pattern of `SORT` is refused since its keys may be elsewhere than
/// this key.
pub(super) fn denies(state: &State, key: &[u8], pattern: &[u8]) -> bool {
    if state.nodes == 0 {
        return false;
    }
    let tag = tag(pattern);
    let fixed = tag.len() < pattern.len() && !tag.contains(&b'*') && slot(tag) == slot(key);
    !(state.version.sorts_within_slots() && (fixed || pattern == b"#"))
}

fn crosses(spec: &Spec, version: Version) -> Fail {
    if !version.names_crossing() {
        return NOT_HERE;
    }
    Fail::new(format!(
        "ERR Command '{}' in script attempted to access keys that don't hash to the same slot",
        spec.name
    ))
}

/// The node that has a slot.
const fn node(slot: u16, nodes: u16) -> u16 {
    (slot as u32 * nodes as u32 / SLOTS as u32) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::tests::Bench;

    const CROSSSLOT: &str = r"-CROSSSLOT Keys in request don\'t hash to the same slot";
    const NON_LOCAL: &str = "-ERR Script attempted to access a non local key in a cluster node";

    fn bench(nodes: u16) -> Bench {
        let mut bench = Bench::new();
        bench.server.cluster(nodes);
        bench
    }

    fn eval(bench: &mut Bench, script: &str, keys: &[&str]) -> String {
        let count = keys.len().to_string();
        let reply = bench.run_as(1, &[&["EVAL", script, &count], keys].concat());
        reply
            .split(" script: ")
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// As `CLUSTER KEYSLOT` of Redis 7.0.15 has them.
    #[test]
    fn slots_are_those_of_redis() {
        for (key, expected) in [
            ("123456789", 12739),
            ("{a}", 15495),
            ("foo{hash_tag}", 2515),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
        ] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
            let told = bench(1).run_as(1, &["CLUSTER", "KEYSLOT", key]);
            assert_eq!(told, format!(":{expected}"));
        }
        let mut nodes: Vec<u16> = (0..SLOTS).map(|slot| node(slot, 3)).collect();
        nodes.dedup();
        assert_eq!(nodes, [0, 1, 2]);
        assert_eq!(node(SLOTS - 1, SLOTS), SLOTS - 1);
    }

    #[test]
    fn what_a_command_declares_is_in_one_slot() {
        let mut bench = bench(1);
        assert_eq!(bench.run("MSET {a}x 1 {a}y 2"), "+OK");
        for crossing in [
            "MSET a 1 b 2",
            "DEL a nosuch",
            "COPY a b",
            "ZUNIONSTORE d 2 a b",
            "XREAD STREAMS a b 0 0",
            "SORT a STORE b",
            "WATCH a b",
            "EVAL return 2 a b",
            "EVALSHA 0 2 a b",
        ] {
            assert_eq!(bench.run(crossing), CROSSSLOT, "{crossing}");
        }
        assert_eq!(bench.run("EVAL return 0"), "nil");
        bench.run("MULTI");
        assert_eq!(bench.run("SET a 1"), "+QUEUED");
        assert_eq!(bench.run("SET b 1"), "+QUEUED");
        assert_eq!(bench.run("EXEC"), CROSSSLOT, "one by one they were fine");
        bench.run("MULTI");
        assert_eq!(bench.run("MGET a b"), CROSSSLOT);
        let aborted = "-EXECABORT Transaction discarded because of previous errors.";
        assert_eq!(bench.run("EXEC"), aborted);
    }

    /// Keys that are not declared work where one node has all slots, and break
    /// where they are elsewhere: the texts are those of Redis 7.0.15.
    #[test]
    fn what_a_script_touches_is_on_its_node() {
        let set = "return redis.call('SET', 'b', 1)";
        let mget = "return redis.call('MGET', 'a', 'b')";
        let mut one = bench(1);
        assert_eq!(eval(&mut one, set, &["a"]), "+OK");
        assert_eq!(eval(&mut one, set, &[]), "+OK");
        assert_eq!(eval(&mut one, mget, &["a"]), NON_LOCAL);
        let mut all = bench(SLOTS);
        assert_eq!(eval(&mut all, set, &["a"]), NON_LOCAL);
        assert_eq!(eval(&mut all, set, &["{b}"]), "+OK");
        let caught = "return redis.pcall('GET', 'b')";
        assert_eq!(eval(&mut all, caught, &["a"]), NON_LOCAL);
        let publish = "return redis.call('PUBLISH', 'b', 1)";
        assert_eq!(
            eval(&mut all, publish, &["a"]),
            ":0",
            "channels are everywhere"
        );
    }

    /// Scripts that say something of themselves keep to one slot, unless they say
    /// otherwise, and may refuse clusters.
    #[test]
    fn what_scripts_say_of_themselves() {
        let said = |flags: &str| format!("#!lua{flags}\nreturn redis.call('SET', 'b', 1)");
        let mut bench = bench(1);
        let another = "-ERR Script attempted to access keys that do not hash to the same slot";
        assert_eq!(eval(&mut bench, &said(""), &["a"]), another);
        assert_eq!(eval(&mut bench, &said(""), &[]), "+OK");
        let crosses = said(" flags=allow-cross-slot-keys");
        assert_eq!(eval(&mut bench, &crosses, &["a"]), "+OK");
        let refuses = r"-ERR Can not run script on cluster, \'no-cluster\' flag is set.";
        assert_eq!(eval(&mut bench, &said(" flags=no-cluster"), &[]), refuses);
    }

    #[test]
    fn there_is_one_database() {
        let mut bench = bench(1);
        assert_eq!(bench.run("SELECT 0"), "+OK");
        for (line, what) in [
            ("SELECT 99", "SELECT"),
            ("SWAPDB 0 1", "SWAPDB"),
            ("MOVE a 0", "MOVE"),
        ] {
            assert_eq!(
                bench.run(line),
                format!("-ERR {what} is not allowed in cluster mode")
            );
        }
        assert_eq!(bench.run("COPY a {a}2 DB 0"), ":0");
        let copies = "-ERR Copying to another database is not allowed in cluster mode";
        assert_eq!(bench.run("COPY a {a}2 DB 1"), copies);
        let sorts = "-ERR BY option of SORT denied in Cluster mode.";
        assert_eq!(bench.run("SORT a BY {a}w_*"), sorts);
        assert!(bench.run("INFO cluster").contains("cluster_enabled:1"));
        assert!(bench.run("INFO server").contains("redis_mode:cluster"));
    }
}
