//! The simulated Redis over TCP, as its clients see it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use sluice_sim::redis::Version;
use verify::serve::{self, Clock};

/// A server on a port of its own; it ends with the process.
fn server(clock: Clock) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve::run(listener, Version::default(), clock));
    address
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
