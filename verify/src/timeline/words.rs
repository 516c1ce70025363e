//! What happened, in a few words.

use sluice_core::client::Event;
use sluice_core::redis::{Bytes, Command, Reply};
use sluice_core::script;
use sluice_sim::world::{ActorId, EVERYTHING, FaultKind, Happening};

/// One drawable thing.
pub(super) struct Line {
    pub(super) who: Option<ActorId>,
    pub(super) mark: Mark,
    pub(super) words: String,
}

/// What kind of thing it is, and so how it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// From the client to the server.
    Executes,
    /// From the server to the client.
    Receives,
    /// Within the client.
    Does,
    /// A slot is held, or given back.
    Gains,
    /// Something went wrong here.
    Fault,
    /// At the server.
    Server,
}

impl Line {
    /// `None` for what only clutters the page.
    pub(super) fn of(what: &Happening) -> Option<Self> {
        let line = |who, mark, words| Some(Self { who, mark, words });
        let client = |who: &ActorId, mark, words| line(Some(*who), mark, words);
        let host = |host: &u16, words| line(None, Mark::Server, format!("host {host} {words}"));
        match what {
            Happening::Connected { .. } | Happening::HungUp { .. } => None,
            Happening::Subscribed { .. } | Happening::Woke { .. } => None,
            Happening::Executed {
                who,
                command,
                reply,
                ..
            } => client(
                who,
                Mark::Executes,
                format!("{} → {}", show_command(command), show_reply(reply)),
            ),
            Happening::ExecutedByFormer {
                who,
                command,
                reply,
            } => client(
                who,
                Mark::Executes,
                format!(
                    "{} → {} (the old server)",
                    show_command(command),
                    show_reply(reply)
                ),
            ),
            Happening::Delivered { who, reply, .. } => {
                client(who, Mark::Receives, format!("learns {}", show_reply(reply)))
            }
            Happening::Lost { who, failure, .. } => {
                client(who, Mark::Fault, format!("gets no reply ({failure:?})"))
            }
            Happening::CommandLost { who, command, .. } => client(
                who,
                Mark::Fault,
                format!("lost before execution: {}", show_command(command)),
            ),
            Happening::ReplyLost { who, reply, .. } => client(
                who,
                Mark::Fault,
                format!("lost after execution: {}", show_reply(reply)),
            ),
            Happening::Refused { who, .. } => client(who, Mark::Fault, "cannot connect".into()),
            Happening::Unsubscribed { who } => {
                client(who, Mark::Fault, "loses its subscription".into())
            }
            Happening::Message { who, payload } => client(
                who,
                Mark::Receives,
                format!("hears \"{}\"", payload.escape_ascii()),
            ),
            Happening::Told { who, event } => {
                let gains = matches!(event, Event::Granted { .. } | Event::Released);
                client(
                    who,
                    if gains { Mark::Gains } else { Mark::Does },
                    show_event(event),
                )
            }
            Happening::Cut {
                who,
                up_bytes,
                down_bytes,
                ..
            } => client(
                who,
                Mark::Fault,
                format!("connection cut ({up_bytes} B up, {down_bytes} B down arrive)"),
            ),
            Happening::Stalled { who, until_ns, .. } => client(
                who,
                Mark::Fault,
                format!("connection stalls until {}", seconds(*until_ns)),
            ),
            Happening::Partitioned { host: h, until_ns } => {
                host(h, format!("is cut off until {}", seconds(*until_ns)))
            }
            Happening::Mended { host: h } => host(h, "is connected again".into()),
            Happening::Refusing { host: h, until_ns } => {
                host(h, format!("is refused until {}", seconds(*until_ns)))
            }
            Happening::Paused { host: h, until_ns } => {
                host(h, format!("stands still until {}", seconds(*until_ns)))
            }
            Happening::Resumed { host: h } => host(h, "goes on".into()),
            Happening::Crashed { host: h, until_ns } => {
                host(h, format!("crashes, is back at {}", seconds(*until_ns)))
            }
            Happening::Restarted { host: h } => host(h, "is back".into()),
            Happening::ClockStepped { host: h, by_ns } => {
                host(h, format!("clock steps by {:+} ms", by_ns / 1_000_000))
            }
            Happening::ServerClockStepped { by_us } => line(
                None,
                Mark::Server,
                format!("server clock steps by {:+} ms", by_us / 1_000),
            ),
            Happening::ScriptsFlushed => line(None, Mark::Server, "script cache flushed".into()),
            Happening::ServerStopped {
                kind,
                lost,
                until_ns,
            } => {
                let until = seconds(*until_ns);
                let words = match kind {
                    FaultKind::ServerFailover => {
                        format!("a replica takes over at {until}, without the last {lost} writes")
                    }
                    _ if *lost == EVERYTHING => {
                        format!("server down until {until}, without its data")
                    }
                    FaultKind::PowerLoss => {
                        format!("no power until {until}; the last {lost} writes are lost")
                    }
                    _ if *lost > 0 => {
                        format!("server down until {until}, without the last {lost} writes")
                    }
                    _ => format!("server down until {until}"),
                };
                line(None, Mark::Server, words)
            }
            Happening::ServerSplit { lost, until_ns } => line(
                None,
                Mark::Server,
                format!(
                    "a replica takes over, without the last {lost} writes; the old server serves on until {}",
                    seconds(*until_ns)
                ),
            ),
            Happening::FormerStopped => line(None, Mark::Server, "the old server ends".into()),
            Happening::ServerRefuses { refusal, until_ns } => {
                let text = refusal.code();
                let until = seconds(*until_ns);
                line(
                    None,
                    Mark::Server,
                    format!("server answers {text} until {until}"),
                )
            }
            Happening::ServerStarted { .. } => line(None, Mark::Server, "server up again".into()),
            Happening::Evicted { key } => line(
                None,
                Mark::Server,
                format!("server evicts {}", key.escape_ascii()),
            ),
            Happening::Healed => line(None, Mark::Server, "faults are over".into()),
        }
    }
}

