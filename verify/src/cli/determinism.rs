//! `verify check-determinism`: every seed twice, in two processes.

use std::io::{BufReader, BufWriter};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use sluice_sim::redis::Engine;

use super::progress::Progress;
use super::{DeterminismArgs, Exit, Failure, Format, GateArgs, StepsArgs};
use crate::determinism::{self, Compared, Parting, Said};
use crate::run::Run;
use crate::subject;

/// Threads of the two processes.
const THREADS: [usize; 2] = [1, 4];

pub(super) fn run(args: &DeterminismArgs) -> Result<Exit, Failure> {
    let run = first_run(&args.gate)?;
    let mut children = Vec::new();
    for threads in THREADS {
        children.push(Process::start(args, threads)?);
    }
    let progress = Progress::start();
    let total = args.seeds.end - args.seeds.start;
    let sides = [0, 1].map(|side: usize| BufReader::new(children[side].output()));
    let compared = determinism::compare(sides, |runs| {
        progress.say(&format!("{runs} of {total} seeds"));
    });
    drop(progress);
    let compared = compared.map_err(|error| {
        Failure::environment(format!("one of the two processes broke off: {error}"))
    })?;
    // Once they have parted, what else they would say does not matter.
    if compared.is_ok() {
        for child in children {
            child.finish()?;
        }
    }
    let text = match args.output.format() {
        Format::Json => as_json(args, &run, &compared),
        Format::Terminal | Format::Markdown | Format::Junit => as_text(args, &run, &compared),
    };
    args.output.text(&(text + "\n"))?;
    Ok(if compared.is_ok() {
        Exit::Holds
    } else {
        Exit::Violated
    })
}

/// One of the two processes: writes every step, for the other command to read.
pub(super) fn steps(args: &StepsArgs) -> Result<Exit, Failure> {
    let run = first_run(&args.gate)?;
    let strategy = run
        .strategy
        .fitted(&run.subject, &run.scenario, &Engine::new());
    let mut out = BufWriter::new(std::io::stdout().lock());
    determinism::write(
        &run.by(strategy),
        args.seeds.clone(),
        args.threads,
        &mut out,
    )
    .map(|()| Exit::Holds)
    .map_err(|error| Failure::environment(format!("nobody reads these steps: {error}")))
}

fn first_run(gate: &GateArgs) -> Result<Run, Failure> {
    let subject = subject::by_name(&gate.subject).map_err(Failure::usage)?;
    let scenario = gate.scenario_or_swarm(&subject)?;
    Ok(Run::new(subject, scenario, 0).by(gate.by_seed()?))
}

/// Ends with its owner.
struct Process(Child);

impl Process {
    fn start(args: &DeterminismArgs, threads: usize) -> Result<Self, Failure> {
        let failed = |error| Failure::environment(format!("cannot start itself again: {error}"));
        let seeds = format!("{}..{}", args.seeds.start, args.seeds.end);
        let child = Command::new(std::env::current_exe().map_err(failed)?)
            .arg("steps")
            .args(args.gate.words())
            .args(["--seeds", &seeds, "--threads", &threads.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        child.map(Self).map_err(failed)
    }

    fn output(&mut self) -> std::process::ChildStdout {
        self.0.stdout.take().expect("it is piped, and taken once")
    }

    fn finish(mut self) -> Result<(), Failure> {
        let status = self.0.wait();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::environment(format!(
                "one of the two processes ended early ({status}); what it said is above"
            ))),
            Err(error) => Err(Failure::environment(error)),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be over already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn as_text(args: &DeterminismArgs, run: &Run, compared: &Result<Compared, Parting>) -> String {
    let (subject, scenario) = (run.subject.name, &run.scenario.name);
    let [few, many] = THREADS;
    let how = format!(
        "{subject} in {scenario}, {}: seeds {}..{} twice, in two processes ({few} thread, {many} threads)",
        run.strategy, args.seeds.start, args.seeds.end
    );
    let parting = match compared {
        Ok(Compared { runs, steps }) => {
            return format!("{how}\n{runs} runs, {steps} steps: the same digest after every step");
        }
        Err(parting) => parting,
    };
    let mut text = format!("{how}\nThey part in {}\n", place(parting));
    for (threads, side) in THREADS.iter().zip(&parting.sides) {
        let count = format!("{threads} thread{}", if *threads == 1 { "" } else { "s" });
        text += &match side {
            Some(Said { digest, words }) => format!("{count:<10} {digest}  {words}\n"),
            None => format!("{count:<10} nothing more happens\n"),
        };
    }
    text + "Something outside of the run decides: an address, a hash seed, the order of threads, \
            a clock. Up to this step everything was the same."
}

fn place(parting: &Parting) -> String {
    match parting.step {
        Some(step) => format!("seed {}, step {step}:", parting.seed),
        None => format!("seed {}, in what is judged at its end:", parting.seed),
    }
}

fn as_json(args: &DeterminismArgs, run: &Run, compared: &Result<Compared, Parting>) -> String {
    let side = |said: &Option<Said>| {
        said.as_ref()
            .map(|said| json!({"digest": said.digest, "words": said.words}))
    };
    json!({
        "subject": run.subject.name,
        "scenario": run.scenario.name,
        "strategy": run.strategy.to_string(),
        "seeds": [args.seeds.start, args.seeds.end],
        "runs": compared.as_ref().ok().map(|c| c.runs),
        "steps": compared.as_ref().ok().map(|c| c.steps),
        "parts": compared.as_ref().err().map(|p| json!({
            "seed": p.seed,
            "step": p.step,
            "sides": [side(&p.sides[0]), side(&p.sides[1])],
        })),
    })
    .to_string()
}
