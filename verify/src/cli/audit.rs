//! `verify audit`.

use std::path::PathBuf;

use super::progress::Progress;
use super::{AuditArgs, Exit, Failure};
use crate::audit::server;
use crate::evidence;
use crate::real::{Server, Want};
use crate::report::{Conclusion, Report};

pub(super) fn run(args: &AuditArgs) -> Result<Exit, Failure> {
    let report = match (&args.evidence, &args.redis) {
        (Some(file), _) => evidence::audit(file).map_err(Failure::usage)?,
        (None, Some(which)) => on_redis(args, which)?,
        (None, None) => return Err(Failure::usage("name a target: --evidence or --redis")),
    };
    args.output.report(&report)?;
    Ok(match report.conclusion {
        Conclusion::Holds => Exit::Holds,
        Conclusion::Violated => Exit::Violated,
        Conclusion::Inconclusive => Exit::Inconclusive,
    })
}

fn on_redis(args: &AuditArgs, which: &str) -> Result<Report, Failure> {
    let want = match which {
        "docker" => Want::Docker,
        "local" => Want::Local,
        url => Want::Url(url.to_owned()),
    };
    // A URL that cannot be understood is the caller's to mend, not the environment's.
    if let Want::Url(url) = &want {
        url.parse::<crate::real::Url>().map_err(Failure::usage)?;
    }
    let server = Server::find(&want).map_err(Failure::environment)?;
    let target = match &want {
        // Not the URL: there may be a password in it, and a report is passed on.
        Want::Url(_) => "URL",
        Want::Any | Want::Docker | Want::Local => which,
    };
    let mut again = format!("cargo run --release -p verify -- audit --redis {target}");
    if args.scale > 1 {
        again += &format!(" --scale {}", args.scale);
    }
    let options = server::Options {
        binary: own_binary()?,
        processes: args.processes,
        scale: args.scale,
        again,
    };
    let progress = Progress::start();
    server::audit(&server, &options, |what| progress.say(what)).map_err(Failure::environment)
}

fn own_binary() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::environment(format!("cannot find this program's file: {error}")))
}
