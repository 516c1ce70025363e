//! A private server whose clock stands still until it is stepped.
//!
//! The library of `clock/` is preloaded into an unmodified `redis-server`, and
//! answers its questions for the time from a file that is written here. So a
//! simulated run can be repeated step for step, leases and timeouts included.
//!
//! That the server does read that file is not taken for granted: a library that
//! cannot be preloaded (a server that is linked statically, a directory whose
//! files may not be executed) is passed over by the system with a warning, and
//! the server would run by the machine's clock. So it is asked for the `TIME`
//! when it starts, and by whoever replays a run, at every step.
//!
//! Keys are only removed when somebody comes by them: the server's own search
//! for expired ones is off (`DEBUG SET-ACTIVE-EXPIRE 0`), for which it asks
//! chance, and the simulated server has none.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluice_core::redis::{Command, Reply};

use super::local::{self, Clocked, Process};
use super::{Connection, Error};

/// Compiled by `build.rs`; empty where it cannot be used.
static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libsluice_clock.so"));

/// What the library checks the file by.
const SEAL: u64 = 0x511C_E0C1_0C4B_5EA1;

/// Where the monotonic clock of a server begins: it must not be 0, which Redis
/// takes for "never".
const BOOT_NS: u64 = 1_000_000_000;

/// Why there is no such server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no Redis server on the simulated clock: {0}")]
pub struct NoClock(pub String);

/// A private server and its clock. Dropped, it ends.
#[derive(Debug)]
pub struct Stepped {
    binary: PathBuf,
    clock: Clock,
    /// `None` while it is down.
    up: Option<Up>,
    version: String,
    directory: Arc<tempfile::TempDir>,
}

#[derive(Debug)]
struct Up {
    process: Process,
    /// Says what nobody in the run says.
    control: Connection,
}

impl Stepped {
    /// Starts a server at this time of its own clock: of the binary at this path,
    /// or of the first one on the PATH.
    ///
    /// # Errors
    /// [`NoClock`], with the reason: there is no such binary, the machine is not
    /// one on which a clock can be replaced, or the server did not take it.
    pub fn start(binary: Option<&Path>, time_us: u64) -> Result<Self, NoClock> {
        Self::begin(binary, time_us).map_err(NoClock)
    }

    fn begin(binary: Option<&Path>, time_us: u64) -> Result<Self, String> {
        if LIBRARY.is_empty() {
            return Err(
                "a server's clock can only be replaced on 64-bit Linux with the GNU C library; \
                 name one that has its own time by its URL"
                    .to_owned(),
            );
        }
        let binary = match binary {
            Some(path) => path.to_owned(),
            None => local::on_the_path()?,
        };
        let directory = local::directory()?;
        let clock = Clock::new(directory.path(), time_us)
            .map_err(|error| format!("the clock cannot be written: {error}"))?;
        let mut server = Self {
            binary,
            clock,
            up: None,
            version: String::new(),
            directory,
        };
        server.launch()?;
        let control = server.control().map_err(|error| error.to_string())?;
        server.version = super::version(control).map_err(|error| error.to_string())?;
        Ok(server)
    }

    fn launch(&mut self) -> Result<(), String> {
        let clock = Clocked {
            library: self.clock.library.clone(),
            file: self.clock.path.clone(),
            debug: local::major(&self.binary)? >= 7,
        };
        let process = local::start(&self.binary, &self.directory, Some(&clock))?;
        let say = |error: Error| format!("{}: {error}", self.binary.display());
        let mut control = Connection::open(&process.url()).map_err(say)?;
        let quiet = Command::new("DEBUG").arg("SET-ACTIVE-EXPIRE").arg("0");
        control.ask(&quiet).map_err(say)?;
        let time = control.ask(&Command::new("TIME"));
        let time = time.and_then(|reply| micros(&control, &reply));
        let time = time.map_err(say)?;
        if time != self.clock.time_us {
            return Err(format!(
                "{} does not read the clock that was preloaded: it says {time} µs, and not {}; \
                 is it linked statically, or may files in {} not be executed?",
                self.binary.display(),
                self.clock.time_us,
                self.directory.path().display(),
            ));
        }
        self.up = Some(Up { process, control });
        Ok(())
    }

