//! A run as a picture: in the terminal, and as a file.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, OutputArgs};
use crate::run::Trace;
use crate::timeline::{self, Style};

#[derive(Debug, Args)]
pub(super) struct PictureArgs {
    /// Draw the run as SVG that stands alone, too, into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl PictureArgs {
    /// Writes the file, if one is asked for.
    pub(super) fn write(&self, trace: &Trace) -> Result<(), Failure> {
        let Some(to) = &self.svg else {
            return Ok(());
        };
        let broken = trace.outcome.violation();
        let title = match broken {
            Some((found, _)) => format!("{} breaks {}", trace.file.subject, found.code),
            None => trace.file.subject.clone(),
        };
        let broken = broken.map(|(_, violation)| violation);
        let (steps, style) = (trace.timeline(), Style::default());
        let svg = timeline::svg(&steps, &trace.names, broken, style, &title);
        std::fs::write(to, svg)
            .map_err(|error| Failure::usage(format!("cannot write {}: {error}", to.display())))
    }
}

/// The run as lines of text.
pub(super) fn in_terminal(trace: &Trace, output: &OutputArgs) -> String {
    let style = Style {
        colour: output.colour(),
        ..Style::default()
    };
    let broken = trace.outcome.violation().map(|(_, violation)| violation);
    timeline::render(&trace.timeline(), &trace.names, broken, style)
}
