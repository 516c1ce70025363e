//! The sign to stop. An audit on a server that belongs to others must not be
//! ended where it stands: its workers would go on, and its keys remain.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether an audit is to end early. Clones are one sign.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Gives the sign.
    pub fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was given.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// A sign that SIGINT and SIGTERM give from now on, in place of ending the
    /// process. The second signal ends it at once, with exit code 130.
    ///
    /// # Errors
    /// When the system does not let us listen.
    #[cfg(unix)]
    pub fn on_signals() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let stop = Self::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            )
        };
        let sign = stop.clone();
        std::thread::spawn(move || {
            runtime.block_on(async move {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if sign.is_given() {
                        std::process::exit(130);
                    }
                    sign.stop();
                }
            });
        });
        Ok(stop)
    }

    /// A sign that nobody gives: signals are known on Unix alone.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn on_signals() -> io::Result<Self> {
        Ok(Self::default())
    }
}
