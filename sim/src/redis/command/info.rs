//! `INFO`: what can be said of a server that is simulated, and, where there is
//! nothing to say, what one says of itself that has nothing to do.

use std::fmt::{Display, Write as _};

use sluice_core::redis::Reply;

use super::{Arg, Out};
use crate::redis::memory::BASE;
use crate::redis::settings::{CLIENTS, HERTZ, MAX_LAG, MIN_REPLICAS, READ_ONLY};
use crate::redis::{State, Version};

/// Sections in their order.
const SECTIONS: [&str; 13] = [
    "Server",
    "Clients",
    "Memory",
    "Persistence",
    "Stats",
    "Replication",
    "CPU",
    "Modules",
    "Commandstats",
    "Errorstats",
    "Latencystats",
    "Cluster",
    "Keyspace",
];

pub(super) fn info(state: &mut State, args: &[Arg]) -> Out {
    let named = |name: &str| args[1..].iter().any(|arg| arg.is(name));
    let all = ["all", "everything"].into_iter().any(named);
    let usual = args.len() == 1 || named("default") || all;
    state.gather();
    // Guarded gates ask for one section all the time.
    let mut lines = Lines(String::with_capacity(1024));
    for name in SECTIONS {
        let wanted = match name {
            "Commandstats" => all,
            "Latencystats" => all && state.version != Version::V6_2,
            _ => usual,
        };
        let known = name != "Latencystats" || state.version != Version::V6_2;
        if wanted || named(name) && known {
            let gap = if lines.0.is_empty() { "" } else { "\r\n" };
            let _ = write!(lines.0, "{gap}# {name}\r\n");
            section(state, name, &mut lines);
        }
    }
    Ok(Reply::bulk(lines.0))
}

struct Lines(String);

impl Lines {
    fn put(&mut self, name: &str, value: impl Display) {
        self.0.push_str(name);
        let _ = write!(self.0, ":{value}\r\n");
    }

    /// Lines that are always the same: `name:value` each.
    fn fixed(&mut self, lines: &[&str]) {
        for line in lines {
            self.0.push_str(line);
            self.0.push_str("\r\n");
        }
    }
}

fn section(state: &mut State, name: &str, lines: &mut Lines) {
    match name {
        "Server" => server(state, lines),
        "Clients" => clients(state, lines),
        "Memory" => memory(state, lines),
        "Persistence" => persistence(state, lines),
        "Stats" => stats(state, lines),
        "Replication" => replication(state, lines),
        // Simulated commands take no time.
        "CPU" => lines.fixed(&[
            "used_cpu_sys:0.000000",
            "used_cpu_user:0.000000",
            "used_cpu_sys_children:0.000000",
            "used_cpu_user_children:0.000000",
            "used_cpu_sys_main_thread:0.000000",
            "used_cpu_user_main_thread:0.000000",
        ]),
        "Cluster" => lines.put("cluster_enabled", u8::from(state.nodes > 0)),
        "Commandstats" => {
            let calls = state.network.iter().flat_map(|network| &network.calls);
            for (name, of) in calls {
                lines.put(
                    &format!("cmdstat_{name}"),
                    format_args!(
                        "calls={},usec=0,usec_per_call=0.00,rejected_calls={},failed_calls={}",
                        of.calls, of.rejected, of.failed
                    ),
                );
            }
        }
        "Errorstats" => {
            let errors = state.network.iter().flat_map(|network| &network.errors);
            for (word, count) in errors {
                lines.put(&format!("errorstat_{word}"), format_args!("count={count}"));
            }
        }
        "Latencystats" => latencies(state, lines),
        "Keyspace" => {
            for (number, keys, expires) in super::databases::sizes(state) {
                lines.put(
                    &format!("db{number}"),
                    format_args!("keys={keys},expires={expires},avg_ttl=0"),
                );
            }
        }
        // There are no modules.
        _ => {}
    }
}

/// Since when there are clients, in seconds.
fn uptime_s(state: &State) -> u64 {
    let network = state.network.as_ref();
    let since_us = network.map_or(state.now_us, |network| network.since_us);
    state.now_us.saturating_sub(since_us) / 1_000_000
}

