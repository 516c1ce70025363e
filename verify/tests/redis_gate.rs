//! The Redis gate as it is used in production (`gate::RedisSlots`), on a real
//! server: many processes, dropped futures, killed processes, cut connections.
//!
//! The cap is judged by effects, not by what the gate says of itself: every
//! holder counts itself in and out at the server and looks at the count.
//!
//! The test binary is its own worker process: started with [`WORKER`] in its
//! environment it acquires and leaves, and prints what it saw.

use std::future::Future;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use sluice_core::redis::Command;
use sluice_gate::redis_slots::{AcquireError, ConnectError, Options, RedisSlots};
use sluice_gate::slots::{Config, Ended};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use verify::real::{self, Connection, Server, Url};

/// `crowd`, `overfull` or `hold`, then process number, URL and key prefix, by newline.
const WORKER: &str = "SLUICE_GATE_WORKER";
const CAPACITY: u32 = 20;
const PROCESSES: usize = 4;
const GATES_PER_PROCESS: usize = 2;
const CLIENTS_PER_GATE: usize = 25;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    if let Ok(orders) = std::env::var(WORKER) {
        return worker(&orders);
    }
    let trials = vec![
        real::trial("20 slots hold under 200 clients in 4 processes", crowd),
        real::trial("21 slots are seen to be more than 20", overfull),
        real::trial(
            "a killed process loses its slot when its lease ends",
            killed,
        ),
        real::trial(
            "a dropped future leaves, a dropped permit gives back",
            dropped,
        ),
        real::trial("a busy gate says so, and an id is one client's", busy),
        real::trial("a holder is told when its slot is gone", lost),
        real::trial("a lease is renewed for as long as it is held", renewed),
        real::trial("cut and stalled connections are survived", cut),
        real::trial("closing gives everything back", closed),
        real::trial("a wrong password is said to be one", |server| {
            let url = server.url().replace("redis://", "redis://:wrong@");
            refused(&url, "does not let us in")
        }),
        Trial::test("a server that is not there is said to be so", || {
            refused("redis://127.0.0.1:1", "no connection to 127.0.0.1:1")
        }),
        Trial::test("a wrong URL is said to be one", || {
            refused("http://example.org", "wrong URL")
        }),
        Trial::test("a wrong name is said to be one", || {
            let gate =
                RedisSlots::connect("redis://127.0.0.1:1", "a{b", session(), Options::default());
            let error = block_on(gate).expect_err("a brace in the name");
            check(matches!(error, ConnectError::Name(_)), error)
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Leases short enough to be waited for.
fn session() -> Config {
    Config {
        lease_ms: Some(1_000),
        idle_ms: None,
        ..Config::session_cap(CAPACITY)
    }
}

fn one() -> Config {
    Config {
        capacity: 1,
        ..session()
    }
}

fn crowd(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    let (most, grants) = crowd_of(server, space.prefix(), "crowd")?;
    let all = (PROCESSES * GATES_PER_PROCESS * CLIENTS_PER_GATE * ROUNDS) as u64;
    check(grants == all, format!("{grants} grants for {all} joins"))?;
    check(most <= u64::from(CAPACITY), format!("{most} at once"))?;
    check(
        most == u64::from(CAPACITY),
        format!("only {most} at once: nothing was tried"),
    )?;
    let fences = server
        .connect()?
        .call(&Command::new("SCARD").arg(space.key("fences")))?;
    check(
        fences.as_int() == i64::try_from(all).ok(),
        format!("{fences:?} fencing numbers for {all} grants"),
    )?;
    let status = block_on(async {
        let gate = open(server, space.prefix(), session()).await?;
        Ok::<_, Failed>(gate.status().await?)
    })?;
    check(
        (status.held, status.waiting, status.absent) == (0, 0, 0) && status.stats.processed == all,
        format!("{status:?}"),
    )
}

/// The alarm works: a gate that lets one more in is seen to.
fn overfull(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    let (most, _) = crowd_of(server, space.prefix(), "overfull")?;
    check(
        most > u64::from(CAPACITY),
        format!("a gate of {} went unnoticed: {most} at once", CAPACITY + 1),
    )
}

/// The most holders that any of them has seen, and the number of grants.
fn crowd_of(server: &Server, prefix: &str, what: &str) -> Result<(u64, u64), Failed> {
    let workers: Vec<Child> = (0..PROCESSES)
        .map(|number| spawn(what, number, server, prefix))
        .collect::<Result<_, _>>()?;
    let (mut most, mut grants) = (0, 0);
    for worker in workers {
        let output = worker.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut numbers = said.split_ascii_whitespace().map(str::parse::<u64>);
        let (Some(Ok(seen)), Some(Ok(granted))) = (numbers.next(), numbers.next()) else {
            return Err(format!("a worker failed: {}, said {said:?}", output.status).into());
        };
        most = most.max(seen);
        grants += granted;
    }
    Ok((most, grants))
}

fn killed(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    let mut holder = spawn("hold", 0, server, space.prefix())?;
    block_on(async {
        let gate = open(server, space.prefix(), one()).await?;
        eventually("the worker holds", async || {
            Ok(gate.status().await?.held == 1)
        })
        .await?;
        let waiter = tokio::spawn({
            let gate = gate.clone();
            async move { gate.acquire("next").await }
        });
        eventually("one waits", async || Ok(gate.status().await?.waiting == 1)).await?;
        let before = Instant::now();
        holder.kill()?;
        holder.wait()?;
        let permit = waiter.await??;
        let took = before.elapsed();
        check(took < Duration::from_secs(4), format!("took {took:?}"))?;
        let status = gate.status().await?;
        check(status.stats.reclaimed == 1, format!("{status:?}"))?;
        permit.release().await?;
        gate.close().await;
        Ok(())
    })
}

fn dropped(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    block_on(async {
        let gate = open(server, space.prefix(), one()).await?;
        let other = open(server, space.prefix(), one()).await?;
        let permit = gate.acquire("a").await?;
        // Dropped at every stage of its life, the future leaves nothing behind.
        for ms in [0, 1, 2, 5, 20, 50] {
            let waiting = other.acquire("b");
            let gone = tokio::time::timeout(Duration::from_millis(ms), waiting).await;
            check(gone.is_err(), "granted beside a holder")?;
        }
        eventually("nobody waits", async || {
            let status = gate.status().await?;
            Ok(status.waiting + status.absent == 0)
        })
        .await?;
        let first = permit.fence();
        drop(permit);
        let permit = other.acquire("c").await?;
        check(permit.fence() > first, "fencing numbers must rise")?;
        check(
            permit.is_held() && permit.until().is_some(),
            format!("{permit:?}"),
        )?;
        permit.release().await?;
        check(gate.status().await?.held == 0, "still held")
    })
}

fn busy(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    block_on(async {
        let gate = open(server, space.prefix(), one()).await?;
        let permit = gate.try_acquire("a").await?;
        let answer = gate.try_acquire("b").await;
        check(
            matches!(answer, Err(AcquireError::Busy)),
            format!("{answer:?}"),
        )?;
        let answer = gate.acquire("a").await;
        check(
            matches!(answer, Err(AcquireError::IdInUse)),
            format!("{answer:?}"),
        )?;
        for id in ["", "a\nb", &"x".repeat(10_000)] {
            let answer = gate.acquire(id).await;
            check(
                matches!(answer, Err(AcquireError::Id(_))),
                format!("{answer:?}"),
            )?;
        }
        let options = Options {
            wait_limit: Some(Duration::from_millis(150)),
            ..options(space.prefix())
        };
        let hasty = RedisSlots::connect(&server.url(), "gate", one(), options).await?;
        let answer = hasty.acquire("c").await;
        let timed_out = matches!(answer, Err(AcquireError::TimedOut { trouble: None }));
        check(timed_out, format!("{answer:?}"))?;
        permit.release().await?;
        gate.try_acquire("a").await?.release().await?;
        Ok(())
    })
}

fn lost(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    block_on(async {
        let gate = open(server, space.prefix(), one()).await?;
        let permit = gate.acquire("a").await?;
        let mut connection = server.connect()?;
        for key in ["{gate}:gate", "{gate}:line", "{gate}:due"] {
            connection.call(&Command::new("DEL").arg(space.key(key)))?;
        }
        let how = tokio::time::timeout(Duration::from_secs(2), permit.lost()).await?;
        check(
            how == Ended::Expired && !permit.is_held(),
            format!("{how:?}"),
        )?;
        permit.release().await?;
        Ok(())
    })
}

fn renewed(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    block_on(async {
        let gate = open(server, space.prefix(), one()).await?;
        let permit = gate.acquire("a").await?;
        let until = permit.until();
        let early = tokio::time::timeout(Duration::from_millis(2_500), permit.lost()).await;
        check(early.is_err() && permit.is_held(), format!("{permit:?}"))?;
        check(permit.until() > until, "the end did not move on")?;
        permit.release().await?;
        Ok(())
    })
}

fn cut(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    block_on(async {
        let relay = Relay::start(server).await?;
        let options = options(space.prefix());
        let gate = RedisSlots::connect(&relay.url, "gate", one(), options).await?;
        let permit = gate.acquire("a").await?;
        let waiter = tokio::spawn({
            let gate = gate.clone();
            async move { gate.acquire("b").await }
        });
        let mut connection = server.connect()?;
        for fault in [
            Fault::Cut,
            Fault::Stall,
            Fault::Cut,
            Fault::Stall,
            Fault::Cut,
        ] {
            relay.faults.send_replace(fault);
            if server.is_ours() {
                connection.call(&Command::new("SCRIPT").arg("FLUSH"))?;
            }
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        check(
            permit.is_held() && !waiter.is_finished(),
            format!("{permit:?}"),
        )?;
        let hit = relay.hit.load(Ordering::Relaxed);
        check(hit >= 5, format!("only {hit} connections were hit"))?;
        let before = gate.status().await?;
        check(
            (before.held, before.waiting) == (1, 1),
            format!("{before:?}"),
        )?;
        permit.release().await?;
        waiter.await??.release().await?;
        Ok(())
    })
}

#[derive(Clone, Copy)]
enum Fault {
    /// Connections end.
    Cut,
    /// Connections stay, and nothing goes through them any more.
    Stall,
}

/// Stands between a gate and the server, so that faults hit this gate alone.
struct Relay {
    url: String,
    /// Hits the connections that are there, not those that are made later.
    faults: watch::Sender<Fault>,
    hit: Arc<AtomicUsize>,
}

impl Relay {
    async fn start(server: &Server) -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let here = listener.local_addr()?.to_string();
        let there = server.url().parse::<Url>()?.address();
        let url = server.url().replace(&there, &here);
        let hit = Arc::new(AtomicUsize::new(0));
        let (faults, _) = watch::channel(Fault::Cut);
        let relay = Self {
            url,
            faults: faults.clone(),
            hit: Arc::clone(&hit),
        };
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (there, hit, mut fault) = (there.clone(), Arc::clone(&hit), faults.subscribe());
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(there).await else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                        _ = fault.changed() => {}
                    }
                    hit.fetch_add(1, Ordering::Relaxed);
                    let now = *fault.borrow_and_update();
                    if matches!(now, Fault::Stall) {
                        // The sockets live on, held by this task.
                        tokio::time::sleep(PATIENCE).await;
                    }
                });
            }
        });
        Ok(relay)
    }
}

