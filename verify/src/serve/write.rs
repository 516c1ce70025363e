//! What clients get: replies on the wire, in RESP2 or RESP3.
//!
//! The simulated server answers in the shapes of RESP2. What a reply is in
//! RESP3 (a map, a set, a double) follows from the command alone; [`Shape`]
//! knows it, as clients know it who speak RESP2. What a script returns the
//! server writes itself ([`Server::poll_typed`](sluice_sim::redis::Server)).

use std::collections::VecDeque;

use sluice_core::redis::{Command, Reply};
pub use sluice_sim::redis::Shape;

/// Which version of the protocol a client has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What clients speak unless they say `HELLO 3`.
    #[default]
    Resp2,
    /// Maps, sets, doubles, pushes.
    Resp3,
}

/// Appends a reply to what goes out.
pub fn write(out: &mut Vec<u8>, reply: &Reply, shape: Shape, protocol: Protocol) {
    let resp3 = protocol == Protocol::Resp3;
    match reply {
        Reply::Status(text) => line(out, b'+', text),
        Reply::Error(text) => line(out, b'-', text),
        Reply::Int(n) => line(out, b':', n.to_string().as_bytes()),
        Reply::Nil if resp3 => out.extend_from_slice(b"_\r\n"),
        Reply::Nil => out.extend_from_slice(match shape {
            Shape::NullArray | Shape::Streams | Shape::LastDouble | Shape::KeyScored => b"*-1\r\n",
            _ => b"$-1\r\n",
        }),
        Reply::Bulk(bytes) if resp3 && shape == Shape::Double => line(out, b',', bytes),
        Reply::Bulk(bytes) if resp3 && shape == Shape::Text => {
            head(out, b'=', bytes.len() + 4);
            out.extend_from_slice(b"txt:");
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        Reply::Bulk(bytes) => {
            head(out, b'$', bytes.len());
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        Reply::Array(items) if resp3 => aggregate(out, items, shape),
        Reply::Array(items) => {
            // Where there is no place, there is no pair either.
            let inner = match shape {
                Shape::Places => Shape::NullArray,
                // Where there was an entry, there is no array any more.
                Shape::Streams => Shape::Streams,
                _ => Shape::Plain,
            };
            head(out, b'*', items.len());
            for item in items {
                write(out, item, inner, protocol);
            }
        }
    }
}

/// Appends the reply to a command. `typed`: what scripts answered, as it goes on
/// the wire, the next first; those of a client that speaks RESP2 leave nothing.
pub fn write_reply(
    out: &mut Vec<u8>,
    command: &Command,
    reply: &Reply,
    typed: &mut VecDeque<Vec<u8>>,
    protocol: Protocol,
) {
    let shape = Shape::of(&command.args);
    write_shaped(out, command, reply, shape, typed, protocol);
}

fn write_shaped(
    out: &mut Vec<u8>,
    command: &Command,
    reply: &Reply,
    shape: Shape,
    typed: &mut VecDeque<Vec<u8>>,
    protocol: Protocol,
) {
    let scripted = is_script(command) && !matches!(reply, Reply::Error(_));
    match typed.pop_front_if(|_| scripted) {
        Some(bytes) => out.extend(bytes),
        None => write(out, reply, shape, protocol),
    }
}

/// Appends the reply to `EXEC`: each part has the shape of its command's.
/// `protocol`: what was spoken before; a `HELLO` among them changes it.
pub fn write_all(
    out: &mut Vec<u8>,
    replies: &[Reply],
    queued: &[Command],
    typed: &mut VecDeque<Vec<u8>>,
    mut protocol: Protocol,
) {
    head(out, b'*', replies.len());
    for (at, reply) in replies.iter().enumerate() {
        match queued.get(at) {
            Some(command) => {
                protocol = spoken_after(command, reply).unwrap_or(protocol);
                let shape = Shape::of_queued(&command.args);
                write_shaped(out, command, reply, shape, typed, protocol);
            }
            None => write(out, reply, Shape::Plain, protocol),
        }
    }
}

/// What is spoken from a `HELLO` on, which is answered so already.
fn spoken_after(command: &Command, reply: &Reply) -> Option<Protocol> {
    let greets = command.name().eq_ignore_ascii_case(b"hello");
    if !greets || matches!(reply, Reply::Error(_)) {
        return None;
    }
    match command.args.get(1).map(|version| &**version) {
        Some(b"2") => Some(Protocol::Resp2),
        Some(b"3") => Some(Protocol::Resp3),
        _ => None,
    }
}

/// Whether what is answered is the result of a script.
fn is_script(command: &Command) -> bool {
    const NAMES: [&str; 6] = [
        "eval",
        "eval_ro",
        "evalsha",
        "evalsha_ro",
        "fcall",
        "fcall_ro",
    ];
    let name = command.name();
    NAMES
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// An array in RESP3.
fn aggregate(out: &mut Vec<u8>, items: &[Reply], shape: Shape) {
    const RESP3: Protocol = Protocol::Resp3;
    let plain = |out: &mut Vec<u8>, item: &Reply| write(out, item, Shape::Plain, RESP3);
    match shape {
        Shape::Map | Shape::DeepMap => {
            head(out, b'%', items.len() / 2);
            for pair in items.chunks_exact(2) {
                plain(out, &pair[0]);
                write(out, &pair[1], shape.within(&pair[0]), RESP3);
            }
        }
        Shape::Streams => {
            head(out, b'%', items.len());
            for item in items {
                if let Reply::Array(pair) = item {
                    pair.iter().for_each(|part| plain(out, part));
                }
            }
        }
        Shape::Maps => {
            head(out, b'*', items.len());
            for item in items {
                write(out, item, Shape::DeepMap, RESP3);
            }
        }
        Shape::Pairs | Shape::Scored => {
            head(out, b'*', items.len() / 2);
            let value = if shape == Shape::Scored {
                Shape::Double
            } else {
                Shape::Plain
            };
            for pair in items.chunks_exact(2) {
                head(out, b'*', 2);
                plain(out, &pair[0]);
                write(out, &pair[1], value, RESP3);
            }
        }
        Shape::Doubles | Shape::Places | Shape::Located => {
            let inner = match shape {
                Shape::Doubles => Shape::Double,
                Shape::Places => Shape::Doubles,
                // Of what was found, an array is the place.
                _ => Shape::Places,
            };
            head(out, b'*', items.len());
            for item in items {
                write(out, item, inner, RESP3);
            }
        }
        Shape::LastDouble => {
            head(out, b'*', items.len());
            for (at, item) in items.iter().enumerate() {
                let last = at + 1 == items.len();
                write(
                    out,
                    item,
                    if last { Shape::Double } else { Shape::Plain },
                    RESP3,
                );
            }
        }
        Shape::KeyScored => {
            head(out, b'*', items.len());
            for item in items {
                match item {
                    Reply::Array(pairs) => {
                        head(out, b'*', pairs.len());
                        for pair in pairs {
                            write(out, pair, Shape::LastDouble, RESP3);
                        }
                    }
                    other => plain(out, other),
                }
            }
        }
        Shape::Set
        | Shape::Push
        | Shape::Plain
        | Shape::NullArray
        | Shape::Text
        | Shape::Double => {
            let kind = match shape {
                Shape::Set => b'~',
                Shape::Push => b'>',
                _ => b'*',
            };
            head(out, kind, items.len());
            items.iter().for_each(|item| plain(out, item));
        }
    }
}

fn head(out: &mut Vec<u8>, kind: u8, len: usize) {
    line(out, kind, len.to_string().as_bytes());
}

fn line(out: &mut Vec<u8>, kind: u8, text: &[u8]) {
    out.push(kind);
    // Whatever a text is made of, it must not end the line before its end: the
    // rest of it would be a reply that nobody has given.
    let end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    out.extend(text.iter().map(|byte| if end(byte) { b' ' } else { *byte }));
    out.extend_from_slice(b"\r\n");
}

/// About so many bytes a reply takes on the wire, without writing it.
pub(super) fn weight(reply: &Reply) -> usize {
    const FRAME: usize = 24;
    match reply {
        Reply::Status(text) | Reply::Error(text) | Reply::Bulk(text) => FRAME + text.len(),
        Reply::Int(_) | Reply::Nil => FRAME,
        Reply::Array(items) => FRAME + items.iter().map(weight).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(command: &[&str], reply: &Reply, protocol: Protocol) -> String {
        let rest = &command[1..];
        let command = rest
            .iter()
            .fold(Command::new(command[0]), |c, word| c.arg(word));
        let mut out = Vec::new();
        write(&mut out, reply, Shape::of(&command.args), protocol);
        String::from_utf8(out).unwrap().replace("\r\n", " ")
    }

    fn array(items: &[&str]) -> Reply {
        Reply::Array(items.iter().map(Reply::bulk).collect())
    }

    #[test]
    fn replies_take_the_shape_of_their_command_in_resp3() {
        let pairs = array(&["a", "1.5"]);
        let cases: &[(&[&str], &Reply, &str, &str)] = &[
            (
                &["HGETALL", "h"],
                &pairs,
                "*2 $1 a $3 1.5 ",
                "%1 $1 a $3 1.5 ",
            ),
            (
                &["SMEMBERS", "s"],
                &pairs,
                "*2 $1 a $3 1.5 ",
                "~2 $1 a $3 1.5 ",
            ),
            (
                &["ZRANGE", "z", "0", "-1", "WITHSCORES"],
                &pairs,
                "*2 $1 a $3 1.5 ",
                "*1 *2 $1 a ,1.5 ",
            ),
            (
                &["ZPOPMIN", "z"],
                &pairs,
                "*2 $1 a $3 1.5 ",
                "*2 $1 a ,1.5 ",
            ),
            (
                &["LRANGE", "l", "0", "1"],
                &pairs,
                "*2 $1 a $3 1.5 ",
                "*2 $1 a $3 1.5 ",
            ),
            (&["ZSCORE", "z", "a"], &Reply::bulk("2"), "$1 2 ", ",2 "),
            (&["GET", "k"], &Reply::Nil, "$-1 ", "_ "),
            (
                &["GEOPOS", "g", "a", "none"],
                &Reply::Array(vec![array(&["1", "2"]), Reply::Nil]),
                "*2 *2 $1 1 $1 2 *-1 ",
                "*2 *2 ,1 ,2 _ ",
            ),
            (
                &["GEORADIUS", "g", "1", "1", "5", "km", "WITHCOORD"],
                &Reply::Array(vec![Reply::Array(vec![
                    Reply::bulk("a"),
                    array(&["1", "2"]),
                ])]),
                "*1 *2 $1 a *2 $1 1 $1 2 ",
                "*1 *2 $1 a *2 ,1 ,2 ",
            ),
            (&["BLPOP", "k", "0"], &Reply::Nil, "*-1 ", "_ "),
            (&["INFO"], &Reply::bulk("x"), "$1 x ", "=5 txt:x "),
            (
                &["SUBSCRIBE", "c"],
                &pairs,
                "*2 $1 a $3 1.5 ",
                ">2 $1 a $3 1.5 ",
            ),
        ];
        for (command, reply, resp2, resp3) in cases {
            assert_eq!(wire(command, reply, Protocol::Resp2), *resp2, "{command:?}");
            assert_eq!(wire(command, reply, Protocol::Resp3), *resp3, "{command:?}");
        }
    }

    /// An error or a status that has swallowed another reply stays one line.
    #[test]
    fn no_text_ends_its_line_early() {
        for reply in [
            Reply::error("ERR no 'a\r\n+OK\r\n'"),
            Reply::Status(b"a\n-ERR b"[..].into()),
        ] {
            for protocol in [Protocol::Resp2, Protocol::Resp3] {
                let mut out = Vec::new();
                write(&mut out, &reply, Shape::Plain, protocol);
                let ends = out.iter().filter(|byte| matches!(byte, b'\r' | b'\n'));
                assert_eq!(ends.count(), 2, "{}", out.escape_ascii());
                assert!(out.ends_with(b"\r\n"));
            }
        }
    }

    /// Within and without a transaction, as Redis 7.0.15 has it.
    #[test]
    fn transactions_have_nothing_of_another_kind() {
        let move_on = Command::new("BLMOVE").arg("a").arg("b").arg("LEFT");
        let hello = |version: &str| Command::new("HELLO").arg(version);
        let greeted = array(&["proto", "x"]);
        let queued = [
            move_on.arg("RIGHT").arg("0"),
            Command::new("BLPOP").arg("a").arg("0"),
            hello("3"),
            Command::new("HGETALL").arg("h"),
            hello("2"),
            hello("4"),
        ];
        let replies = [
            Reply::Nil,
            Reply::Nil,
            greeted.clone(),
            array(&[]),
            greeted,
            Reply::error("NOPROTO unsupported protocol version"),
        ];
        let mut out = Vec::new();
        let mut typed = VecDeque::new();
        write_all(&mut out, &replies, &queued, &mut typed, Protocol::Resp2);
        let out = String::from_utf8(out).unwrap().replace("\r\n", " ");
        assert_eq!(
            out,
            "*6 $-1 *-1 %1 $5 proto $1 x %0 *2 $5 proto $1 x -NOPROTO unsupported protocol version "
        );
    }

    #[test]
    fn what_people_read_is_told_apart() {
        let text = Reply::bulk("x");
        for command in [
            &["CLIENT", "LIST"][..],
            &["CLIENT", "INFO"],
            &["LATENCY", "DOCTOR"],
            &["LOLWUT"],
        ] {
            assert_eq!(wire(command, &text, Protocol::Resp3), "=5 txt:x ");
        }
        let user = Reply::Array(vec![Reply::bulk("flags"), array(&["on"])]);
        let command = ["ACL", "GETUSER", "default"];
        assert_eq!(
            wire(&command, &user, Protocol::Resp3),
            "%1 $5 flags ~1 $2 on "
        );
    }

    #[test]
    fn streams_are_maps_of_keys() {
        let reply = Reply::Array(vec![Reply::Array(vec![Reply::bulk("s"), array(&["x"])])]);
        let command = ["XREAD", "STREAMS", "s", "0"];
        assert_eq!(wire(&command, &reply, Protocol::Resp3), "%1 $1 s *1 $1 x ");
        assert_eq!(wire(&command, &Reply::Nil, Protocol::Resp2), "*-1 ");
        let deleted = Reply::Array(vec![Reply::bulk("1-1"), Reply::Nil]);
        let stream = Reply::Array(vec![Reply::bulk("s"), Reply::Array(vec![deleted])]);
        let reply = Reply::Array(vec![stream]);
        assert_eq!(
            wire(&command, &reply, Protocol::Resp2),
            "*1 *2 $1 s *1 *2 $3 1-1 *-1 "
        );
    }
}