fn server(state: &State, lines: &mut Lines) {
    lines.put("redis_version", state.version.text());
    if let Some(valkey) = state.version.valkey() {
        lines.put("server_name", "valkey");
        lines.put("valkey_version", valkey);
        lines.put("valkey_release_stage", "ga");
    }
    lines.fixed(&[
        "redis_git_sha1:00000000",
        "redis_git_dirty:0",
        "redis_build_id:ae4d7c971a948f0",
    ]);
    if state.version.is_valkey() {
        lines.put("server_mode", super::server::mode(state));
    }
    lines.put("redis_mode", super::server::mode(state));
    lines.fixed(&[
        "os:Linux 6.1.0 x86_64",
        "arch_bits:64",
        "monotonic_clock:POSIX clock_gettime",
        "multiplexing_api:epoll",
        "atomicvar_api:c11-builtin",
        "gcc_version:12.2.0",
        "process_id:1",
        "process_supervised:no",
    ]);
    // Another one at each start; the first is not all zeros.
    let run = u64::from(state.starts) + 1;
    lines.put("run_id", format_args!("{run:040x}"));
    let port = super::config::port(state);
    lines.put("tcp_port", port);
    lines.put("server_time_usec", state.now_us);
    let uptime_s = uptime_s(state);
    lines.put("uptime_in_seconds", uptime_s);
    lines.put("uptime_in_days", uptime_s / 86_400);
    let hertz = state.settings.get(&HERTZ);
    lines.put("hz", hertz);
    lines.put("configured_hz", hertz);
    lines.put("lru_clock", (state.now_us / 1_000_000) & 0x00ff_ffff);
    lines.fixed(&[
        "executable:/usr/local/bin/redis-server",
        "config_file:",
        "io_threads_active:0",
    ]);
    if state.version.rank_with_score() {
        lines.put(
            "listener0",
            format_args!("name=tcp,bind=*,bind=-::*,port={port}"),
        );
    }
}

fn clients(state: &State, lines: &mut Lines) {
    let network = state.network.as_ref();
    // Who asks is there in any case.
    let clients = network.map_or(1, |network| network.clients.len());
    lines.put("connected_clients", clients);
    lines.put("cluster_connections", 0);
    lines.put("maxclients", state.settings.get(&CLIENTS));
    lines.fixed(&[
        "client_recent_max_input_buffer:0",
        "client_recent_max_output_buffer:0",
    ]);
    let put_off = network.map_or(0, |network| network.put_off());
    lines.put("blocked_clients", state.waiting.len() + put_off);
    lines.fixed(&["tracking_clients:0", "clients_in_timeout_table:0"]);
    if state.version.rank_with_score() {
        let keys = state.waiting.keys();
        lines.put("total_blocking_keys", keys);
        lines.put("total_blocking_keys_on_nokey", 0);
    }
}

/// As people like to read it.
fn human(bytes: u64) -> String {
    let of = |unit: u32| bytes as f64 / f64::from(1_u32 << unit);
    match bytes {
        0..0x400 => format!("{bytes}B"),
        0x400..0x10_0000 => format!("{:.2}K", of(10)),
        0x10_0000..0x4000_0000 => format!("{:.2}M", of(20)),
        _ => format!("{:.2}G", of(30)),
    }
}

/// What the process takes beyond what is counted, and its interpreters, each.
pub(super) const PROCESS: u64 = 8 << 20;
pub(super) const INTERPRETER: u64 = 32 << 10;
const SYSTEM: u64 = 16 << 30;