fn closed(server: &Server) -> Result<(), Failed> {
    let space = server.space()?;
    block_on(async {
        let gate = open(server, space.prefix(), one()).await?;
        let permit = gate.acquire("a").await?;
        let waiter = tokio::spawn({
            let gate = gate.clone();
            async move { gate.acquire("b").await }
        });
        eventually("one waits", async || Ok(gate.status().await?.waiting == 1)).await?;
        gate.close().await;
        let answer = waiter.await?;
        check(
            matches!(answer, Err(AcquireError::Closed)),
            format!("{answer:?}"),
        )?;
        check(!permit.is_held(), "a permit of a closed gate")?;
        permit.lost().await;
        let answer = gate.acquire("c").await;
        check(
            matches!(answer, Err(AcquireError::Closed)),
            format!("{answer:?}"),
        )?;
        let status = open(server, space.prefix(), one()).await?.status().await?;
        check(
            (status.held, status.waiting) == (0, 0),
            format!("{status:?}"),
        )
    })
}

fn refused(url: &str, expected: &str) -> Result<(), Failed> {
    let gate = RedisSlots::connect(url, "gate", session(), Options::default());
    let error = block_on(gate)
        .expect_err("no server lets us in there")
        .to_string();
    check(error.contains(expected) && !error.contains("wrong@"), error)
}