    /// What it calls itself, `redis 7.2.6`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What it runs.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// For people: version and binary.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{}, a private process of {} on the simulated clock",
            self.version,
            self.binary.display()
        )
    }

    /// From now on it is this time of day there, in microseconds since 1970, which
    /// may be earlier than before; and so much time has passed since the server
    /// was [started](Self::start) or [forgot everything](Self::forget), which is
    /// never less than before.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set(&mut self, time_us: u64, passed_ns: u64) -> Result<(), Error> {
        let set = self.clock.set(time_us, passed_ns);
        set.map_err(|source| self.lost(source))
    }

    /// Asks the server what time it is, and does not wait for the answer, for
    /// which [`Stepped::told_time_us`] does. Nothing else may be said to
    /// [`Stepped::control`] in between.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn ask_time(&mut self) -> Result<(), Error> {
        self.control()?.send(&Command::new("TIME"))
    }

    /// What it answers, in microseconds since 1970.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn told_time_us(&mut self) -> Result<u64, Error> {
        let control = self.control()?;
        let reply = control.receive()?;
        micros(control, &reply)
    }

    /// A new connection.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn connect(&self) -> Result<Connection, Error> {
        match &self.up {
            Some(up) => Connection::open(&up.process.url()),
            None => Err(self.down()),
        }
    }

    /// A connection that takes no part in any run.
    ///
    /// # Errors
    /// If the server is down.
    pub fn control(&mut self) -> Result<&mut Connection, Error> {
        match &mut self.up {
            Some(up) => Ok(&mut up.control),
            None => Err(Error::Lost {
                address: self.binary.display().to_string(),
                source: std::io::ErrorKind::NotConnected.into(),
            }),
        }
    }

    /// The process is killed; all connections end. With `keep_data` its keys are
    /// saved before, else they are lost. Nothing, if it is down.
    ///
    /// # Errors
    /// If it cannot save.
    pub fn kill(&mut self, keep_data: bool) -> Result<(), Error> {
        let Some(mut up) = self.up.take() else {
            return Ok(());
        };
        if keep_data {
            up.control.ask(&Command::new("SAVE"))?;
        } else {
            self.remove_dump()?;
        }
        Ok(())
    }

    /// Whether it is running.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// Starts again, with the keys that were saved: as from a snapshot, which
    /// Redis reads without what has expired, or else with all of them. Nothing,
    /// if it is up.
    ///
    /// # Errors
    /// [`NoClock`], if it does not start.
    pub fn start_again(&mut self, from_snapshot: bool) -> Result<(), NoClock> {
        match self.up {
            Some(_) => Ok(()),
            None if from_snapshot => self.launch().map_err(NoClock),
            None => self.launch_with_all().map_err(NoClock),
        }
    }

    /// Starts at the beginning of time, and then sets the clock. From a dump Redis
    /// loads no key that has expired, but from an append-only file it does, and it
    /// shows if its clock steps back later.
    fn launch_with_all(&mut self) -> Result<(), String> {
        let time_us = self.clock.time_us;
        let show = |clock: &mut Clock, time_us| {
            let shown = clock.show(time_us);
            shown.map_err(|error| format!("the clock cannot be written: {error}"))
        };
        show(&mut self.clock, 1)?;
        self.launch()?;
        show(&mut self.clock, time_us)
    }

    /// No key and no script is left, and time begins anew: for the next run.
    ///
    /// # Errors
    /// If the server does not answer, or does not start again.
    pub fn forget(&mut self, time_us: u64) -> Result<(), Error> {
        self.clock.begin();
        self.set(time_us, 0)?;
        if self.up.is_none() {
            self.remove_dump()?;
            let started = self.start_again(true);
            return started.map_err(|why| self.lost(std::io::Error::other(why)));
        }
        let control = self.control()?;
        for command in ["FLUSHALL", "SCRIPT FLUSH", "CONFIG RESETSTAT"] {
            let mut words = command.split(' ');
            let first = Command::new(words.next().unwrap_or_default());
            control.ask(&words.fold(first, Command::arg))?;
        }
        Ok(())
    }

    fn remove_dump(&self) -> Result<(), Error> {
        match fs::remove_file(self.directory.path().join("dump.rdb")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.lost(error)),
            _ => Ok(()),
        }
    }

    fn down(&self) -> Error {
        self.lost(std::io::ErrorKind::NotConnected.into())
    }

    fn lost(&self, source: std::io::Error) -> Error {
        Error::Lost {
            address: self.binary.display().to_string(),
            source,
        }
    }
}

