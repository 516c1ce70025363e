//! How a real server is found, started, used, and left as it was.

#[path = "history/on_redis.rs"]
mod history_on_redis;

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use sluice_core::redis::{Command, Reply};
use verify::audit::{Stop, server};
use verify::mutant;
use verify::real::{self, Connection, Server, Source, Want};
use verify::report::{Conclusion, Finding, Report, Verdict};
use verify::subject::{self, Subject};

/// Set in a child of this test: the child owns a server, and is killed.
const OWNER: &str = "SLUICE_TEST_OWNER";

fn main() {
    if std::env::var_os(OWNER).is_some() {
        own_a_server_and_wait();
    }
    let trials = vec![
        real::trial("a server tells its version", |server| {
            check(server.version().contains('.'), server.version())
        }),
        real::trial("a space removes its own keys and no others", space),
        real::trial("an error reply is a reply", |server| {
            let reply = server.connect()?.call(&Command::new("NONSENSE"))?;
            check(matches!(reply, Reply::Error(_)), format!("{reply:?}"))
        }),
        real::trial("commands sent together are answered in order", pipelined),
        real::trial(
            "a URL to a server that was there already is not ours",
            |server| {
                let again = Server::find(&Want::Url(server.url()))?;
                check(
                    !again.is_ours() && *again.source() == Source::Url,
                    "taken for ours",
                )
            },
        ),
        real::trial("a wrong password is said to be one", |server| {
            let url = server.url().replace("redis://", "redis://:wrong@");
            let missing = Server::find(&Want::Url(url)).expect_err("let in with a wrong password");
            check(missing.to_string().contains("does not let us in"), missing)
        }),
        real::trial(
            "what concurrent clients see of the gate is linearizable",
            history_on_redis::gate,
        ),
        real::trial(
            "what concurrent clients see of HLEN and HSET is not",
            history_on_redis::naive,
        ),
        // One after the other: they look for what was left, and take times.
        real::trial(
            "the audit on a real server holds, and convicts every wrong gate; counts that the \
             server refuses pass nothing; what is wrong in a hard way passes the five loads, and \
             in an easy way does not; an interrupted audit leaves nothing behind",
            |server| {
                audit(server)?;
                refused(server)?;
                hard_mutants(server)?;
                an_easy_mutant(server)?;
                interrupted(server)
            },
        ),
        Trial::test("a private process ends with its owner", private),
        Trial::test(
            "a private process ends with an owner that is killed, even while it runs a script",
            orphaned,
        ),
        Trial::test("a URL that nobody answers says so", || {
            let missing = Server::find(&Want::Url("redis://127.0.0.1:1".into()))
                .expect_err("nobody listens on port 1");
            check(missing.to_string().contains("127.0.0.1:1"), missing)
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

pub(crate) fn check(holds: bool, otherwise: impl ToString) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(otherwise.to_string().into())
    }
}

fn space(server: &Server) -> Result<(), Failed> {
    let mut connection = server.connect()?;
    let kept = server.space()?;
    connection.call(&Command::new("SET").arg(kept.key("kept")).arg("1"))?;
    let mut mine = server.space()?;
    for i in 0..1_200 {
        connection.call(&Command::new("SET").arg(mine.key(&format!("{i}"))).arg("1"))?;
    }
    check(mine.keys()?.len() == 1_200, "not every key was found")?;
    check(mine.prefix() != kept.prefix(), "two spaces share a prefix")?;
    let pattern = format!("{}*", mine.prefix());
    drop(mine);
    let left = connection.call(&Command::new("KEYS").arg(pattern))?;
    check(
        left == Reply::Array(Vec::new()),
        format!("left behind: {left:?}"),
    )?;
    let other = connection.call(&Command::new("GET").arg(kept.key("kept")))?;
    check(other == Reply::bulk("1"), "another space's key was removed")
}

fn pipelined(server: &Server) -> Result<(), Failed> {
    let mut connection = server.connect()?;
    for i in 0..100 {
        connection.send(&Command::new("ECHO").num(i))?;
    }
    for i in 0..100 {
        let reply = connection.receive()?;
        check(reply.as_int() == Some(i), format!("{reply:?} for {i}"))?;
    }
    Ok(())
}

fn private() -> Result<(), Failed> {
    // Without a binary the reason must say so; that is all there is to check.
    let server = match Server::find(&Want::Local) {
        Ok(server) => server,
        Err(missing) => return check(missing.to_string().contains("PATH"), missing),
    };
    let url: real::Url = server.url().parse()?;
    check(server.is_ours(), "a server we started is not ours")?;
    let mut connection = Connection::open(&url)?;
    drop(server);
    let gone = connection.call(&Command::new("PING")).is_err() && Connection::open(&url).is_err();
    check(gone, "the server outlived its owner")
}

/// Nothing is dropped in a process that is killed, and a server that runs an
/// endless script answers nobody.
fn orphaned() -> Result<(), Failed> {
    let mut owner = std::process::Command::new(std::env::current_exe()?)
        .env(OWNER, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let stdout = owner.stdout.take().ok_or("no standard output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let url: Option<real::Url> = line.trim().parse().ok();
    owner.kill()?;
    owner.wait()?;
    let Some(url) = url else {
        return check(line.contains("PATH"), line); // no binary, and it said so
    };
    let gone = |_: &u32| {
        std::thread::sleep(Duration::from_millis(20));
        matches!(Connection::open(&url), Err(real::Error::Refused { .. }))
    };
    check(
        (0..200).find(gone).is_some(),
        "the server outlived its owner",
    )
}

fn own_a_server_and_wait() -> ! {
    match Server::find(&Want::Local) {
        Err(missing) => println!("{missing}"),
        Ok(server) => {
            let endless = Command::new("EVAL").arg("while true do end").arg("0");
            let sent = server.connect().and_then(|mut redis| {
                redis.send(&endless)?;
                redis.set_patience(Duration::from_millis(200))?;
                let _ = redis.receive(); // busy by now
                Ok(())
            });
            println!(
                "{}",
                sent.map_or_else(|error| error.to_string(), |()| server.url())
            );
            std::thread::sleep(Duration::from_secs(60));
        }
    }
    std::process::exit(1)
}

/// Whether it is the gate that failed, and not the machine, which may be too slow
/// for 200 threads that all begin at once (R3.5).
fn is_the_gates(finding: &Finding) -> bool {
    finding.verdict == Verdict::Fail && finding.requirement != "R3.5"
}

/// The five scenarios with up to 200 real clients in 4 processes, and each wrong
/// gate convicted of exactly what its entry says.
fn audit(server: &Server) -> Result<(), Failed> {
    let options = server::Options {
        binary: env!("CARGO_BIN_EXE_verify").into(),
        processes: 4,
        scale: 30,
        subject: slots(),
        again: "cargo test -p verify --test real".to_owned(),
        stop: Stop::default(),
    };
    let report = server::audit(server, &options, |_| {})?;
    let bad = report.findings.iter().find(|f| is_the_gates(f));
    check(bad.is_none(), format!("{bad:?}"))?;
    let slow = report.findings.iter().any(|f| f.verdict == Verdict::Fail);
    let holds = report.conclusion == Conclusion::Holds;
    check(holds || slow, &report.summary)?;
    let crowd = report.scenarios.iter().find(|s| s.name == "over-200");
    let full = crowd.is_some_and(|s| s.active_max == Some(20) && s.found == Some((20, 180)));
    check(full, format!("{crowd:?}"))?;
    for wrong in subject::ALL.iter().filter(|s| !s.convicted_by.is_empty()) {
        let control = report.controls.iter().find(|c| c.subject == wrong.name);
        let control = control.ok_or(format!("{} was not tried", wrong.name))?;
        for property in wrong.convicted_by {
            let convicted = control
                .counterexamples
                .iter()
                .any(|c| c.property == *property);
            check(
                convicted,
                format!("{} was not convicted of {property}", wrong.name),
            )?;
        }
    }
    let keys = server
        .connect()?
        .call(&Command::new("KEYS").arg("sluice:verify:*sessions*"))?;
    check(
        keys == Reply::Array(Vec::new()),
        format!("left behind: {keys:?}"),
    )
}

fn slots() -> Subject {
    subject::by_name("slots").expect("it is known")
}

/// Wrong in ways that no load of PER-002 shows, on a real server either.
const HARD: [&str; 8] = [
    "release-by-anybody",
    "renewal-resurrects",
    "grants-the-timed-out",
    "cancels-no-offer",
    "resize-forgets-offers",
    "no-tombstones",
    "numbers-begin-anew",
    "on-a-server-that-evicts",
];

fn hard_mutants(server: &Server) -> Result<(), Failed> {
    for name in HARD {
        let mutant = mutant::all().find(|mutant| mutant.name() == name);
        let mutant = mutant.ok_or(format!("there is no {name}"))?;
        check(mutant.hard, format!("{name} is not said to be hard"))?;
        let options = server::Options {
            subject: mutant.subject,
            ..options(Stop::default())
        };
        let mut report = Report::new(name, options.again.clone());
        server::loads(server, &options, &mut report, |_| {})?;
        check(report.scenarios.len() == 5, "not all five were run")?;
        let caught = report.findings.iter().find(|f| is_the_gates(f));
        check(caught.is_none(), format!("{name}: {caught:?}"))?;
    }
    Ok(())
}

/// The same crowd and judges do see a wrong variant, if it is not hard.
fn an_easy_mutant(server: &Server) -> Result<(), Failed> {
    let subject = subject::by_name("one-too-many-at-the-door").map_err(|e| e.to_string())?;
    let options = server::Options {
        subject,
        ..options(Stop::default())
    };
    let mut report = Report::new(subject.name, options.again.clone());
    server::loads(server, &options, &mut report, |_| {})?;
    let cap = |f: &&Finding| f.requirement == "R3.2" && f.verdict == Verdict::Fail;
    check(
        report.findings.iter().any(|f| cap(&f)),
        "21 of 20 went by unseen",
    )
}

fn options(stop: Stop) -> server::Options {
    server::Options {
        binary: env!("CARGO_BIN_EXE_verify").into(),
        processes: 2,
        scale: 60,
        subject: slots(),
        again: "cargo test -p verify --test real".to_owned(),
        stop,
    }
}

/// A user that may do everything but count.
fn refused(server: &Server) -> Result<(), Failed> {
    let mut admin = server.connect()?;
    let user = Command::new("ACL").arg("SETUSER").arg("sluice-verify");
    let allowed = [
        "reset", "on", ">secret", "~*", "&*", "+@all", "-incr", "-decr",
    ];
    let made = admin.call(&allowed.iter().fold(user, |c, rule| c.arg(rule)))?;
    check(!matches!(made, Reply::Error(_)), format!("{made:?}"))?;
    let url = server.url();
    let place = url.rsplit(['@', '/']).find(|part| part.contains(':'));
    let url = format!("redis://sluice-verify:secret@{}", place.ok_or("no port")?);
    let limited = Server::find(&Want::Url(url))?;
    let report = server::audit(&limited, &options(Stop::default()), |_| {});
    admin.call(&Command::new("ACL").arg("DELUSER").arg("sluice-verify"))?;
    let report = report?;
    let passed = report
        .findings
        .iter()
        .find(|f| matches!(f.requirement.as_str(), "R3.1" | "R3.2") && f.verdict == Verdict::Pass);
    check(passed.is_none(), format!("{passed:?}"))?;
    check(report.conclusion != Conclusion::Holds, &report.summary)
}

/// The sign to stop in the midst of a crowd: no worker, and no key, is left.
fn interrupted(server: &Server) -> Result<(), Failed> {
    let stop = Stop::default();
    let sign = stop.clone();
    let result = server::audit(server, &options(stop), move |what| {
        if what.contains("over-50") {
            let sign = sign.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                sign.stop();
            });
        }
    });
    let stopped = matches!(result, Err(server::Error::Interrupted));
    check(
        stopped,
        format!("it was not interrupted: {:?}", result.map(|r| r.summary)),
    )?;
    let keys = Command::new("KEYS").arg("sluice:verify:*{sessions}*");
    let left = server.connect()?.call(&keys)?;
    check(
        left == Reply::Array(Vec::new()),
        format!("left behind: {left:?}"),
    )
}
