//! `verify audit`.

use super::{AuditArgs, Exit, Failure};
use crate::evidence;
use crate::report::Conclusion;

pub(super) fn run(args: &AuditArgs) -> Result<Exit, Failure> {
    let report = evidence::audit(&args.evidence).map_err(Failure::usage)?;
    args.output.report(&report)?;
    Ok(match report.conclusion {
        Conclusion::Holds => Exit::Holds,
        Conclusion::Violated => Exit::Violated,
        Conclusion::Inconclusive => Exit::Inconclusive,
    })
}
