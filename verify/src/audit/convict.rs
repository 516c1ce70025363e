//! The negative controls on a real server: each wrong gate is led, command by
//! command, along the order that breaks it. Nothing is left to luck, so that
//! an acquittal means that the alarm does not work.

use sluice_core::redis::{Command, Reply};
use sluice_gate::limiter::{Limiter, Permit};

use super::{QUERIES, SESSIONS};
use crate::real::{Connection, Error, Server, Space};
use crate::report::{Control, Counterexample, Verdict};
use crate::subject;

const CAP_SCRIPT: &str = include_str!("../subject/cap.lua");
const NAIVE_USERS: u32 = 50;
const PROCESSES: usize = 3;

/// Puts every wrong gate on trial.
pub(super) fn all(server: &Server, again: &str) -> Result<Vec<Control>, Error> {
    Ok(vec![
        naive(server, again)?,
        hash_script(server, again, Activation::Unconditional)?,
        hash_script(server, again, Activation::Reentry)?,
        per_process(again),
    ])
}

/// What a leaver does with the waiter it popped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Activation {
    Unconditional,
    Reentry,
}

/// Two connections, or more, and the record of what was sent on them.
struct Stage {
    space: Space,
    connection: Connection,
    steps: u64,
    lines: Vec<String>,
}

impl Stage {
    fn new(server: &Server) -> Result<Self, Error> {
        Ok(Self {
            space: server.space()?,
            connection: server.connect()?,
            steps: 0,
            lines: Vec::new(),
        })
    }

    fn key(&self, name: &str) -> String {
        self.space.key(&format!("{{control}}:{name}"))
    }

    /// One step of one client, recorded.
    fn step(&mut self, who: &str, command: &Command) -> Result<Reply, Error> {
        self.step_on(None, who, command)
    }

    fn step_on(
        &mut self,
        other: Option<&mut Connection>,
        who: &str,
        command: &Command,
    ) -> Result<Reply, Error> {
        let reply = other.unwrap_or(&mut self.connection).ask(command)?;
        let args: Vec<String> = command.args.iter().map(|arg| self.shown(arg)).collect();
        self.steps += 1;
        let line = format!(
            "{:>3}  {who:<10} {:<44} {reply:?}",
            self.steps,
            args.join(" ")
        );
        self.lines.push(line);
        Ok(reply)
    }

    /// An argument without the prefix, and a script as its first words.
    fn shown(&self, arg: &[u8]) -> String {
        let text = String::from_utf8_lossy(arg).replace(self.space.prefix(), "");
        if text.contains('\n') {
            "<cap>".to_owned()
        } else {
            text
        }
    }

    /// Puts one line in the place of all that was recorded since `mark`.
    fn fold(&mut self, mark: usize, what: &str) {
        let from = self.steps + 1 - (self.lines.len() - mark) as u64;
        self.lines.truncate(mark);
        self.lines.push(format!("{from:>3}… {what}"));
    }

    fn count(&mut self, command: &str, key: &str) -> Result<u64, Error> {
        self.connection.count(&Command::new(command).arg(key))
    }

    fn is_member(&mut self, key: &str, member: &str) -> Result<bool, Error> {
        let ask = Command::new("HEXISTS").arg(key).arg(member);
        Ok(self.connection.count(&ask)? == 1)
    }

    fn example(
        &self,
        subject: &str,
        property: &str,
        what: String,
        states: (String, String),
        again: &str,
    ) -> Counterexample {
        Counterexample {
            subject: subject.to_owned(),
            property: property.to_owned(),
            what,
            seed: None,
            step: self.steps,
            before: states.0,
            after: states.1,
            timeline: self.lines.clone(),
            digest: None,
            repeat: again.to_owned(),
        }
    }
}

