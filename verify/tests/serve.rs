//! The simulated Redis over TCP, as its clients see it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use sluice_sim::redis::Version;
use verify::serve::{self, Clock};

/// A server on a port of its own; it ends with the process.
fn server(clock: Clock) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve::run(listener, Version::default(), clock));
    address
}

#[expect(
    clippy::disallowed_methods,
    reason = "a server lives by the wall's clock"
)]
fn now() -> Instant {
    Instant::now()
}

struct Client(TcpStream);

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self(stream)
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `expected` is there, and nothing else is.
    fn expect(&mut self, expected: &str) {
        let mut got = vec![0; expected.len()];
        self.0.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), expected);
    }

    /// Reads to the end of this.
    fn read_past(&mut self, end: &str) {
        let mut got = Vec::new();
        while !got.ends_with(end.as_bytes()) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            got.extend(byte);
        }
    }

    fn ask(&mut self, text: &str, expected: &str) {
        self.send(&format!("{text}\r\n"));
        self.expect(expected);
    }

    fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 1]), Ok(0) | Err(_))
    }
}

#[test]
fn commands_pipelines_and_scripts() {
    let mut client = Client::new(server(Clock::Wall));
    client.ask("PING", "+PONG\r\n");
    client.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    client.expect("+OK\r\n$2\r\n\r\n\r\n");
    client.ask("EVAL \"return {1, 'a'}\" 0", "*2\r\n:1\r\n$1\r\na\r\n");
    client.ask("QUIT", "+OK\r\n");
    assert!(client.is_closed());
}

#[test]
fn resp3_has_maps_and_its_transactions_too() {
    let mut client = Client::new(server(Clock::Wall));
    client.ask("HSET h a 1", ":1\r\n");
    client.ask("HGETALL h", "*2\r\n$1\r\na\r\n$1\r\n1\r\n");
    client.ask("HELLO 4", "-NOPROTO unsupported protocol version\r\n");
    client.send("HELLO 3\r\n");
    client.expect("%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.6\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n");
    client.ask("HGETALL h", "%1\r\n$1\r\na\r\n$1\r\n1\r\n");
    client.ask("GET none", "_\r\n");
    client.ask("MULTI", "+OK\r\n");
    client.ask("HGETALL h", "+QUEUED\r\n");
    client.ask("EXEC", "*1\r\n%1\r\n$1\r\na\r\n$1\r\n1\r\n");
    client.ask("SUBSCRIBE c", ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    client.ask("GET none", "_\r\n");
    client.ask("RESET", "+RESET\r\n");
    client.ask("GET none", "$-1\r\n");
}

#[test]
fn waiting_is_served_by_others_and_by_the_clock() {
    let address = server(Clock::Wall);
    let (mut one, mut other) = (Client::new(address), Client::new(address));
    // What is sent behind a command that waits is executed after it.
    one.send("BLPOP k 0\r\nPING\r\n");
    other.ask("RPUSH none x", ":1\r\n");
    other.ask("RPUSH k x", ":1\r\n");
    one.expect("*2\r\n$1\r\nk\r\n$1\r\nx\r\n+PONG\r\n");
    one.ask("BLPOP k 0.02", "*-1\r\n");
    one.ask("WAIT 1 20", ":0\r\n");
    one.ask("SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    other.ask("PUBLISH c hello", ":1\r\n");
    one.expect("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n");
}

#[test]
fn simulated_time_stands_still_until_it_is_told() {
    let address = server(Clock::Simulated);
    let (mut one, mut other) = (Client::new(address), Client::new(address));
    one.ask("TIME", "*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n");
    one.ask("SET k v PX 60000", "+OK\r\n");
    one.send("BLPOP list 30\r\n");
    other.ask("CLOCK ADVANCE 29999", ":1700000029999\r\n");
    other.ask("CLOCK ADVANCE 1", ":1700000030000\r\n");
    one.expect("*-1\r\n");
    one.ask("PTTL k", ":30000\r\n");
    other.ask("CLOCK ADVANCE 30001", ":1700000060001\r\n");
    one.ask("EXISTS k", ":0\r\n");
    other.ask(
        "CLOCK ADVANCE x",
        "-ERR say CLOCK, or CLOCK ADVANCE milliseconds\r\n",
    );
}

#[test]
fn who_breaks_the_protocol_is_told_and_left() {
    let address = server(Clock::Wall);
    for (sent, told) in [
        (
            "*1000000\r\n",
            "-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            "*1\r\n$536870913\r\n",
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            "*1\r\n*1\r\n",
            "-ERR Protocol error: expected '$', got '*'\r\n",
        ),
        (
            "set \"x\r\n",
            "-ERR Protocol error: unbalanced quotes in request\r\n",
        ),
    ] {
        let mut client = Client::new(address);
        client.send(sent);
        client.expect(told);
        assert!(client.is_closed(), "{sent}");
    }
    Client::new(address).ask("PING", "+PONG\r\n");
}

#[test]
fn a_client_can_be_killed_and_another_want_no_replies() {
    let address = server(Clock::Wall);
    let mut ann = Client::new(address);
    ann.send("CLIENT SETNAME ann\r\n");
    ann.expect("+OK\r\n");
    let mut bob = Client::new(address);
    bob.send("CLIENT REPLY OFF\r\nPING\r\nPING\r\nCLIENT REPLY ON\r\nPING\r\n");
    bob.expect("+OK\r\n+PONG\r\n");
    bob.send("CLIENT KILL TYPE normal SKIPME yes\r\n");
    bob.expect(":1\r\n");
    let mut rest = Vec::new();
    ann.0.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "the connection was closed");
    bob.send("CLIENT KILL SKIPME no\r\nPING\r\n");
    bob.expect(":1\r\n");
    bob.0.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "with its reply, and nothing after it");
}

