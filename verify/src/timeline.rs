//! A run as a person reads it: a lane for each client, one for the server,
//! time running down, and the broken invariant in words at its step (R6.5).
//!
//! A run of fifty clients does not fit on a page, and need not: the clients
//! nearest to the end are the ones that broke something. They get a lane each;
//! what the others did between two lines is counted in one.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sluice_core::client::Event;
use sluice_core::redis::{Bytes, Command, Reply};
use sluice_core::script::ALL;
use sluice_sim::world::{ActorId, Happening};

use crate::property::Violation;

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// Its number in the run.
    pub step: u64,
    /// Simulated time, in nanoseconds.
    pub at_ns: u64,
    /// What happened.
    pub what: Happening,
}

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of the page; never exceeded.
    pub width: usize,
    /// Most clients with a lane of their own.
    pub lanes: usize,
    /// Most lines before the end.
    pub lines: usize,
    /// ANSI colours.
    pub colour: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            width: 80,
            lanes: 8,
            lines: 40,
            colour: false,
        }
    }
}

const DIM: &str = "2";
const RED: &str = "1;31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// Draws the end of a run, and what broke there.
#[must_use]
pub fn render(steps: &[Step], violation: Option<&Violation>, style: Style) -> String {
    let lanes = lanes(steps, style.lanes);
    let mut lines = Vec::new();
    let mut skipped = 0;
    let mut full = false;
    for step in steps.iter().rev() {
        let Some(line) = Line::of(&step.what) else {
            continue;
        };
        let at = line
            .who
            .and_then(|who| lanes.iter().position(|l| *l == who));
        if line.who.is_some() && at.is_none() {
            skipped += 1;
            continue;
        }
        if skipped > 0 {
            lines.push(elsewhere(skipped, lanes.len(), style));
            skipped = 0;
        }
        if lines.len() >= style.lines {
            full = true;
            break;
        }
        lines.push(draw(step, &line, at, lanes.len(), style));
    }
    if skipped > 0 && !full {
        lines.push(elsewhere(skipped, lanes.len(), style));
    }
    let mut page = heading(&lanes, style);
    if full {
        let _ = writeln!(
            page,
            "{}",
            paint(&cut("       ⋮ earlier steps left out", style), DIM, style)
        );
    }
    for line in lines.iter().rev() {
        let _ = writeln!(page, "{line}");
    }
    if let Some(violation) = violation {
        page.push_str(&verdict(violation, style));
    }
    page
}