fn memory(state: &State, lines: &mut Lines) {
    let since_7_0 = state.version != Version::V6_2;
    let used = state.used_memory();
    let rss = used + PROCESS;
    // Lua's own are counted apart.
    let resident = rss - INTERPRETER;
    let ratio = |a: u64, b: u64| format!("{:.2}", a as f64 / b.max(1) as f64);
    let data = used.saturating_sub(BASE);
    for (name, bytes) in [
        ("used_memory", used),
        ("used_memory_rss", rss),
        ("used_memory_peak", used),
    ] {
        lines.put(name, bytes);
        lines.put(&format!("{name}_human"), human(bytes));
    }
    lines.put("used_memory_peak_perc", "100.00%");
    lines.put("used_memory_overhead", BASE);
    lines.put("used_memory_startup", BASE);
    lines.put("used_memory_dataset", data);
    let share = if data == 0 { "0.00%" } else { "100.00%" };
    lines.put("used_memory_dataset_perc", share);
    lines.put("allocator_allocated", used);
    lines.put("allocator_active", resident);
    lines.put("allocator_resident", resident);
    lines.put("total_system_memory", SYSTEM);
    lines.put("total_system_memory_human", human(SYSTEM));
    lines.put("used_memory_lua", INTERPRETER);
    const SCRIPT: usize = 120;
    let scripts = state.scripts.values();
    let scripts = scripts.map(|text| (text.len() + SCRIPT) as u64).sum();
    if since_7_0 {
        lines.put("used_memory_vm_eval", INTERPRETER);
    }
    lines.put("used_memory_lua_human", human(INTERPRETER));
    if since_7_0 {
        lines.put("used_memory_scripts_eval", scripts);
        lines.put("number_of_cached_scripts", state.scripts.len());
        let libraries: Vec<_> = state.libraries.iter().map(|(_, library)| library).collect();
        let functions = libraries.iter().map(|library| library.functions.len());
        let code = libraries.iter().map(|library| library.code.len() as u64);
        let functions_bytes = 200 + code.sum::<u64>();
        lines.put("number_of_functions", functions.sum::<usize>());
        lines.put("number_of_libraries", libraries.len());
        lines.put("used_memory_vm_functions", INTERPRETER);
        lines.put("used_memory_vm_total", 2 * INTERPRETER);
        lines.put("used_memory_vm_total_human", human(2 * INTERPRETER));
        lines.put("used_memory_functions", functions_bytes);
        lines.put("used_memory_scripts", scripts + functions_bytes);
        lines.put(
            "used_memory_scripts_human",
            human(scripts + functions_bytes),
        );
    } else {
        lines.put("used_memory_scripts", scripts);
        lines.put("used_memory_scripts_human", human(scripts));
        lines.put("number_of_cached_scripts", state.scripts.len());
    }
    lines.put("maxmemory", state.limits.bytes);
    lines.put("maxmemory_human", human(state.limits.bytes));
    lines.put("maxmemory_policy", state.limits.policy.name());
    lines.put("allocator_frag_ratio", ratio(resident, used));
    lines.put("allocator_frag_bytes", resident - used);
    lines.fixed(&["allocator_rss_ratio:1.00", "allocator_rss_bytes:0"]);
    lines.put("rss_overhead_ratio", ratio(rss, resident));
    lines.put("rss_overhead_bytes", rss - resident);
    lines.put("mem_fragmentation_ratio", ratio(rss, used));
    lines.put("mem_fragmentation_bytes", rss - used);
    lines.fixed(&["mem_not_counted_for_evict:0", "mem_replication_backlog:0"]);
    if since_7_0 {
        lines.put("mem_total_replication_buffers", 0);
    }
    lines.fixed(&["mem_clients_slaves:0", "mem_clients_normal:0"]);
    if since_7_0 {
        lines.put("mem_cluster_links", 0);
    }
    lines.fixed(&[
        "mem_aof_buffer:0",
        "mem_allocator:libc",
        "active_defrag_running:0",
        // What is freed is freed at once.
        "lazyfree_pending_objects:0",
        "lazyfreed_objects:0",
    ]);
}