/// The file that the library maps, and the library.
#[derive(Debug)]
struct Clock {
    library: PathBuf,
    path: PathBuf,
    file: File,
    time_us: u64,
    /// The monotonic clock when time last began anew, and now.
    began_ns: u64,
    monotonic_ns: u64,
}

impl Clock {
    fn new(directory: &Path, time_us: u64) -> std::io::Result<Self> {
        let library = directory.join("libsluice_clock.so");
        fs::write(&library, LIBRARY)?;
        let path = directory.join("clock");
        let mut clock = Self {
            library,
            file: File::create(&path)?,
            path,
            time_us,
            began_ns: BOOT_NS,
            monotonic_ns: BOOT_NS,
        };
        clock.set(time_us, 0)?;
        Ok(clock)
    }

    fn begin(&mut self) {
        self.began_ns = self.monotonic_ns;
    }

    fn set(&mut self, time_us: u64, passed_ns: u64) -> std::io::Result<()> {
        let monotonic = self.began_ns.saturating_add(passed_ns);
        self.monotonic_ns = self.monotonic_ns.max(monotonic);
        self.show(time_us)
    }

    /// Another time of day, at the same moment.
    fn show(&mut self, time_us: u64) -> std::io::Result<()> {
        let real_ns = time_us.saturating_mul(1_000);
        self.time_us = time_us;
        let seal = real_ns ^ self.monotonic_ns ^ SEAL;
        let numbers = [real_ns, self.monotonic_ns, seal].map(u64::to_ne_bytes);
        // One write, so that the file never has a part of it for long.
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(numbers.as_flattened())
    }
}

/// What an answer to `TIME` says, in microseconds since 1970.
fn micros(connection: &Connection, reply: &Reply) -> Result<u64, Error> {
    let number =
        |part: &Reply| -> Option<u64> { std::str::from_utf8(part.as_bytes()?).ok()?.parse().ok() };
    let time = match reply {
        Reply::Array(parts) => match parts.as_slice() {
            [seconds, micros] => number(seconds)
                .zip(number(micros))
                .and_then(|(seconds, micros)| seconds.checked_mul(1_000_000)?.checked_add(micros)),
            _ => None,
        },
        _ => None,
    };
    time.ok_or_else(|| connection.nonsense(format!("it answers {reply:?} to TIME")))
}

#[cfg(test)]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;
    use std::process::{Command as Program, Output};

    /// What `date` prints under the clock, with these variables set.
    fn date(clock: &Clock, file: Option<&Path>) -> Output {
        let mut date = Program::new("date");
        date.args(["-u", "+%s.%N"])
            .env_remove("SLUICE_CLOCK")
            .env("LD_PRELOAD", &clock.library);
        if let Some(file) = file {
            date.env("SLUICE_CLOCK", file);
        }
        date.output().expect("there is a date")
    }

    #[test]
    fn an_unmodified_program_reads_the_time_that_was_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut clock = Clock::new(directory.path(), 1_767_225_600_000_001).expect("a clock");
        let read = |clock: &Clock| date(clock, Some(&clock.path)).stdout;
        assert_eq!(read(&clock), b"1767225600.000001000\n");
        clock.set(86_400_123_456, 0).expect("it is written");
        assert_eq!(read(&clock), b"86400.123456000\n", "backwards, too");
    }

    #[test]
    fn without_a_file_there_is_no_time_at_all() {
        let directory = tempfile::tempdir().expect("a directory");
        let clock = Clock::new(directory.path(), 0).expect("a clock");
        for file in [None, Some(Path::new("/nonexistent/clock"))] {
            let output = date(&clock, file);
            assert_eq!(output.status.code(), Some(127));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("SLUICE_CLOCK"), "{said}");
            assert!(output.stdout.is_empty());
        }
    }

    #[test]
    fn monotonic_time_never_runs_backwards() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut clock = Clock::new(directory.path(), 5).expect("a clock");
        clock.set(4, 700).expect("it is written");
        clock.set(3, 600).expect("it is written");
        assert_eq!(clock.monotonic_ns, BOOT_NS + 700);
        clock.begin();
        clock.set(2, 1).expect("it is written");
        assert_eq!(clock.monotonic_ns, BOOT_NS + 701);
    }
}