/// What broke, where, and the state on both sides of it.
fn verdict(violation: &Violation, style: Style) -> String {
    let mut text = String::new();
    let headline = format!("✗ step {}: {}", violation.step, violation.words);
    for line in wrap(&headline, style.width) {
        let _ = writeln!(text, "{}", paint(&line, RED, style));
    }
    for (name, state) in [("before", &violation.before), ("after ", &violation.after)] {
        for line in wrap(&format!("  {name}  {state}"), style.width) {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// The clients that act last, in the order of their names.
fn lanes(steps: &[Step], most: usize) -> Vec<ActorId> {
    let mut lanes = BTreeSet::new();
    for step in steps.iter().rev() {
        if let Some(who) = Line::of(&step.what).and_then(|line| line.who) {
            lanes.insert(who);
            if lanes.len() == most {
                break;
            }
        }
    }
    lanes.into_iter().collect()
}

fn name(who: ActorId) -> String {
    format!("{}.{}", who.host, who.actor)
}

fn lane_width(lanes: usize, style: Style) -> usize {
    // Half of what step and time leave belongs to the words.
    ((style.width.saturating_sub(16)) / 2 / (lanes + 1)).clamp(2, 5)
}

fn heading(lanes: &[ActorId], style: Style) -> String {
    let width = lane_width(lanes.len(), style);
    let mut line = format!("{:>5} {:>9} ", "step", "seconds");
    for lane in lanes {
        let _ = write!(line, "{:^width$}", name(*lane));
    }
    let _ = write!(line, "{:^width$}", "S");
    let mut text = paint(&cut(line.trim_end(), style), DIM, style);
    text.push('\n');
    text
}

/// One drawable thing.
struct Line {
    who: Option<ActorId>,
    mark: Mark,
    words: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
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
    fn of(what: &Happening) -> Option<Self> {
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
            Happening::ServerStopped { kind, until_ns } => line(
                None,
                Mark::Server,
                format!("server down until {} ({kind:?})", seconds(*until_ns)),
            ),
            Happening::ServerStarted { .. } => line(None, Mark::Server, "server up again".into()),
            Happening::Healed => line(None, Mark::Server, "faults are over".into()),
        }
    }

    fn colour(&self) -> &'static str {
        match self.mark {
            Mark::Executes | Mark::Receives | Mark::Does => "",
            Mark::Gains => GREEN,
            Mark::Fault | Mark::Server => YELLOW,
        }
    }
}

fn draw(step: &Step, line: &Line, at: Option<usize>, lanes: usize, style: Style) -> String {
    let width = lane_width(lanes, style);
    let middle = (width - 1) / 2;
    // One cell per column: lanes first, then the server's.
    let mut cells = vec![' '; (lanes + 1) * width];
    for lane in 0..=lanes {
        cells[lane * width + middle] = '│';
    }
    let server = lanes * width + middle;
    if let Some(lane) = at {
        let own = lane * width + middle;
        match line.mark {
            Mark::Executes | Mark::Receives => {
                for cell in &mut cells[own + 1..server] {
                    *cell = '─';
                }
                let (head, tail) = if line.mark == Mark::Executes {
                    (server, own)
                } else {
                    (own, server)
                };
                cells[head] = if head > tail { '▶' } else { '◀' };
                cells[tail] = if head > tail { '├' } else { '┤' };
            }
            Mark::Does => cells[own] = '○',
            Mark::Gains => cells[own] = '●',
            Mark::Fault => cells[own] = '✗',
            Mark::Server => {}
        }
    } else {
        cells[server] = '✗';
    }
    let lanes: String = cells.into_iter().collect();
    let text = cut(
        &format!(
            "{:>5} {:>9} {lanes}{}",
            step.step,
            seconds(step.at_ns),
            line.words
        ),
        style,
    );
    paint(text.trim_end(), line.colour(), style)
}

fn elsewhere(skipped: u64, lanes: usize, style: Style) -> String {
    let width = lane_width(lanes, style) * (lanes + 1);
    let steps = if skipped == 1 { "step" } else { "steps" };
    let text = format!(
        "{:>15} {:width$}… {skipped} {steps} of other clients",
        "", ""
    );
    paint(&cut(&text, style), DIM, style)
}

/// Seconds with microseconds.
fn seconds(ns: u64) -> String {
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
    let script = args.get(1).filter(|_| command.name() == b"EVALSHA");
    if let Some(known) = script.and_then(|sha| ALL.iter().find(|s| s.sha1.as_bytes() == &sha[..])) {
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

fn cut(line: &str, style: Style) -> String {
    if line.chars().count() <= style.width {
        return line.to_owned();
    }
    let mut text: String = line.chars().take(style.width.saturating_sub(1)).collect();
    text.push('…');
    text
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        // A word longer than the page is cut into pages.
        let chars: Vec<char> = word.chars().collect();
        for (i, piece) in chars.chunks(width.saturating_sub(8).max(8)).enumerate() {
            let piece: String = piece.iter().collect();
            let line = lines.last_mut().expect("there is always a line");
            let gap = usize::from(i == 0 && !line.is_empty());
            if line.chars().count() + gap + piece.chars().count() <= width {
                if gap == 1 {
                    line.push(' ');
                }
                line.push_str(&piece);
            } else {
                lines.push(format!("        {piece}"));
            }
        }
        if chars.is_empty() {
            lines.last_mut().expect("there is always a line").push(' ');
        }
    }
    lines
}

fn paint(text: &str, code: &str, style: Style) -> String {
    if style.colour && !code.is_empty() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_core::client::RequestId;

    fn who(actor: u16) -> ActorId {
        ActorId {
            host: actor % 2,
            actor,
        }
    }

    fn race(clients: u16) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut push = |what| {
            let step = steps.len() as u64 + 1;
            steps.push(Step {
                step,
                at_ns: step * 1_250_000,
                what,
            });
        };
        let executed = |actor, command: Command, reply| Happening::Executed {
            who: who(actor),
            connection: 0,
            request: Some(RequestId(1)),
            command,
            reply,
            sent_ns: 0,
        };
        for actor in 0..clients {
            push(executed(
                actor,
                Command::new("HLEN").arg("sessions"),
                Reply::Int(0),
            ));
        }
        for actor in 0..clients {
            push(Happening::Delivered {
                who: who(actor),
                request: RequestId(1),
                reply: Reply::Int(0),
                sent_ns: 0,
            });
            let set = Command::new("HSET")
                .arg("sessions")
                .arg(format!("user-{actor}"))
                .arg("active");
            push(executed(actor, set, Reply::Int(1)));
            push(Happening::Told {
                who: who(actor),
                event: Event::Granted {
                    fence: 0,
                    until: None,
                    wait_ms: 0,
                },
            });
        }
        push(Happening::Crashed {
            host: 1,
            until_ns: 3_000_000_000,
        });
        steps
    }

    fn broken() -> Violation {
        Violation {
            step: 9,
            words: "R1.1 (s): 3 sessions are held, and the cap is 2".into(),
            before: "held user-0 user-1; waiting nobody".into(),
            after: format!(
                "held {}; waiting nobody",
                (0..30).map(|i| format!("user-{i} ")).collect::<String>()
            ),
        }
    }

    #[test]
    fn a_page_is_never_wider_than_asked() {
        for (clients, width, lanes) in [(3, 80, 8), (50, 80, 8), (12, 60, 12), (1, 80, 1)] {
            let style = Style {
                width,
                lanes,
                ..Style::default()
            };
            let page = render(&race(clients), Some(&broken()), style);
            for line in page.lines() {
                assert!(
                    line.chars().count() <= width,
                    "{} columns: {line}",
                    line.chars().count()
                );
            }
            assert!(page.contains("✗ step 9: R1.1"), "{page}");
        }
    }

    #[test]
    fn the_race_of_three_reads_like_this() {
        insta::assert_snapshot!(render(&race(3), Some(&broken()), Style::default()));
    }

    #[test]
    fn the_others_are_counted_and_the_beginning_is_left_out() {
        let style = Style {
            lanes: 2,
            ..Style::default()
        };
        let page = render(&race(20), Some(&broken()), style);
        assert!(page.contains("steps of other clients"), "{page}");
        let style = Style {
            lines: 3,
            ..Style::default()
        };
        assert!(render(&race(3), None, style).contains("earlier steps left out"));
    }

    #[test]
    fn colour_only_when_asked() {
        let plain = render(&race(3), Some(&broken()), Style::default());
        let coloured = render(
            &race(3),
            Some(&broken()),
            Style {
                colour: true,
                ..Style::default()
            },
        );
        assert!(!plain.contains('\x1b') && coloured.contains("\x1b[1;31m"));
    }
}
