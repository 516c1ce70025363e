//! Parameters of `CONFIG` that are kept and have no effect: what they say of a
//! disk, of encryption, of memory's layout or of nodes means nothing here. `CONFIG
//! SET` changes what `CONFIG GET` answers, and refuses what Redis refuses.

use sluice_core::redis::Bytes;

use super::Version;
use super::number::{parse_f64, parse_i64};

/// What may be said.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// `yes` or `no`.
    Switch,
    /// Between these, inclusive.
    Number(i64, i64),
    /// At least so many; `5kb` is 5120 too.
    Bytes(i64),
    /// Bytes, or a percentage of what there may be.
    Share,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Anything.
    Text,
    /// Pairs of seconds and changes.
    Save,
    /// Three numbers between -2000 and 2000.
    Scores,
    /// Numbers between 0 and 100.
    Percentiles,
    /// Only what it was told when it was started.
    Fixed,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) name: &'static str,
    /// Another name, which works as well.
    pub(super) alias: &'static str,
    pub(super) default: &'static str,
    pub(super) kind: Kind,
    /// Not before this version.
    since: Version,
}

impl Kept {
    const fn new(name: &'static str, default: &'static str, kind: Kind) -> Self {
        Self {
            name,
            alias: "",
            default,
            kind,
            since: Version::V6_2,
        }
    }

    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = alias;
        self
    }

    const fn since(mut self, since: Version) -> Self {
        self.since = since;
        self
    }

    /// What `CONFIG GET` says after this was set, or what is wrong with it.
    pub(super) fn read(&self, text: &[u8]) -> Result<Bytes, String> {
        let plain = |text: &str| Ok(Bytes::from(text.as_bytes()));
        let between = |value: i64, least: i64, most: i64| {
            if (least..=most).contains(&value) {
                return plain(&value.to_string());
            }
            Err(format!(
                "argument must be between {least} and {most} inclusive"
            ))
        };
        match self.kind {
            Kind::Switch if self.name == "activedefrag" && text.eq_ignore_ascii_case(b"yes") => {
                Err(NO_DEFRAG.to_owned())
            }
            Kind::Switch if text.eq_ignore_ascii_case(b"yes") => plain("yes"),
            Kind::Switch if text.eq_ignore_ascii_case(b"no") => plain("no"),
            Kind::Switch => Err("argument must be 'yes' or 'no'".to_owned()),
            Kind::Number(least, most) => {
                let value = parse_i64(text);
                let value = value.ok_or("argument couldn't be parsed into an integer")?;
                between(value, least, most)
            }
            Kind::Bytes(least) => {
                let bytes = memory(text).ok_or("argument must be a memory value")?;
                between(i64::try_from(bytes).unwrap_or(i64::MAX), least, i64::MAX)
            }
            Kind::Share => share(text),
            Kind::Choice(choices) => {
                let word = |choice: &&&str| text.eq_ignore_ascii_case(choice.as_bytes());
                let all = || choices.join(", ");
                match choices.iter().find(word) {
                    Some(choice) => plain(choice),
                    None => Err(format!(
                        "argument(s) must be one of the following: {}",
                        all()
                    )),
                }
            }
            Kind::Text => Ok(Bytes::from(text)),
            Kind::Save => {
                let words = words(text);
                let least = [1, 0].iter().cycle();
                let right = |(word, least): (&&[u8], &i64)| {
                    parse_i64(word).is_some_and(|number| (*least..=I32).contains(&number))
                };
                let pairs = words.len().is_multiple_of(2) && words.iter().zip(least).all(right);
                if text.is_empty() {
                    plain("")
                } else if pairs {
                    Ok(Bytes::from(words.join(&b' ')))
                } else {
                    Err("Invalid save parameters".to_owned())
                }
            }
            Kind::Scores => {
                let words = words(text);
                if words.len() != 3 {
                    return Err("wrong number of arguments".to_owned());
                }
                let right = |word: &&[u8]| {
                    parse_i64(word).is_some_and(|number| (-2000..=2000).contains(&number))
                };
                if words.iter().all(right) {
                    return Ok(Bytes::from(words.join(&b' ')));
                }
                Err(
                    "Invalid oom-score-adj-values, elements must be between -2000 and 2000."
                        .to_owned(),
                )
            }
            Kind::Percentiles => {
                let words = words(text);
                for word in words.iter().filter(|_| !text.is_empty()) {
                    let Some(value) = parse_f64(word) else {
                        return Err(format!("Invalid {} parameters", self.name));
                    };
                    if !(0.0..=100.0).contains(&value) {
                        return Err(format!(
                            "{} parameters should sit between [0.0,100.0]",
                            self.name
                        ));
                    }
                }
                Ok(Bytes::from(words.join(&b' ')))
            }
            Kind::Fixed => Err(IMMUTABLE.to_owned()),
        }
    }
}

