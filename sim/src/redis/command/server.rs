//! The server itself, and the connection.

use sluice_core::redis::{Bytes, Reply};

use super::{Arg, Fail, Out};
use crate::redis::lua::Engine;
use crate::redis::{Server, SessionId, State};

pub(super) fn ping(_: &mut State, args: &[Arg]) -> Out {
    match args {
        [_] => Ok(Reply::Status(Bytes::from(&b"PONG"[..]))),
        [_, text] => Ok(Reply::Bulk(text.shared())),
        _ => Err(Fail::arity("ping")),
    }
}

/// The version; what Redis draws besides, it draws by chance.
pub(super) fn lolwut(state: &mut State, args: &[Arg]) -> Out {
    let mut number = 0;
    if let [_, word, version, ..] = args
        && word.is("VERSION")
    {
        number = version.int()?;
    }
    let (name, version) = match state.version.valkey() {
        Some(version) => ("Valkey", version),
        None => ("Redis", state.version.text()),
    };
    let art = match number {
        5 => "\nGeorg Nees - schotter, plotter on paper, 1968. ",
        6 => {
            "\nDedicated to the 8 bit game developers of past and present.\nOriginal 8 bit image from Plaguemon by hikikomori. "
        }
        _ => "",
    };
    Ok(Reply::bulk(format!("{art}{name} ver. {version}\n")))
}

pub(super) fn echo(_: &mut State, args: &[Arg]) -> Out {
    Ok(Reply::Bulk(args[1].shared()))
}

pub(super) fn time(state: &mut State, _: &[Arg]) -> Out {
    let (seconds, micros) = (state.now_us / 1_000_000, state.now_us % 1_000_000);
    Ok(Reply::Array(vec![
        Reply::bulk(seconds.to_string()),
        Reply::bulk(micros.to_string()),
    ]))
}

pub(super) fn mode(state: &State) -> &'static str {
    if state.nodes > 0 {
        "cluster"
    } else {
        "standalone"
    }
}

pub(super) fn role(server: &mut Server, _: &Engine, _: SessionId, _: &[Arg]) -> Out {
    Ok(Reply::Array(match &server.state.master {
        None => vec![
            Reply::bulk("master"),
            Reply::Int(0),
            Reply::Array(Vec::new()),
        ],
        Some(master) => vec![
            Reply::bulk("slave"),
            Reply::Bulk(master.host.clone()),
            Reply::Int(master.port.into()),
            Reply::bulk("connect"),
            Reply::Int(-1),
        ],
    }))
}

pub(super) fn replicaof(server: &mut Server, _: &Engine, _: SessionId, args: &[Arg]) -> Out {
    if server.state.nodes > 0 {
        return Err(Fail::fixed("ERR REPLICAOF not allowed in cluster mode."));
    }
    Ok(match server.follow(&args[1], &args[2])? {
        true => server.state.replies.ok(),
        false => Reply::Status(Bytes::from(
            &b"OK Already connected to specified master"[..],
        )),
    })
}

pub(super) fn quit(server: &mut Server, _: &Engine, id: SessionId, _: &[Arg]) -> Out {
    server.disconnect(id);
    Ok(server.state.replies.ok())
}

pub(super) fn reset(server: &mut Server, _: &Engine, id: SessionId, _: &[Arg]) -> Out {
    server.reset(id);
    server.state.select(0);
    Ok(Reply::Status(Bytes::from(&b"RESET"[..])))
}

pub(super) fn hello(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    let mut resp3 = server.speaks_resp3(id);
    if let Some(version) = args.get(1) {
        let version = version
            .int()
            .map_err(|_| Fail::fixed("ERR Protocol version is not an integer or out of range"))?;
        resp3 = match version {
            2 => false,
            3 => true,
            _ => return Err(Fail::fixed("NOPROTO unsupported protocol version")),
        };
    }
    let mut rest = args.get(2..).unwrap_or_default();
    while let [word, after @ ..] = rest {
        if word.is("SETNAME") && !after.is_empty() {
            super::client::set_name(server, id, &after[0])?;
            rest = &after[1..];
        } else if word.is("AUTH") && after.len() >= 2 {
            server.admit(id, &after[0], &after[1])?;
            rest = &after[2..];
        } else {
            return Err(Fail::new(
                [b"ERR Syntax error in HELLO option '", &**word, b"'"].concat(),
            ));
        }
    }
    if server.is_stranger(id) {
        return Err(Fail::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    server.edit_session(id, |session| session.resp3 = resp3);
    let version = server.state.version.text();
    let role = match &server.state.master {
        None => "master",
        Some(_) => "replica",
    };
    let pairs = [
        ("server", Reply::bulk("redis")),
        ("version", Reply::bulk(version)),
        ("proto", Reply::Int(if resp3 { 3 } else { 2 })),
        ("id", Reply::Int(id.0 as i64)),
        ("mode", Reply::bulk(mode(&server.state))),
        ("role", Reply::bulk(role)),
        ("modules", Reply::Array(Vec::new())),
    ];
    let flat = pairs
        .into_iter()
        .flat_map(|(name, value)| [Reply::bulk(name), value]);
    Ok(Reply::Array(flat.collect()))
}
