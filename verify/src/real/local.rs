//! A private server process: random port, loopback only, nothing persisted.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{self, Connection};
use super::{Error, Url};

const BINARIES: [&str; 2] = ["redis-server", "valkey-server"];
/// A port that was free a moment ago may be taken: try others.
const ATTEMPTS: u32 = 5;
const READY: Duration = Duration::from_secs(10);

/// A running server; dropped, it is killed and its directory removed. Where
/// nothing can be dropped (this process is killed, or aborts), its watchdog
/// kills it: a server that runs an endless script hears nothing else.
///
/// Rejected: `PR_SET_PDEATHSIG`, which kills when the *thread* ends that started
/// the server, here the first of several trials.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    watchdog: Option<Child>,
    binary: PathBuf,
    url: Url,
    // Removed when dropped, after the process has ended, unless others have it.
    _directory: Arc<tempfile::TempDir>,
}

/// A clock for a process: see [`super::stepped`].
#[derive(Debug)]
pub(super) struct Clocked {
    /// What is preloaded.
    pub(super) library: PathBuf,
    /// What it reads.
    pub(super) file: PathBuf,
    /// Whether the server must be told that `DEBUG` is allowed, and knows how.
    pub(super) debug: bool,
}

impl Process {
    pub(super) fn url(&self) -> Url {
        self.url.clone()
    }

    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: afterwards the number may be another process's.
        if let Some(mut watchdog) = self.watchdog.take() {
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
        // Nothing in it is worth a graceful end; errors mean it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first server binary on the PATH.
pub(super) fn on_the_path() -> Result<PathBuf, String> {
    let found = BINARIES.iter().find_map(|name| on_path(name));
    found.ok_or_else(|| format!("neither {} is on the PATH", BINARIES.join(" nor ")))
}

/// An empty directory for a server.
pub(super) fn directory() -> Result<Arc<tempfile::TempDir>, String> {
    let directory = tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?;
    Ok(Arc::new(directory))
}

/// Starts this binary in this directory; keys that were saved there are loaded.
pub(super) fn start(
    binary: &Path,
    directory: &Arc<tempfile::TempDir>,
    clock: Option<&Clocked>,
) -> Result<Process, String> {
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match launch(binary, directory, clock) {
            Ok(process) => return Ok(process),
            Err(why) => last = why,
        }
    }
    Err(format!("{} does not start: {last}", binary.display()))
}

/// The first number of a server's version.
pub(super) fn major(binary: &Path) -> Result<u32, String> {
    let output = Command::new(binary).arg("--version").output();
    let output = output.map_err(|e| format!("{}: {e}", binary.display()))?;
    // `Redis server v=7.0.15 sha=…`
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_once(" v=").map(|(_, rest)| rest);
    version
        .and_then(|rest| rest.split('.').next()?.parse().ok())
        .ok_or_else(|| format!("{} does not tell its version", binary.display()))
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

#[expect(clippy::disallowed_methods, reason = "waits for a real process")]
fn launch(
    binary: &Path,
    directory: &Arc<tempfile::TempDir>,
    clock: Option<&Clocked>,
) -> Result<Process, String> {
    let log = directory.path().join("log");
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|e| format!("no free port: {e}"))?
        .port();
    let mut command = Command::new(binary);
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .arg("--dir")
        .arg(directory.path())
        .arg("--logfile")
        .arg(&log)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if clock.is_none() {
        // How often it looks whose waiting is over: at ten times a second, checks
        // do little else than wait for that.
        command.args(["--hz", "500"]);
    }
    if let Some(clock) = clock {
        command
            .env("LD_PRELOAD", &clock.library)
            .env("SLUICE_CLOCK", &clock.file);
        if clock.debug {
            command.args(["--enable-debug-command", "yes"]);
        }
    }
    let child = command.spawn().map_err(|e| e.to_string())?;
    let mut process = Process {
        watchdog: watchdog(child.id()),
        child,
        binary: binary.to_owned(),
        url: Url::plain("127.0.0.1", port),
        _directory: Arc::clone(directory),
    };
    let start = Instant::now();
    loop {
        if let Ok(Some(status)) = process.child.try_wait() {
            return Err(format!("it ended at once ({status}); {}", tail(&log)));
        }
        match is_ours(&process) {
            Ok(true) => return Ok(process),
            Ok(false) => return Err(format!("port {port} was taken by another server")),
            Err(why) if start.elapsed() > READY => return Err(format!("{why}; {}", tail(&log))),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// A shell that kills the process with this number once our end of its standard
/// input is closed, which the system does however we end. None where there is no
/// shell; then only the drop kills.
fn watchdog(process: u32) -> Option<Child> {
    Command::new("sh")
        .args(["-c", r#"read -r _; kill -KILL "$1""#, "sh"])
        .arg(process.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

/// Whether the server that answers is the process we started, and not one that
/// took the port in the meantime.
fn is_ours(process: &Process) -> Result<bool, Error> {
    let info = Connection::open(&process.url)?.info("server")?;
    let id = connection::info_field(&info, "process_id");
    Ok(id == Some(process.child.id().to_string().as_str()))
}

fn tail(log: &Path) -> String {
    match fs::read_to_string(log) {
        Ok(text) => match text.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => format!("its last words: {}", line.trim()),
            None => "it said nothing".to_owned(),
        },
        Err(_) => "it wrote no log".to_owned(),
    }
}