/// What is said of a parameter that cannot be changed.
pub(super) const IMMUTABLE: &str = "can't set immutable config";
const NO_DEFRAG: &str = "Active defragmentation cannot be enabled: it requires a Redis server compiled with a modified Jemalloc like the one shipped by default with the Redis source distribution";
const I32: i64 = i32::MAX as i64;

/// Between single spaces: an empty one is one, too.
fn words(text: &[u8]) -> Vec<&[u8]> {
    text.split(|byte| *byte == b' ').collect()
}

fn share(text: &[u8]) -> Result<Bytes, String> {
    const NEITHER: &str = "argument must be a memory or percent value";
    let Some(percent) = text.strip_suffix(b"%") else {
        let bytes = memory(text).ok_or(NEITHER)?;
        return Ok(Bytes::from(bytes.to_string().as_bytes()));
    };
    match parse_i64(percent).filter(|percent| *percent >= 0) {
        None => Err(NEITHER.to_owned()),
        Some(101..) => Err("percentage argument must be less or equal to 100".to_owned()),
        Some(percent) => Ok(Bytes::from(format!("{percent}%").as_bytes())),
    }
}

/// `100`, `5kb`, `1G`.
pub(super) fn memory(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1_000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let add = |sum: u64, digit: &u8| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    };
    Some(digits.iter().fold(0, add).saturating_mul(factor))
}

/// Those that this version has.
pub(super) fn of(version: Version) -> impl Iterator<Item = &'static Kept> {
    KEPT.iter().filter(move |kept| kept.since <= version)
}

/// The one of this name, by either, whatever the version.
pub(super) fn named(name: &str) -> Option<&'static Kept> {
    KEPT.iter()
        .find(|kept| kept.name == name || !kept.alias.is_empty() && kept.alias == name)
}