/// What a worker process does.
fn worker(orders: &str) {
    let orders: Vec<&str> = orders.split('\n').collect();
    let [what, number, url, prefix] = orders[..] else {
        panic!("orders: what, number, URL, prefix; not {orders:?}");
    };
    block_on(async {
        match what {
            "crowd" | "overfull" => {
                let config = Config {
                    capacity: CAPACITY + u32::from(what == "overfull"),
                    ..session()
                };
                let (most, grants) = member(config, number, url, prefix)
                    .await
                    .expect("the gate works");
                println!("{most} {grants}");
            }
            _ => {
                let gate = RedisSlots::connect(url, "gate", one(), options(prefix)).await;
                let _permit = gate.expect("a server").acquire("holder").await;
                std::future::pending::<()>().await;
            }
        }
    });
}

/// One process of the crowd: the most holders it has seen, and its grants.
async fn member(
    config: Config,
    number: &str,
    url: &str,
    prefix: &str,
) -> Result<(u64, u64), Failed> {
    let mut clients = Vec::new();
    for gate_number in 0..GATES_PER_PROCESS {
        let gate = RedisSlots::connect(url, "gate", config, options(prefix)).await?;
        for client in 0..CLIENTS_PER_GATE {
            let (gate, id) = (gate.clone(), format!("{number}-{gate_number}-{client}"));
            let (url, prefix) = (url.parse::<Url>()?, prefix.to_owned());
            clients.push(tokio::spawn(async move {
                client_of(&gate, &id, &url, &prefix).await
            }));
        }
    }
    let (mut most, mut grants) = (0, 0);
    for client in clients {
        most = most.max(client.await?.map_err(|why| why.to_string())?);
        grants += ROUNDS as u64;
    }
    Ok((most, grants))
}

