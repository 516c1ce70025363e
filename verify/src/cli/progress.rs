//! A spinner on long work, on standard error, and only on a terminal.

use std::io::Write as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What is being done, and since when.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// indicatif draws nothing where standard error is no terminal.
    pub(super) fn start() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} [{elapsed}] {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// A result that need not wait for the end; also where there is no terminal,
    /// for whoever reads along.
    pub(super) fn log(&self, what: &str) {
        if self.0.is_hidden() {
            // Nobody may be listening.
            let _ = writeln!(std::io::stderr(), "{what}");
        } else {
            self.0.println(what);
        }
    }

    pub(super) fn say(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
