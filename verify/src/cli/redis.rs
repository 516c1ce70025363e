//! `verify redis`: the simulated Redis for any client.

use std::io::Write as _;
use std::net::TcpListener;

use super::{Exit, Failure, RedisArgs, ServedClock};
use crate::serve::{self, Clock};

pub(super) fn run(args: &RedisArgs) -> Result<Exit, Failure> {
    let listener = TcpListener::bind(&args.listen).map_err(|error| {
        Failure::environment(format!(
            "cannot listen on {}: {error}; choose another address with --listen",
            args.listen
        ))
    })?;
    let address = listener.local_addr().map_err(Failure::environment)?;
    // Whoever started it may wait for this line.
    let mut out = std::io::stdout();
    let said = writeln!(
        out,
        "a simulated Redis {} listens on {address}; Ctrl-C ends it",
        args.imitate.text()
    );
    said.and_then(|()| out.flush())
        .map_err(Failure::environment)?;
    let clock = match args.clock {
        ServedClock::Wall => Clock::Wall,
        ServedClock::Sim => Clock::Simulated,
    };
    serve::run(listener, args.imitate, clock).map_err(Failure::environment)?;
    Ok(Exit::Holds)
}