async fn client_of(gate: &RedisSlots, id: &str, url: &Url, prefix: &str) -> Result<u64, String> {
    let mut most = 0;
    let mut connection = Connection::open(url).map_err(|error| error.to_string())?;
    let mut call = |command: &str, key: &str, arg: Option<u64>| {
        let command = Command::new(command).arg(format!("{prefix}{key}"));
        let command = arg.into_iter().fold(command, Command::num);
        let reply = connection
            .call(&command)
            .map_err(|error| error.to_string())?;
        reply.as_int().ok_or(format!("{reply:?}"))
    };
    for _ in 0..ROUNDS {
        let permit = gate.acquire(id).await.map_err(|error| error.to_string())?;
        let inside = call("INCR", "inside", None)?;
        most = most.max(inside.unsigned_abs());
        if call("SADD", "fences", Some(permit.fence()))? != 1 {
            return Err(format!("fencing number {} was given twice", permit.fence()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        if !permit.is_held() {
            return Err("lost after 20 ms of a lease of 1 s".to_owned());
        }
        call("DECR", "inside", None)?;
        permit.release().await.map_err(|error| error.to_string())?;
    }
    Ok(most)
}

fn spawn(what: &str, number: usize, server: &Server, prefix: &str) -> Result<Child, Failed> {
    let orders = format!("{what}\n{number}\n{}\n{prefix}", server.url());
    let mut process = Process::new(std::env::current_exe()?);
    let process = process.env(WORKER, orders).stdout(Stdio::piped());
    Ok(process.spawn()?)
}

async fn open(server: &Server, prefix: &str, config: Config) -> Result<RedisSlots, ConnectError> {
    RedisSlots::connect(&server.url(), "gate", config, options(prefix)).await
}

fn options(prefix: &str) -> Options {
    Options {
        prefix: prefix.to_owned(),
        poll: Duration::from_millis(200),
        ..Options::default()
    }
}

async fn eventually(
    what: &str,
    mut holds: impl AsyncFnMut() -> Result<bool, Failed>,
) -> Result<(), Failed> {
    for _ in 0..500 {
        if holds().await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(format!("never: {what}").into())
}

/// Within [`PATIENCE`]: a gate that hangs is a failure, not a hanging test.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, future).await })
        .expect("done in time")
}

fn check(holds: bool, otherwise: impl ToString) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(otherwise.to_string().into())
    }
}