/// Convicted of all that it is said to break, or not at all.
fn control(subject: &str, counterexamples: Vec<Counterexample>) -> Control {
    let entry = subject::by_name(subject);
    let must = entry.as_ref().map_or(&[][..], |s| s.convicted_by);
    let shown = |code: &&&str| counterexamples.iter().any(|c| c.property == **code);
    let (shown, missing): (Vec<&str>, Vec<&str>) = must.iter().partition(shown);
    let (verdict, statement) = if must.is_empty() || !missing.is_empty() {
        let broke = if shown.is_empty() {
            String::new()
        } else {
            format!("It breaks {}. ", shown.join(", "))
        };
        let what = "The order of commands that breaks";
        (
            Verdict::Inconclusive,
            format!(
                "{broke}{what} {} did not break it here.",
                missing.join(", ")
            ),
        )
    } else {
        (
            Verdict::Convicted,
            format!("It breaks {}.", shown.join(", ")),
        )
    };
    Control {
        subject: subject.to_owned(),
        defect: entry.map_or_else(|e| e.to_string(), |s| s.about.to_owned()),
        verdict,
        statement,
        counterexamples,
    }
}

/// Everybody counts, then everybody enters.
fn naive(server: &Server, again: &str) -> Result<Control, Error> {
    let mut stage = Stage::new(server)?;
    let sessions = stage.key("active");
    let mut users = Vec::new();
    for _ in 0..NAIVE_USERS {
        users.push(server.connect()?);
    }
    let mut admitted = Vec::new();
    for (n, connection) in users.iter_mut().enumerate() {
        let count = Command::new("HLEN").arg(&sessions);
        let reply = stage.step_on(Some(connection), &format!("user-{n}"), &count)?;
        admitted.push(reply.as_int().is_some_and(|n| n < i64::from(SESSIONS)));
    }
    let shown = stage.lines.len().min(2);
    stage.fold(
        shown,
        &format!(
            "the other users: HLEN {} too",
            stage.shown(sessions.as_bytes())
        ),
    );
    for (n, connection) in users.iter_mut().enumerate() {
        if admitted[n] {
            let enter = Command::new("HSET")
                .arg(&sessions)
                .arg(format!("user-{n}"))
                .arg("active");
            stage.step_on(Some(connection), &format!("user-{n}"), &enter)?;
        }
    }
    stage.fold(shown + 3, "the other users: HSET too");
    let active = stage.count("HLEN", &sessions)?;
    let mut found = Vec::new();
    if active > u64::from(SESSIONS) {
        found.push(stage.example(
            "naive",
            "R1.1",
            format!("{active} of {NAIVE_USERS} are active, cap {SESSIONS} (s)"),
            (
                "0 active when each of them counted".into(),
                format!("{active} active"),
            ),
            again,
        ));
    }
    Ok(control("naive", found))
}