fn persistence(state: &State, lines: &mut Lines) {
    let since_7_0 = state.version != Version::V6_2;
    lines.put("loading", 0);
    if since_7_0 {
        lines.put("async_loading", 0);
    }
    lines.fixed(&[
        "current_cow_peak:0",
        "current_cow_size:0",
        "current_cow_size_age:0",
        "current_fork_perc:0.00",
        "current_save_keys_processed:0",
        "current_save_keys_total:0",
    ]);
    lines.put("rdb_changes_since_last_save", state.changes);
    lines.put("rdb_bgsave_in_progress", 0);
    lines.put("rdb_last_save_time", state.saved_s);
    lines.put("rdb_last_bgsave_status", "ok");
    let saves = state.network.as_ref().map_or(0, |network| network.saves);
    let last = if saves > 0 { 0 } else { -1 };
    lines.put("rdb_last_bgsave_time_sec", last);
    lines.put("rdb_current_bgsave_time_sec", -1);
    if since_7_0 {
        lines.put("rdb_saves", saves);
    }
    lines.put("rdb_last_cow_size", 0);
    if since_7_0 {
        lines.fixed(&[
            "rdb_last_load_keys_expired:0",
            "rdb_last_load_keys_loaded:0",
        ]);
    }
    let appends = state.settings.told("appendonly") == "yes";
    lines.put("aof_enabled", u8::from(appends));
    lines.fixed(&[
        "aof_rewrite_in_progress:0",
        "aof_rewrite_scheduled:0",
        "aof_last_rewrite_time_sec:-1",
        "aof_current_rewrite_time_sec:-1",
        "aof_last_bgrewrite_status:ok",
    ]);
    if since_7_0 {
        lines.fixed(&["aof_rewrites:0", "aof_rewrites_consecutive_failures:0"]);
    }
    lines.fixed(&[
        "aof_last_write_status:ok",
        "aof_last_cow_size:0",
        "module_fork_in_progress:0",
        "module_fork_last_cow_size:0",
    ]);
    if appends {
        lines.fixed(&[
            "aof_current_size:0",
            "aof_base_size:0",
            "aof_pending_rewrite:0",
            "aof_buffer_length:0",
            "aof_pending_bio_fsync:0",
            "aof_delayed_fsync:0",
        ]);
    }
}

fn stats(state: &State, lines: &mut Lines) {
    let since_7_0 = state.version != Version::V6_2;
    let network = state.network.as_ref();
    let connections = network.map_or(0, |network| network.connections);
    lines.put("total_connections_received", connections);
    lines.put("total_commands_processed", state.commands);
    lines.put("instantaneous_ops_per_sec", 0);
    let read = network.map_or(0, |network| network.read);
    lines.put("total_net_input_bytes", read);
    lines.put("total_net_output_bytes", 0);
    if since_7_0 {
        lines.fixed(&[
            "total_net_repl_input_bytes:0",
            "total_net_repl_output_bytes:0",
        ]);
    }
    lines.fixed(&[
        "instantaneous_input_kbps:0.00",
        "instantaneous_output_kbps:0.00",
    ]);
    if since_7_0 {
        lines.fixed(&[
            "instantaneous_input_repl_kbps:0.00",
            "instantaneous_output_repl_kbps:0.00",
        ]);
    }
    lines.fixed(&[
        "rejected_connections:0",
        "sync_full:0",
        "sync_partial_ok:0",
        "sync_partial_err:0",
    ]);
    lines.put("expired_keys", state.expired);
    lines.fixed(&[
        "expired_stale_perc:0.00",
        "expired_time_cap_reached_count:0",
        "expire_cycle_cpu_milliseconds:0",
    ]);
    lines.put("evicted_keys", state.evicted);
    if since_7_0 {
        lines.fixed(&[
            "evicted_clients:0",
            "total_eviction_exceeded_time:0",
            "current_eviction_exceeded_time:0",
        ]);
    }
    let (hits, misses) = network.map_or((0, 0), |network| network.looked);
    lines.put("keyspace_hits", hits);
    lines.put("keyspace_misses", misses);
    lines.put("pubsub_channels", state.subscriptions.channels.len());
    lines.put("pubsub_patterns", state.subscriptions.patterns.len());
    if since_7_0 {
        lines.put("pubsubshard_channels", state.subscriptions.shards.len());
    }
    lines.fixed(&[
        "latest_fork_usec:0",
        "total_forks:0",
        "migrate_cached_sockets:0",
        "slave_expires_tracked_keys:0",
        "active_defrag_hits:0",
        "active_defrag_misses:0",
        "active_defrag_key_hits:0",
        "active_defrag_key_misses:0",
    ]);
    if since_7_0 {
        lines.fixed(&["total_active_defrag_time:0", "current_active_defrag_time:0"]);
    }
    lines.fixed(&[
        "tracking_total_keys:0",
        "tracking_total_items:0",
        "tracking_total_prefixes:0",
        "unexpected_error_replies:0",
    ]);
    lines.put("total_error_replies", state.errors());
    lines.put("dump_payload_sanitizations", 0);
    lines.put("total_reads_processed", state.commands);
    lines.put("total_writes_processed", state.commands);
    lines.fixed(&[
        "io_threaded_reads_processed:0",
        "io_threaded_writes_processed:0",
    ]);
    if since_7_0 {
        lines.fixed(&["reply_buffer_shrinks:0", "reply_buffer_expands:0"]);
    }
    if state.version.rank_with_score() {
        lines.fixed(&[
            "eventloop_cycles:0",
            "eventloop_duration_sum:0",
            "eventloop_duration_cmd_sum:0",
            "instantaneous_eventloop_cycles_per_sec:0",
            "instantaneous_eventloop_duration_usec:0",
            "acl_access_denied_auth:0",
            "acl_access_denied_cmd:0",
            "acl_access_denied_key:0",
            "acl_access_denied_channel:0",
        ]);
    }
}