/// Names and defaults are those of Redis 7.0.15.
static KEPT: &[Kept] = &[
    Kept::new(
        "acl-pubsub-default",
        "resetchannels",
        Kind::Choice(&["allchannels", "resetchannels"]),
    )
    .since(Version::V7_0),
    Kept::new("aclfile", "", Kind::Fixed),
    Kept::new("acllog-max-len", "128", Kind::Number(0, i64::MAX)),
    Kept::new("active-defrag-cycle-max", "25", Kind::Number(1, 99)),
    Kept::new("active-defrag-cycle-min", "1", Kind::Number(1, 99)),
    Kept::new("active-defrag-ignore-bytes", "104857600", Kind::Bytes(1)),
    Kept::new(
        "active-defrag-max-scan-fields",
        "1000",
        Kind::Number(1, i64::MAX),
    ),
    Kept::new("active-defrag-threshold-lower", "10", Kind::Number(0, 1000)),
    Kept::new(
        "active-defrag-threshold-upper",
        "100",
        Kind::Number(0, 1000),
    ),
    Kept::new("active-expire-effort", "1", Kind::Number(1, 10)),
    Kept::new("activedefrag", "no", Kind::Switch),
    Kept::new("activerehashing", "yes", Kind::Switch),
    Kept::new("always-show-logo", "no", Kind::Fixed),
    Kept::new("aof-disable-auto-gc", "no", Kind::Switch).since(Version::V7_0),
    Kept::new("aof-load-truncated", "yes", Kind::Switch),
    Kept::new("aof-rewrite-incremental-fsync", "yes", Kind::Switch),
    Kept::new("aof-timestamp-enabled", "no", Kind::Switch).since(Version::V7_0),
    Kept::new("aof-use-rdb-preamble", "yes", Kind::Switch),
    Kept::new("aof_rewrite_cpulist", "", Kind::Fixed),
    Kept::new("appenddirname", "appendonlydir", Kind::Fixed).since(Version::V7_0),
    Kept::new("appendfilename", "appendonly.aof", Kind::Fixed),
    Kept::new("appendonly", "no", Kind::Switch),
    Kept::new("auto-aof-rewrite-min-size", "67108864", Kind::Bytes(0)),
    Kept::new("auto-aof-rewrite-percentage", "100", Kind::Number(0, I32)),
    Kept::new("bgsave_cpulist", "", Kind::Fixed),
    Kept::new("bind", "* -::*", Kind::Text),
    Kept::new("bind-source-addr", "", Kind::Text).since(Version::V7_0),
    Kept::new("bio_cpulist", "", Kind::Fixed),
    Kept::new(
        "client-query-buffer-limit",
        "1073741824",
        Kind::Bytes(1 << 20),
    ),
    Kept::new("cluster-allow-pubsubshard-when-down", "yes", Kind::Switch).since(Version::V7_0),
    Kept::new("cluster-allow-reads-when-down", "no", Kind::Switch),
    Kept::new("cluster-allow-replica-migration", "yes", Kind::Switch),
    Kept::new("cluster-announce-bus-port", "0", Kind::Number(0, 65535)),
    Kept::new("cluster-announce-hostname", "", Kind::Text).since(Version::V7_0),
    Kept::new("cluster-announce-human-nodename", "", Kind::Text).since(Version::V7_2),
    Kept::new("cluster-announce-ip", "", Kind::Text),
    Kept::new("cluster-announce-port", "0", Kind::Number(0, 65535)),
    Kept::new("cluster-announce-tls-port", "0", Kind::Number(0, 65535)),
    Kept::new("cluster-config-file", "nodes.conf", Kind::Fixed),
    Kept::new("cluster-link-sendbuf-limit", "0", Kind::Bytes(0)).since(Version::V7_0),
    Kept::new("cluster-migration-barrier", "1", Kind::Number(0, I32)),
    Kept::new("cluster-node-timeout", "15000", Kind::Number(0, i64::MAX)),
    Kept::new("cluster-port", "0", Kind::Fixed).since(Version::V7_0),
    Kept::new(
        "cluster-preferred-endpoint-type",
        "ip",
        Kind::Choice(&["ip", "hostname", "unknown-endpoint"]),
    )
    .since(Version::V7_0),
    Kept::new("cluster-replica-no-failover", "no", Kind::Switch).alias("cluster-slave-no-failover"),
    Kept::new(
        "cluster-replica-validity-factor",
        "10",
        Kind::Number(0, I32),
    )
    .alias("cluster-slave-validity-factor"),
    Kept::new("cluster-require-full-coverage", "yes", Kind::Switch),
    Kept::new("crash-log-enabled", "yes", Kind::Switch),
    Kept::new("crash-memcheck-enabled", "yes", Kind::Switch),
    Kept::new("daemonize", "no", Kind::Fixed),
    Kept::new("databases", "16", Kind::Fixed),
    Kept::new("disable-thp", "yes", Kind::Fixed),
    Kept::new("dynamic-hz", "yes", Kind::Switch),
    Kept::new("enable-debug-command", "no", Kind::Fixed).since(Version::V7_0),
    Kept::new("enable-module-command", "no", Kind::Fixed).since(Version::V7_0),
    Kept::new("enable-protected-configs", "no", Kind::Fixed).since(Version::V7_0),
    Kept::new("ignore-warnings", "", Kind::Text),
    Kept::new("io-threads", "1", Kind::Fixed),
    Kept::new("io-threads-do-reads", "no", Kind::Fixed),
    Kept::new("jemalloc-bg-thread", "yes", Kind::Switch),
    Kept::new("latency-tracking", "yes", Kind::Switch).since(Version::V7_0),
    Kept::new(
        "latency-tracking-info-percentiles",
        "50 99 99.9",
        Kind::Percentiles,
    )
    .since(Version::V7_0),
    Kept::new("lfu-decay-time", "1", Kind::Number(0, I32)),
    Kept::new("lfu-log-factor", "10", Kind::Number(0, I32)),
    Kept::new("locale-collate", "", Kind::Text).since(Version::V7_2),
    Kept::new("logfile", "", Kind::Fixed),
    Kept::new(
        "loglevel",
        "notice",
        Kind::Choice(&["debug", "verbose", "notice", "warning"]),
    ),
    Kept::new("masterauth", "", Kind::Text),
    Kept::new("masteruser", "", Kind::Text),
    Kept::new("maxmemory-clients", "0", Kind::Share).since(Version::V7_0),
    Kept::new("maxmemory-eviction-tenacity", "10", Kind::Number(0, 100)),
    Kept::new("no-appendfsync-on-rewrite", "no", Kind::Switch),
    Kept::new(
        "oom-score-adj",
        "no",
        Kind::Choice(&["no", "yes", "relative", "absolute"]),
    ),
    Kept::new("oom-score-adj-values", "0 200 800", Kind::Scores),
    Kept::new("pidfile", "", Kind::Fixed),
    Kept::new(
        "proc-title-template",
        "{title} {listen-addr} {server-mode}",
        Kind::Text,
    ),
    Kept::new(
        "propagation-error-behavior",
        "ignore",
        Kind::Choice(&["ignore", "panic", "panic-on-replicas"]),
    )
    .since(Version::V7_0),
    Kept::new("protected-mode", "yes", Kind::Switch),
    Kept::new("rdb-del-sync-files", "no", Kind::Switch),
    Kept::new("rdb-save-incremental-fsync", "yes", Kind::Switch),
    Kept::new("rdbchecksum", "yes", Kind::Fixed),
    Kept::new("rdbcompression", "yes", Kind::Switch),
    Kept::new("repl-backlog-size", "1048576", Kind::Bytes(1)),
    Kept::new("repl-backlog-ttl", "3600", Kind::Number(0, i64::MAX)),
    Kept::new("repl-disable-tcp-nodelay", "no", Kind::Switch),
    Kept::new(
        "repl-diskless-load",
        "disabled",
        Kind::Choice(&["disabled", "on-empty-db", "swapdb"]),
    ),
    Kept::new("repl-diskless-sync", "yes", Kind::Switch),
    Kept::new("repl-diskless-sync-delay", "5", Kind::Number(0, I32)),
    Kept::new("repl-diskless-sync-max-replicas", "0", Kind::Number(0, I32)).since(Version::V7_0),
    Kept::new("repl-ping-replica-period", "10", Kind::Number(1, I32))
        .alias("repl-ping-slave-period"),
    Kept::new("repl-timeout", "60", Kind::Number(1, I32)),
    Kept::new("replica-announce-ip", "", Kind::Text).alias("slave-announce-ip"),
    Kept::new("replica-announce-port", "0", Kind::Number(0, 65535)).alias("slave-announce-port"),
    Kept::new("replica-announced", "yes", Kind::Switch),
    Kept::new("replica-ignore-disk-write-errors", "no", Kind::Switch).since(Version::V7_0),
    Kept::new("replica-ignore-maxmemory", "yes", Kind::Switch).alias("slave-ignore-maxmemory"),
    Kept::new("replica-lazy-flush", "no", Kind::Switch).alias("slave-lazy-flush"),
    Kept::new("replica-priority", "100", Kind::Number(0, I32)).alias("slave-priority"),
    Kept::new(
        "sanitize-dump-payload",
        "no",
        Kind::Choice(&["no", "yes", "clients"]),
    ),
    Kept::new("save", "", Kind::Save),
    Kept::new("server_cpulist", "", Kind::Fixed),
    Kept::new("set-proc-title", "yes", Kind::Fixed),
    Kept::new(
        "shutdown-on-sigint",
        "default",
        Kind::Choice(&["default", "save", "nosave", "now", "force"]),
    )
    .since(Version::V7_0),
    Kept::new(
        "shutdown-on-sigterm",
        "default",
        Kind::Choice(&["default", "save", "nosave", "now", "force"]),
    )
    .since(Version::V7_0),
    Kept::new("shutdown-timeout", "10", Kind::Number(0, I32)).since(Version::V7_0),
    Kept::new("socket-mark-id", "0", Kind::Fixed).since(Version::V7_0),
    Kept::new("stop-writes-on-bgsave-error", "yes", Kind::Switch),
    Kept::new("supervised", "no", Kind::Fixed),
    Kept::new("syslog-enabled", "no", Kind::Fixed),
    Kept::new("syslog-facility", "local0", Kind::Fixed),
    Kept::new("syslog-ident", "redis", Kind::Fixed),
    Kept::new("tcp-backlog", "511", Kind::Fixed),
    Kept::new(
        "tls-auth-clients",
        "yes",
        Kind::Choice(&["no", "yes", "optional"]),
    ),
    Kept::new("tls-ca-cert-dir", "", Kind::Text),
    Kept::new("tls-ca-cert-file", "", Kind::Text),
    Kept::new("tls-cert-file", "", Kind::Text),
    Kept::new("tls-ciphers", "", Kind::Text),
    Kept::new("tls-ciphersuites", "", Kind::Text),
    Kept::new("tls-client-cert-file", "", Kind::Text),
    Kept::new("tls-client-key-file", "", Kind::Text),
    Kept::new("tls-client-key-file-pass", "", Kind::Text),
    Kept::new("tls-cluster", "no", Kind::Switch),
    Kept::new("tls-dh-params-file", "", Kind::Text),
    Kept::new("tls-key-file", "", Kind::Text),
    Kept::new("tls-key-file-pass", "", Kind::Text),
    Kept::new("tls-port", "0", Kind::Number(0, 65535)),
    Kept::new("tls-prefer-server-ciphers", "no", Kind::Switch),
    Kept::new("tls-protocols", "", Kind::Text),
    Kept::new("tls-replication", "no", Kind::Switch),
    Kept::new("tls-session-cache-size", "20480", Kind::Number(0, I32)),
    Kept::new("tls-session-cache-timeout", "300", Kind::Number(0, I32)),
    Kept::new("tls-session-caching", "yes", Kind::Switch),
    Kept::new(
        "tracking-table-max-keys",
        "1000000",
        Kind::Number(0, i64::MAX),
    ),
    Kept::new("unixsocket", "", Kind::Fixed),
    Kept::new("unixsocketperm", "0", Kind::Fixed),
];