#[test]
fn keys_that_expire_go_though_nobody_looks() {
    let address = server(Clock::Wall);
    let mut client = Client::new(address);
    client.send("SET k v PX 1\r\n");
    client.expect("+OK\r\n");
    let mut gone = false;
    for _ in 0..200 {
        thread::sleep(Duration::from_millis(50));
        client.send("DBSIZE\r\n");
        let mut reply = [0; 4];
        client.0.read_exact(&mut reply).unwrap();
        gone = reply == *b":0\r\n";
        if gone {
            break;
        }
    }
    assert!(gone, "it is still counted after ten seconds");
    let address = server(Clock::Simulated);
    let mut client = Client::new(address);
    client.send("SET k v PX 5\r\nCLOCK ADVANCE 6\r\nDBSIZE\r\n");
    client.expect("+OK\r\n:1700000000006\r\n:0\r\n");
}

/// What Redis 7.0.15 sends, byte for byte.
#[test]
fn what_a_script_means_is_what_a_client_of_resp3_gets() {
    let mut client = Client::new(server(Clock::Wall));
    client.send("HELLO 3\r\n");
    client.read_past("modules\r\n*0\r\n");
    client.ask("HSET h a 1", ":1\r\n");
    for (script, told) in [
        ("return {map={a=1}}", "%1\r\n$1\r\na\r\n:1\r\n"),
        ("return {set={a=true}}", "~1\r\n$1\r\na\r\n"),
        ("return {double=3.5}", ",3.5\r\n"),
        ("return {double=1/0}", ",inf\r\n"),
        ("return {big_number='123'}", "(123\r\n"),
        (
            "return {verbatim_string={format='mkd',string='# x'}}",
            "=7\r\nmkd:# x\r\n",
        ),
        ("return true", ":1\r\n"),
        ("return {false, 1}", "*2\r\n_\r\n:1\r\n"),
        ("redis.setresp(3) return true", "#t\r\n"),
        ("redis.setresp(3) return {false}", "*1\r\n#f\r\n"),
        (
            "redis.setresp(3) return redis.call('HGETALL', 'h')",
            "%1\r\n$1\r\na\r\n$1\r\n1\r\n",
        ),
        (
            "return redis.call('HGETALL', 'h')",
            "*2\r\n$1\r\na\r\n$1\r\n1\r\n",
        ),
        ("return nil", "_\r\n"),
        ("return {ok='fine'}", "+fine\r\n"),
        ("return {err='bad'}", "-bad\r\n"),
        ("return {1, {map={}}}", "*2\r\n:1\r\n%0\r\n"),
    ] {
        client.ask(&format!("EVAL \"{script}\" 0"), told);
    }
    // In a transaction each result has its place.
    client.ask("MULTI", "+OK\r\n");
    for script in ["return {double=1}", "error('x')", "return {set={}}"] {
        client.ask(&format!("EVAL \"{script}\" 0"), "+QUEUED\r\n");
    }
    client.send("EXEC\r\n");
    client.expect("*3\r\n,1\r\n-");
    client.read_past("\r\n");
    client.expect("~0\r\n");
    client.send("HELLO 2\r\n");
    client.read_past("modules\r\n*0\r\n");
    client.ask("EVAL \"return {map={a=1}}\" 0", "*2\r\n$1\r\na\r\n:1\r\n");
}