fn replication(state: &State, lines: &mut Lines) {
    let settings = &state.settings;
    match &state.master {
        None => lines.put("role", "master"),
        Some(master) => {
            lines.put("role", "slave");
            lines.put("master_host", String::from_utf8_lossy(&master.host));
            lines.put("master_port", master.port);
            lines.fixed(&[
                "master_link_status:down",
                "master_last_io_seconds_ago:-1",
                "master_sync_in_progress:0",
                "slave_read_repl_offset:0",
                "slave_repl_offset:0",
                "master_link_down_since_seconds:-1",
            ]);
            lines.put("slave_priority", settings.told("replica-priority"));
            lines.put("slave_read_only", settings.get(&READ_ONLY));
            let announced = settings.told("replica-announced") == "yes";
            lines.put("replica_announced", u8::from(announced));
        }
    }
    lines.put("connected_slaves", 0);
    if settings.get(&MIN_REPLICAS) > 0 && settings.get(&MAX_LAG) > 0 {
        lines.put("min_slaves_good_slaves", 0);
    }
    lines.put("master_failover_state", "no-failover");
    // Another history at each start.
    let history = (u64::from(state.starts) + 1) << 32;
    lines.put("master_replid", format_args!("{history:040x}"));
    lines.put("master_replid2", format_args!("{:040x}", 0));
    lines.fixed(&[
        "master_repl_offset:0",
        "second_repl_offset:-1",
        "repl_backlog_active:0",
    ]);
    lines.put("repl_backlog_size", settings.told("repl-backlog-size"));
    lines.fixed(&["repl_backlog_first_byte_offset:0", "repl_backlog_histlen:0"]);
}

/// Simulated commands take no time, for which Redis has its least number.
fn latencies(state: &State, lines: &mut Lines) {
    if state.settings.told("latency-tracking") != "yes" {
        return;
    }
    let percentiles = state.settings.told("latency-tracking-info-percentiles");
    let each = percentiles.split_whitespace();
    let each: Vec<String> = each.map(|p| format!("p{p}=0.001")).collect();
    let each = each.join(",");
    let calls = state.network.iter().flat_map(|network| &network.calls);
    for (name, _) in calls.filter(|(_, of)| of.calls > 0) {
        lines.put(&format!("latency_percentiles_usec_{name}"), &each);
    }
}

#[cfg(test)]
mod tests {
    use crate::redis::SessionId;
    use crate::redis::tests::Bench;

