//! The audit on a real Redis: the five scenarios with real concurrent users,
//! two levels of gates over several processes, idle sessions, and the wrong
//! gates led along the order that breaks them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_core::client::slots::Settings;
use sluice_core::redis::{Command, Reply};
use sluice_core::script::{self, GateKeys, Status};
use sluice_core::slots::{Config, Outcome};

use super::crowd::{self, Gate, Load, Seen, Task};
use super::judge::{self, cap, drained, order, times, verdict};
use super::{BURSTS, IDLE_MS, QUERIES, SESSIONS, SUSTAINED_USERS, Stop, convict};
use crate::real::{self, Connection, Server, Space};
use crate::report::{Control, Finding, Latency, Origin, Report, Scenario, Verdict};
use crate::subject::Subject;
use crate::subject::variant::SlotsGate;

/// The idle time that is really waited for; half an hour is for the simulator.
const IDLE_SCALED_MS: u64 = 1_500;
/// Users of the wrong gate that runs through the same crowd.
const CONTROL_USERS: u32 = 50;
/// Its network, in milliseconds a command: all have counted before the first
/// writes, and two commands take longer than an answer may.
const CONTROL_DELAY_MS: u64 = 120;

/// How the audit is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `verify` binary, for worker processes.
    pub binary: PathBuf,
    /// Processes that the users are spread over.
    pub processes: u32,
    /// Divides every time of the sustained scenario; 1 is PER-002's.
    pub scale: u64,
    /// The gate under audit: `slots`, or a variant of it.
    pub subject: Subject,
    /// The command that repeats this audit.
    pub again: String,
    /// Ends the audit early.
    pub stop: Stop,
}

impl Options {
    fn gate(&self) -> Gate {
        Gate::Slots(self.subject.name.to_owned())
    }
}