/// The cap is full and one waits. A holder leaves in three steps, and a
/// newcomer comes in between.
fn hash_script(server: &Server, again: &str, activation: Activation) -> Result<Control, Error> {
    let name = match activation {
        Activation::Unconditional => "hash-script-unconditional",
        Activation::Reentry => "hash-script-reentry",
    };
    let mut stage = Stage::new(server)?;
    let (sessions, queue) = (stage.key("active"), stage.key("queue"));
    let enter = |who: &str| {
        let eval = Command::new("EVAL").arg(CAP_SCRIPT).arg("1");
        eval.arg(&sessions).num(SESSIONS.into()).arg(who)
    };
    for n in 0..SESSIONS {
        stage.step(&format!("holder-{n}"), &enter(&format!("holder-{n}")))?;
    }
    stage.fold(
        0,
        &format!("holder-0 … holder-{}: <cap> each, admitted", SESSIONS - 1),
    );
    stage.step("waiter", &enter("waiter"))?;
    stage.step("waiter", &Command::new("RPUSH").arg(&queue).arg("waiter"))?;
    stage.step(
        "holder-0",
        &Command::new("HDEL").arg(&sessions).arg("holder-0"),
    )?;
    let mut found = Vec::new();
    let waiting = stage.count("LLEN", &queue)?;
    let active = stage.count("HLEN", &sessions)?;
    if waiting > 0 && active < u64::from(SESSIONS) {
        let state = format!("{active} active, {waiting} waiting");
        let what = "a free slot and a waiter coexist: the pop is another step".to_owned();
        let before = format!("{SESSIONS} active, {waiting} waiting");
        found.push(stage.example(name, "R1.4", what, (before, state), again));
    }
    let barged = stage.step("newcomer", &enter("newcomer"))?.as_int() == Some(1);
    if barged && waiting > 0 {
        let what = "a newcomer is granted while a waiter is ahead".to_owned();
        let states = (
            format!("{active} active, {waiting} waiting"),
            "the newcomer is active".into(),
        );
        found.push(stage.example(name, "R1.3", what, states, again));
    }
    stage.step("holder-0", &Command::new("LPOP").arg(&queue))?;
    match activation {
        Activation::Unconditional => {
            let activate = Command::new("HSET")
                .arg(&sessions)
                .arg("waiter")
                .arg("active");
            stage.step("holder-0", &activate)?;
            let active = stage.count("HLEN", &sessions)?;
            if active > u64::from(SESSIONS) {
                let what = format!("{active} are active, cap {SESSIONS} (s)");
                let states = (format!("{SESSIONS} active"), format!("{active} active"));
                found.push(stage.example(name, "R1.1", what, states, again));
            }
        }
        Activation::Reentry => {
            stage.step("holder-0", &enter("waiter"))?;
            let in_hash = stage.is_member(&sessions, "waiter")?;
            let in_queue = stage.count("LLEN", &queue)?;
            if !in_hash && in_queue == 0 {
                let what =
                    "the popped waiter is neither active nor queued: lost in silence".to_owned();
                let states = (
                    "the waiter is queued".into(),
                    "the waiter is nowhere".into(),
                );
                found.push(stage.example(name, "R1.5", what, states, again));
            }
        }
    }
    Ok(control(name, found))
}

/// A semaphore of ten in each process; none knows of the others.
fn per_process(again: &str) -> Control {
    let limiters: Vec<Limiter> = (0..PROCESSES)
        .filter_map(|_| Limiter::new(QUERIES).ok())
        .collect();
    let mut timeline = Vec::new();
    let mut permits: Vec<Permit> = Vec::new();
    for (n, limiter) in limiters.iter().enumerate() {
        let before = permits.len();
        while let Ok(permit) = limiter.try_acquire() {
            permits.push(permit);
        }
        let granted = permits.len() - before;
        timeline.push(format!(
            "process {n}: {granted} queries at work, {} in all",
            permits.len()
        ));
    }
    let at_work = permits.len();
    let mut found = Vec::new();
    if at_work > QUERIES as usize {
        found.push(Counterexample {
            subject: "per-process".to_owned(),
            property: "R3.1".to_owned(),
            what: format!("{at_work} queries at work, {QUERIES} are allowed over all processes"),
            seed: None,
            step: at_work as u64,
            before: format!("{QUERIES} at work"),
            after: format!("{at_work} at work"),
            timeline,
            digest: None,
            repeat: again.to_owned(),
        });
    }
    control("per-process", found)
}

#[cfg(test)]
mod tests {
    use super::control;
    use crate::report::{Counterexample, Verdict};
    use crate::subject;

    #[test]
    fn a_control_is_convicted_of_everything_or_not_at_all() {
        let example = |code: &&str| Counterexample {
            subject: String::new(),
            property: (*code).to_owned(),
            what: String::new(),
            seed: None,
            step: 1,
            before: String::new(),
            after: String::new(),
            timeline: Vec::new(),
            digest: None,
            repeat: String::new(),
        };
        for wrong in subject::ALL.iter().filter(|s| !s.convicted_by.is_empty()) {
            let mut all: Vec<_> = wrong.convicted_by.iter().map(example).collect();
            assert_eq!(control(wrong.name, all.clone()).verdict, Verdict::Convicted);
            let last = all.pop().expect("it breaks something");
            let control = control(wrong.name, all);
            assert_eq!(control.verdict, Verdict::Inconclusive);
            assert!(control.statement.contains(&last.property), "{control:?}");
        }
    }
}
