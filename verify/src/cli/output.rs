//! Where results go: standard output or a file, coloured or plain.

use std::io::{ErrorKind, IsTerminal, Write};

use super::{Failure, Format, OutputArgs};
use crate::report::{Report, json, junit, markdown, terminal};

impl OutputArgs {
    pub(super) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    /// Shows the report in the layout that was asked for.
    pub(super) fn report(&self, report: &Report) -> Result<(), Failure> {
        let text = match self.format() {
            Format::Terminal => terminal::render(report, self.colour()),
            Format::Json => json::render(report),
            Format::Markdown => markdown::render(report),
            Format::Junit => junit::render(report),
        };
        self.text(&text)
    }

    /// Writes the text to the file that was named, or to standard output.
    pub(super) fn text(&self, text: &str) -> Result<(), Failure> {
        if let Some(file) = &self.out {
            return std::fs::write(file, text).map_err(|error| {
                Failure::usage(format!(
                    "cannot write {}: {error}; name another file with --out",
                    file.display()
                ))
            });
        }
        match std::io::stdout().write_all(text.as_bytes()) {
            // Whoever reads has read enough, as in `verify audit | head`.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::environment(format!(
                "cannot write to standard output: {error}"
            ))),
            Ok(()) => Ok(()),
        }
    }

    /// Colour is for terminals whose owner did not refuse it (no-color.org).
    pub(super) fn colour(&self) -> bool {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        self.out.is_none() && !refused && std::io::stdout().is_terminal()
    }
}