/// Seconds with microseconds.
pub(super) fn seconds(ns: u64) -> String {
    format!("{}.{:06}", ns / 1_000_000_000, ns / 1_000 % 1_000_000)
}

/// A command in a few words: scripts by their name and whom they are about, not
/// by digest, keys and configuration, which are the same in every line.
fn show_command(command: &Command) -> String {
    let shown = |args: &[Bytes]| -> String {
        let words = args.iter().map(|a| a.escape_ascii().to_string());
        words.collect::<Vec<_>>().join(" ")
    };
    let args = &command.args;
    let sha1 = args.get(1).filter(|_| command.name() == b"EVALSHA");
    if let Some(known) = sha1.and_then(|sha1| script::by_sha1(sha1)) {
        // EVALSHA digest 3 key key key configuration, then the script's own.
        let own = args.get(7..).unwrap_or_default();
        return format!("{} {}", known.name, shown(&own[..own.len().min(2)]));
    }
    if matches!(command.name(), b"EVAL" | b"EVALSHA") {
        return format!("script {}", shown(&args[args.len().max(3) - 1..]));
    }
    shown(args)
}

fn show_reply(reply: &Reply) -> String {
    match reply {
        Reply::Status(s) | Reply::Bulk(s) => s.escape_ascii().to_string(),
        Reply::Error(e) => format!("error {}", e.escape_ascii()),
        Reply::Int(n) => n.to_string(),
        Reply::Nil => "nil".into(),
        Reply::Array(items) => items.iter().map(show_reply).collect::<Vec<_>>().join(" "),
    }
}

fn show_event(event: &Event) -> String {
    match event {
        Event::Waiting { position } => format!("waits, position {position}"),
        Event::Granted { fence: 0, .. } => "is in".into(),
        Event::Granted { fence, .. } => format!("is in, fence {fence}"),
        Event::Rejected(why) => format!("is turned away ({why:?})"),
        Event::Ended(how) => format!("is out ({how:?})"),
        Event::Released => "has left".into(),
        Event::Cancelled => "has cancelled".into(),
        Event::Trouble(text) => format!("trouble: {text}"),
        Event::Fatal(text) => format!("gives up: {text}"),
    }
}
