//! `verify audit`.

use std::path::PathBuf;

use super::progress::Progress;
use super::{AuditArgs, Exit, Failure};
use crate::audit::{self, simulator};
use crate::evidence;
use crate::real::{Server, Source, Url, Want};
use crate::report::{Conclusion, Report};
use crate::subject::{self, Kind};

pub(super) fn run(args: &AuditArgs) -> Result<Exit, Failure> {
    let report = match (&args.evidence, &args.redis) {
        (Some(file), _) => evidence::audit(file).map_err(Failure::usage)?,
        (None, Some(which)) => on_redis(args, which)?,
        (None, None) => on_simulator(args)?,
    };
    args.output.report(&report)?;
    Ok(match report.conclusion {
        Conclusion::Holds => Exit::Holds,
        Conclusion::Violated => Exit::Violated,
        Conclusion::Inconclusive => Exit::Inconclusive,
    })
}

fn on_simulator(args: &AuditArgs) -> Result<Report, Failure> {
    let subject = subject::by_name(&args.subject).map_err(Failure::usage)?;
    let mut again = "cargo run --release -p verify -- audit".to_owned();
    if subject.name != "slots" {
        again += &format!(" --subject {}", subject.name);
    }
    if args.seeds != (0..200) {
        again += &format!(" --seeds {}..{}", args.seeds.start, args.seeds.end);
    }
    let options = simulator::Options {
        subject,
        seeds: args.seeds.clone(),
        again,
    };
    let progress = Progress::start();
    Ok(simulator::audit(&options, |what| progress.say(what)))
}

/// The server that an argument names.
pub(super) fn server(which: &str) -> Result<Server, Failure> {
    let want = match which {
        "redis" => Want::Any,
        "docker" => Want::Docker,
        "local" => Want::Local,
        url => Want::Url(url.to_owned()),
    };
    // A URL that cannot be understood is the caller's to mend, not the environment's.
    if let Want::Url(url) = &want {
        url.parse::<Url>().map_err(Failure::usage)?;
    }
    Server::find(&want).map_err(Failure::environment)
}

fn on_redis(args: &AuditArgs, which: &str) -> Result<Report, Failure> {
    let subject = subject::by_name(&args.subject).map_err(Failure::usage)?;
    if !matches!(subject.kind, Kind::Slots(_)) {
        return Err(Failure::usage(
            "on a real Redis the gate under audit is slots, or a variant of it (`verify mutants`); \
             the other wrong ones run as its controls",
        ));
    }
    // Before a server is started: it is to end with us, too.
    let stop = audit::Stop::on_signals()
        .map_err(|error| Failure::environment(format!("cannot listen for signals: {error}")))?;
    let found = server(which)?;
    let target = match found.source() {
        // Not the URL: there may be a password in it, and a report is passed on.
        Source::Url => "URL",
        Source::Docker(_) | Source::Local(_) => which,
    };
    let mut again = format!("cargo run --release -p verify -- audit --redis {target}");
    if subject.name != "slots" {
        again += &format!(" --subject {}", subject.name);
    }
    if args.scale > 1 {
        again += &format!(" --scale {}", args.scale);
    }
    let options = audit::server::Options {
        binary: own_binary()?,
        processes: args.processes,
        scale: args.scale,
        subject,
        again,
        stop,
    };
    let progress = Progress::start();
    audit::server::audit(&found, &options, |what| progress.say(what)).map_err(Failure::environment)
}

fn own_binary() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::environment(format!("cannot find this program's file: {error}")))
}