    /// What follows `name:` in the reply.
    fn field(told: &str, name: &str) -> String {
        let mut lines = told.trim_matches('"').split("\\r\\n");
        let of = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.to_owned());
        lines.find_map(of).unwrap_or_default()
    }

    #[test]
    fn sections_are_those_of_redis_in_their_order() {
        let mut bench = Bench::new();
        let heads = |told: &str| {
            let lines = told.trim_matches('"').split("\\r\\n");
            let heads = lines.filter_map(|line| line.strip_prefix("# "));
            heads.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            heads(&bench.run("INFO")),
            "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace"
        );
        assert_eq!(
            heads(&bench.run("INFO everything")),
            "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats Cluster Keyspace"
        );
        assert_eq!(heads(&bench.run("INFO KEYSPACE cpu")), "CPU Keyspace");
        assert_eq!(bench.run("INFO nosuch"), r#""""#);
    }

    #[test]
    fn numbers_follow_what_happened() {
        let mut bench = Bench::new();
        (bench.server).connect(bench.now_us, SessionId(1), "127.0.0.1:5", "127.0.0.1:7001");
        bench.now_us += 90_000_000_000;
        let server = bench.run("INFO server");
        assert_eq!(field(&server, "uptime_in_seconds"), "90000");
        assert_eq!(field(&server, "uptime_in_days"), "1");
        assert_eq!(field(&server, "tcp_port"), "7001");
        bench.run("CONFIG SET maxmemory 3mb");
        let memory = bench.run("INFO memory");
        assert_eq!(field(&memory, "maxmemory_human"), "3.00M");
        assert_eq!(field(&memory, "used_memory_human"), "878.91K");
        let before = bench.run("INFO stats");
        let read = |told: &str| field(told, "total_net_input_bytes").parse::<u64>();
        bench.run("GET key");
        let read = read(&bench.run("INFO stats")).unwrap() - read(&before).unwrap();
        let wire = b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n*2\r\n$4\r\nINFO\r\n$5\r\nstats\r\n";
        assert_eq!(read, wire.len() as u64);
    }

    /// What Redis 7.0.15 counts.
    #[test]
    fn keys_that_were_read_are_counted() {
        let mut bench = Bench::new();
        (bench.server).connect(bench.now_us, SessionId(1), "a:1", "b:2");
        bench.run("RPUSH l 1 2");
        bench.run("ZADD z 1 a");
        bench.run("SET k v");
        bench.run("XADD x 1-1 a b");
        for (line, looked) in [
            ("GET k", "1 0"),
            ("GET n", "0 1"),
            ("GET l", "1 0"),
            ("MGET k n l", "2 1"),
            ("EXISTS k n k", "2 1"),
            ("TTL n", "0 1"),
            ("OBJECT ENCODING k", "1 0"),
            ("OBJECT ENCODING n", "0 1"),
            ("MEMORY USAGE k", "0 0"),
            ("ZUNIONSTORE d 2 z n", "1 1"),
            ("SORT l", "1 0"),
            ("COPY n k2", "0 1"),
            ("BITOP AND b k n", "1 1"),
            ("XREAD STREAMS x 0", "2 0"),
            ("XREAD STREAMS n 0", "0 2"),
            ("XLEN x", "1 0"),
            ("SET n3 v GET", "0 1"),
            ("SET k v", "0 0"),
            ("INCR n5", "0 0"),
            ("LPOP n", "0 0"),
            ("GETDEL n", "0 1"),
            ("ZRANGE z 0 x", "0 0"),
        ] {
            bench.run("CONFIG RESETSTAT");
            bench.run(line);
            let told = bench.run("INFO stats");
            let (hits, misses) = (
                field(&told, "keyspace_hits"),
                field(&told, "keyspace_misses"),
            );
            assert_eq!(format!("{hits} {misses}"), looked, "{line}");
        }
    }

    #[test]
    fn a_replica_tells_of_its_master() {
        let mut bench = Bench::new();
        bench.run("REPLICAOF 127.0.0.1 1");
        bench.run("CONFIG SET replica-priority 5");
        let told = bench.run("INFO replication");
        for (name, value) in [
            ("role", "slave"),
            ("master_port", "1"),
            ("slave_read_repl_offset", "0"),
            ("slave_priority", "5"),
            ("slave_read_only", "1"),
            ("master_failover_state", "no-failover"),
        ] {
            assert_eq!(field(&told, name), value, "{name}");
        }
        assert_eq!(
            bench.run("CONFIG GET replicaof"),
            r#"["replicaof", "127.0.0.1 1"]"#
        );
    }
}