/// Why the audit could not be carried through.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server.
    #[error(transparent)]
    Server(#[from] real::Error),
    /// The worker processes.
    #[error("the users could not be run: {0}")]
    Crowd(#[from] io::Error),
    /// A script's answer.
    #[error("the server's answer to {what} cannot be understood: {answer}; are the scripts whole?")]
    Answer {
        /// What was asked.
        what: &'static str,
        /// What came.
        answer: String,
    },
    /// The sign to stop.
    #[error("interrupted: the users were stopped and their keys removed")]
    Interrupted,
}

/// Audits the gate on this server. `progress` hears what is being done.
///
/// # Errors
/// When the server or the worker processes fail; never because of the gate.
pub fn audit(
    server: &Server,
    options: &Options,
    mut progress: impl FnMut(&str),
) -> Result<Report, Error> {
    let mut report = Report::new("the gate on a real Redis", options.again.clone());
    report.subject = Some(options.subject.name.to_owned());
    report.server = Some(server.describe());
    for script in script::ALL {
        server.connect()?.ask(&script::load(script))?;
    }
    report.scripts = super::scripts();
    loads(server, options, &mut report, &mut progress)?;
    progress("two levels: sessions in front of queries");
    queries(server, options, &mut report)?;
    progress("idle sessions");
    idle(server, options, &mut report)?;
    progress("negative controls");
    report.controls = convict::all(server, &options.again)?;
    progress("a negative control in the same crowd");
    same_alarm(server, options, &mut report.controls)?;
    report.notes = vec![
        "\"At most N\" is shown twice: as granted by the store (s), and as believed by the holders (b), \
         who count themselves in the store while they are inside."
            .into(),
        format!("Users are threads of {} processes, each with connections of its own.", options.processes),
        "Real threads are scheduled by chance: a run shows what happened, the simulator what can happen."
            .into(),
    ];
    Ok(report.conclude(false))
}

/// The five scenarios of PER-002.
///
/// # Errors
/// As [`audit`].
pub fn loads(
    server: &Server,
    options: &Options,
    report: &mut Report,
    mut progress: impl FnMut(&str),
) -> Result<(), Error> {
    for (name, users) in BURSTS {
        progress(&format!("scenario {name}: {users} users at once"));
        burst(server, options, report, name, users)?;
    }
    let seconds = 60 / options.scale.max(1);
    progress(&format!(
        "scenario sustained: {SUSTAINED_USERS} users for {seconds} s"
    ));
    sustained(server, options, report)
}

/// One load on a gate of its own, and how the gate stood.
struct Run {
    space: Space,
    connection: Connection,
    url: String,
}

impl Run {
    fn new(server: &Server) -> Result<Self, Error> {
        Ok(Self {
            space: server.space()?,
            connection: server.connect()?,
            url: server.url(),
        })
    }

    /// Runs a crowd; `joined` is called when everybody has an answer.
    fn crowd<R>(
        &mut self,
        options: &Options,
        users: u32,
        (gate, load): (Gate, Load),
        joined: impl FnOnce(&mut Self) -> R,
    ) -> Result<(Seen, R), Error> {
        let (url, prefix) = (self.url.clone(), self.space.prefix().to_owned());
        let task = |users| Task {
            url: url.clone(),
            prefix: prefix.clone(),
            users,
            load,
            gate: gate.clone(),
        };
        let (binary, processes) = (&options.binary, options.processes);
        let joined = || joined(self);
        crowd::run(binary, processes, users, task, joined, &options.stop).map_err(|error| {
            if options.stop.is_given() {
                Error::Interrupted
            } else {
                Error::Crowd(error)
            }
        })
    }

    fn status(&mut self) -> Result<Status, Error> {
        let settings = crowd::settings(self.space.prefix(), "sessions");
        let status = script::status(&settings.keys, &settings.config);
        let reply = self.connection.ask(&status)?;
        script::decode_status(&reply).map_err(|_| Error::Answer {
            what: "status",
            answer: format!("{reply:?}"),
        })
    }

    /// Active and queued sessions.
    fn counts(&mut self) -> Result<(u64, u64), Error> {
        let status = self.status()?;
        Ok((status.held, status.waiting + status.absent))
    }

    /// The same of the gate that is a hash and a list.
    fn naive_counts(&mut self) -> Result<(u64, u64), Error> {
        let keys = crowd::naive_keys(self.space.prefix());
        for key in &keys {
            let kept = Command::new("EXPIRE").arg(key).num(crowd::KEPT_S);
            self.connection.count(&kept)?;
        }
        let active = self.connection.count(&Command::new("HLEN").arg(&keys[0]))?;
        let queued = self.connection.count(&Command::new("LLEN").arg(&keys[1]))?;
        Ok((active, queued))
    }
}

fn burst(
    server: &Server,
    options: &Options,
    report: &mut Report,
    name: &str,
    users: u32,
) -> Result<(), Error> {
    let mut run = Run::new(server)?;
    let load = (options.gate(), Load::Burst);
    let (seen, found) = run.crowd(options, users, load, Run::counts)?;
    let found = found?;
    let active = users.min(SESSIONS);
    let expected = (u64::from(active), u64::from(users - active));
    let granted = run.status()?.stats.held_max;
    report.findings.push(cap(name, users, granted, &seen));
    report.findings.push(verdict(
        "R3.3",
        name,
        found == expected,
        format!(
            "{}/{} active/queued, expected {}/{}.",
            found.0, found.1, expected.0, expected.1
        ),
    ));
    report.findings.push(order(name, &seen));
    report.findings.push(drained(name, run.counts()?, &seen));
    let answers = answers(&seen);
    report.findings.push(times(name, &answers, &seen));
    report
        .scenarios
        .push(scenario(name, users, (expected, found), granted, answers));
    Ok(())
}

fn sustained(server: &Server, options: &Options, report: &mut Report) -> Result<(), Error> {
    let mut run = Run::new(server)?;
    let scale = options.scale.max(1);
    let load = Load::Sustained {
        for_ms: 60_000 / scale,
        session_ms: (5_000 / scale, 15_000 / scale),
    };
    let name = "sustained";
    let (seen, ()) = run.crowd(options, SUSTAINED_USERS, (options.gate(), load), |_| ())?;
    let left = run.counts()?;
    let granted = run.status()?.stats.held_max;
    let answers = answers(&seen);
    let mut found = vec![
        cap(name, SUSTAINED_USERS, granted, &seen),
        order(name, &seen),
        drained(name, left, &seen),
        times(name, &answers, &seen),
    ];
    if scale > 1 {
        for finding in &mut found {
            finding
                .evidence
                .push(format!("All times were divided by {scale}."));
        }
    }
    report.findings.extend(found);
    report.scenarios.push(scenario(
        name,
        SUSTAINED_USERS,
        ((0, 0), left),
        granted,
        answers,
    ));
    Ok(())
}

/// R3.1 in the workload that asks for it: more sessions than queries, in
/// several processes.
fn queries(server: &Server, options: &Options, report: &mut Report) -> Result<(), Error> {
    let mut run = Run::new(server)?;
    let load = Load::Queries {
        each: 5,
        work_ms: 20,
    };
    let (seen, ()) = run.crowd(options, 2 * SESSIONS, (options.gate(), load), |_| ())?;
    let (served, asked) = seen.queries;
    let holds = seen.queries_max <= u64::from(QUERIES) && served == asked;
    let mut finding = verdict("R3.1", "two levels", holds, format!(
            "At most {} queries at work (b), cap {QUERIES}, over {} processes; at most {} sessions.",
            seen.queries_max, options.processes, seen.sessions_max
        ))
        .because(format!("{served} of {asked} queries were served."));
    if holds && (options.processes < 2 || seen.queries_max < u64::from(QUERIES)) {
        finding.verdict = Verdict::Inconclusive;
        finding.statement = "The cap was never reached, or only one process took part.".to_owned();
    }
    if seen.uncounted > 0 {
        finding = judge::uncounted(finding, &seen);
    }
    report.findings.push(finding);
    Ok(())
}

/// The naive gate, through the same users, counts and judges: those that let
/// the gate under audit pass must fail this one.
fn same_alarm(server: &Server, options: &Options, controls: &mut [Control]) -> Result<(), Error> {
    let mut run = Run::new(server)?;
    let gate = Gate::Naive {
        delay_ms: CONTROL_DELAY_MS,
    };
    let load = (gate, Load::Burst);
    let (seen, found) = run.crowd(options, CONTROL_USERS, load, Run::naive_counts)?;
    let (granted, _) = found?;
    let name = "over-50, naive";
    let judged = [
        cap(name, CONTROL_USERS, granted, &seen),
        times(name, &answers(&seen), &seen),
    ];
    let Some(naive) = controls.iter_mut().find(|c| c.subject == "naive") else {
        return Ok(());
    };
    for finding in judged {
        let (requirement, statement) = (&finding.requirement, &finding.statement);
        if finding.verdict == Verdict::Fail {
            naive.statement += &format!(" In the same crowd it fails {requirement}: {statement}");
        } else {
            naive.verdict = Verdict::Inconclusive;
            naive.statement +=
                &format!(" In the same crowd it does not fail {requirement}: {statement}");
        }
    }
    Ok(())
}

/// A session that only beats is reclaimed when it has been idle, not before.
#[expect(clippy::disallowed_methods, reason = "waits for a real server's clock")]
fn idle(server: &Server, options: &Options, report: &mut Report) -> Result<(), Error> {
    let space = server.space()?;
    let mut connection = server.connect()?;
    let keys = GateKeys::new(space.prefix(), "idle").expect("a plain name");
    let keys = keys.retain(crowd::KEPT_S * 1_000);
    let config = Config {
        idle_ms: Some(IDLE_SCALED_MS),
        ..Config::session_cap(1)
    };
    let settings = Arc::new(Settings::new(keys.clone(), config));
    let variant = SlotsGate::new(settings, crowd::subject_variant(options.subject.name));
    for script in variant.texts() {
        let load = Command::new("SCRIPT").arg("LOAD").arg(script);
        connection.ask(&load)?;
    }
    let mut call = |command| -> Result<Option<Outcome>, real::Error> {
        let reply: Reply = connection.ask(&variant.translate(command))?;
        Ok(script::decode(&reply).ok().map(|reply| reply.outcome))
    };
    let acquired = call(script::acquire(
        &keys,
        &config,
        b"idle",
        1,
        Default::default(),
        true,
    ))?;
    let start = Instant::now();
    let Some(Outcome::Granted { fence, .. }) = acquired else {
        let why = format!("The first join was answered {acquired:?}.");
        report
            .findings
            .push(Finding::new("R3.4", "idle", Verdict::Fail, why));
        return Ok(());
    };
    let since = || start.elapsed().as_millis() as u64;
    let (mut beats, mut alive) = (0, 0);
    let gone = loop {
        std::thread::sleep(Duration::from_millis(25));
        let sent = since();
        let beat = call(script::renew(&keys, &config, b"idle", fence, false))?;
        match beat {
            Some(Outcome::Renewed { .. }) if sent < 30_000 => (beats, alive) = (beats + 1, sent),
            _ => break since(),
        }
    };
    let next = call(script::acquire(
        &keys,
        &config,
        b"next",
        1,
        Default::default(),
        true,
    ))?;
    let freed = matches!(next, Some(Outcome::Granted { .. }));
    let scaled = format!(
        "idle time scaled from {} s to {} s",
        IDLE_MS / 1_000,
        IDLE_SCALED_MS as f64 / 1e3
    );
    let mut finding = verdict(
        "R3.4",
        &scaled,
        freed && beats > 0,
        format!(
            "Alive after {alive} ms and {beats} heartbeats without use, reclaimed after {gone} ms; the next was admitted: {freed}."
        ),
    );
    if finding.verdict == Verdict::Pass {
        finding.verdict = judge::reclaimed(alive, gone, IDLE_SCALED_MS);
    }
    report.findings.push(
        finding
            .because(format!(
                "At most {} ms late is in time.",
                judge::IDLE_LATE_MS
            ))
            .because("The half hour itself passes in the simulator."),
    );
    Ok(())
}

fn answers(seen: &Seen) -> Latency {
    let answers = seen.joins.iter().map(|join| join.answer_ms).collect();
    Latency::of(Origin::Measured, "first answer to a join", answers)
}

fn scenario(
    name: &str,
    users: u32,
    (expected, found): ((u64, u64), (u64, u64)),
    granted: u64,
    answers: Latency,
) -> Scenario {
    Scenario {
        name: name.to_owned(),
        users: users.into(),
        expected,
        found: Some(found),
        active_max: Some(granted),
        digest: None,
        latency: Some(answers),
    }
}