#[test]
fn a_busy_server_is_silent_first_and_then_says_so() {
    let address = server(Clock::Wall);
    let (mut one, mut other) = (Client::new(address), Client::new(address));
    other.ask("CONFIG SET lua-time-limit 2500", "+OK\r\n");
    let begun = now();
    one.send("EVAL \"while true do end\" 0\r\n");
    thread::sleep(Duration::from_millis(50));
    other.ask(
        "PING",
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
    );
    assert!(begun.elapsed() >= Duration::from_millis(2_400));
    other.ask("SCRIPT KILL", "+OK\r\n");
    one.expect("-ERR Script killed by user with SCRIPT KILL");
}

#[test]
fn shutdown_ends_it_without_a_word() {
    let address = server(Clock::Wall);
    let (mut one, mut other) = (Client::new(address), Client::new(address));
    other.ask("PING", "+PONG\r\n");
    one.ask("SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n");
    one.ask("SHUTDOWN SAVE NOSAVE", "-ERR syntax error\r\n");
    one.ask("MULTI", "+OK\r\n");
    one.ask(
        "SHUTDOWN",
        "-ERR Command not allowed inside a transaction\r\n",
    );
    one.ask(
        "EXEC",
        "-EXECABORT Transaction discarded because of previous errors.\r\n",
    );
    one.send("SHUTDOWN NOSAVE\r\nPING\r\n");
    assert!(one.is_closed());
    assert!(other.is_closed());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn the_longest_argument_can_be_set() {
    let address = server(Clock::Wall);
    let mut client = Client::new(address);
    client.ask("CONFIG SET proto-max-bulk-len 1mb", "+OK\r\n");
    client.ask(
        "SETBIT k 8388608 1",
        "-ERR bit offset is not an integer or out of range\r\n",
    );
    client.ask(
        "SETRANGE k 1048576 x",
        "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n",
    );
    client.ask("SETRANGE k 1048575 x", ":1048576\r\n");
    client.ask(
        "APPEND k x",
        "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n",
    );
    client.send("*2\r\n$4\r\nECHO\r\n$1048577\r\n");
    client.expect("-ERR Protocol error: invalid bulk length\r\n");
    assert!(client.is_closed());
}

#[test]
fn clients_can_be_paused() {
    let address = server(Clock::Simulated);
    let (mut one, mut other) = (Client::new(address), Client::new(address));
    one.ask(
        "CLIENT PAUSE 1000 x",
        "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n",
    );
    one.ask("CLIENT PAUSE -1", "-ERR timeout is negative\r\n");
    one.ask("CLIENT PAUSE 1000 WRITE", "+OK\r\n");
    one.ask("GET k", "$-1\r\n");
    one.send("SET k v\r\nGET k\r\n");
    other.ask("CLOCK ADVANCE 999", ":1700000000999\r\n");
    other.ask("GET k", "$-1\r\n");
    other.ask("CLOCK ADVANCE 2", ":1700000001001\r\n");
    one.expect("+OK\r\n$1\r\nv\r\n");
    one.ask("CLIENT PAUSE 60000 WRITE", "+OK\r\n");
    one.send("SET k w\r\n");
    other.ask("GET k", "$1\r\nv\r\n");
    other.ask("EVAL \"#!lua flags=no-writes\\nreturn 1\" 0", ":1\r\n");
    other.send("EVAL \"return 2\" 0\r\n");
    let mut third = Client::new(address);
    third.ask("CLIENT UNPAUSE", "+OK\r\n");
    other.expect(":2\r\n");
    one.expect("+OK\r\n");
    let mut wall = Client::new(self::server(Clock::Wall));
    wall.ask("CLIENT PAUSE 60", "+OK\r\n");
    let begun = now();
    wall.ask("PING", "+PONG\r\n");
    assert!(begun.elapsed() >= Duration::from_millis(55));
}

#[test]
fn who_speaks_http_is_left_at_once() {
    let address = server(Clock::Wall);
    for text in [
        "POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k v\r\n",
        "host: x\r\nSET k v\r\n",
        "*1\r\n$4\r\nPOST\r\n",
    ] {
        let mut client = Client::new(address);
        client.send(text);
        assert!(client.is_closed(), "{text}");
    }
    Client::new(address).ask("GET k", "$-1\r\n");
}

/// Nothing that a client says can be mistaken for a reply.
#[test]
fn an_error_is_one_line() {
    let mut client = Client::new(server(Clock::Wall));
    client.send("*2\r\n$6\r\nCLIENT\r\n$9\r\na\r\n+OK\r\nb\r\nPING\r\n");
    client.expect("-ERR unknown subcommand 'a  +OK  b'. Try CLIENT HELP.\r\n+PONG\r\n");
}

/// A reply may be longer than what is kept for a client that does not listen.
#[test]
fn a_long_reply_arrives_whole() {
    const LEN: usize = 40 << 20;
    let mut client = Client::new(server(Clock::Wall));
    client.send(&format!("SETRANGE k {} x\r\n", LEN - 1));
    client.expect(&format!(":{LEN}\r\n"));
    client.send("GET k\r\nPING\r\n");
    client.expect(&format!("${LEN}\r\n"));
    let mut left = LEN;
    let mut chunk = vec![0; 1 << 20];
    while left > 0 {
        let most = left.min(chunk.len());
        let count = client.0.read(&mut chunk[..most]).unwrap();
        assert!(count > 0, "closed with {left} bytes to come");
        left -= count;
    }
    client.expect("\r\n+PONG\r\n");
}

#[test]
fn who_says_nothing_for_too_long_is_left() {
    let address = server(Clock::Simulated);
    let (mut idle, mut busy) = (Client::new(address), Client::new(address));
    idle.ask("PING", "+PONG\r\n");
    busy.ask("CONFIG SET timeout 10", "+OK\r\n");
    busy.ask("CLOCK ADVANCE 10999", ":1700000010999\r\n");
    idle.ask("PING", "+PONG\r\n");
    busy.ask("CLOCK ADVANCE 10999", ":1700000021998\r\n");
    busy.ask("CLOCK ADVANCE 1", ":1700000021999\r\n");
    assert!(idle.is_closed());
    busy.ask("PING", "+PONG\r\n");
}

/// A pause beyond all numbers is none.
#[test]
fn a_pause_without_end_ends() {
    let mut client = Client::new(server(Clock::Wall));
    client.ask("CLIENT PAUSE 9223372036854775807", "+OK\r\n");
    client.ask("CLIENT UNPAUSE", "+OK\r\n");
    client.ask("PING", "+PONG\r\n");
}
