//! `EVAL`, `EVALSHA`, `SCRIPT`.

use std::rc::Rc;

use sluice_core::redis::{Bytes, Reply};

use super::shebang::Script;
use super::{Arg, Fail, Out};
use crate::redis::cluster::Reach;
use crate::redis::lua::{Engine, Job, sha1_hex};
use crate::redis::{Server, SessionId, Sha};

const NO_SCRIPT: Fail = Fail::fixed("NOSCRIPT No matching script. Please use EVAL.");

pub(super) fn eval(server: &mut Server, engine: &Engine, _: SessionId, args: &[Arg]) -> Out {
    source(server, engine, args, false)
}

pub(super) fn eval_ro(server: &mut Server, engine: &Engine, _: SessionId, args: &[Arg]) -> Out {
    source(server, engine, args, true)
}

pub(super) fn evalsha(server: &mut Server, engine: &Engine, _: SessionId, args: &[Arg]) -> Out {
    known(server, engine, args, false)
}

pub(super) fn evalsha_ro(server: &mut Server, engine: &Engine, _: SessionId, args: &[Arg]) -> Out {
    known(server, engine, args, true)
}

/// Splits `numkeys key … arg …`.
fn split<'a, 'b>(args: &'a [Arg<'b>]) -> Result<(&'a [Arg<'b>], &'a [Arg<'b>]), Fail> {
    let count = args[2].int()?;
    let rest = &args[3..];
    if count > rest.len() as i64 {
        return Err(Fail::fixed(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    let count =
        usize::try_from(count).map_err(|_| Fail::fixed("ERR Number of keys can't be negative"))?;
    Ok(rest.split_at(count))
}

fn source(server: &mut Server, engine: &Engine, args: &[Arg], read_only: bool) -> Out {
    let (keys, argv) = split(args)?;
    let sha = sha1_hex(&args[1]);
    let told = Script::read(&args[1])?;
    let script = engine.compile(&sha, told.body)?;
    remember(server, sha, &args[1]);
    let short = server.state.limits.short;
    let read_only = told.read_only(read_only, short)?;
    let job = Job {
        sha,
        keys,
        argv,
        read_only,
        may_grow: !short || told.allow_oom,
        reach: reach(server, &told, keys)?,
    };
    engine.run(&mut server.state, script, &job)
}

fn known(server: &mut Server, engine: &Engine, args: &[Arg], read_only: bool) -> Out {
    let (keys, argv) = split(args)?;
    let sha = sha_of(&args[1]).ok_or(NO_SCRIPT)?;
    let source = server.state.scripts.get(&sha).ok_or(NO_SCRIPT)?;
    let told = Script::read(source)?;
    let script = engine.compile(&sha, told.body)?;
    let short = server.state.limits.short;
    let read_only = told.read_only(read_only, short)?;
    let job = Job {
        sha,
        keys,
        argv,
        read_only,
        may_grow: !short || told.allow_oom,
        reach: reach(server, &told, keys)?,
    };
    engine.run(&mut server.state, script, &job)
}

/// Where a script runs.
fn reach(server: &Server, told: &Script, keys: &[Arg]) -> Result<Reach, Fail> {
    let nodes = server.state.nodes;
    if nodes > 0 && told.no_cluster {
        return Err(Fail::fixed(
            "ERR Can not run script on cluster, 'no-cluster' flag is set.",
        ));
    }
    Ok(Reach::new(nodes, keys, told.declared && !told.crosses))
}

fn sha_of(text: &[u8]) -> Option<Sha> {
    let mut sha = Sha::try_from(text).ok()?;
    sha.make_ascii_lowercase();
    Some(sha)
}

fn remember(server: &mut Server, sha: Sha, source: &Arg) {
    if !server.state.scripts.contains_key(&sha) {
        Rc::make_mut(&mut server.state.scripts).insert(sha, source.shared());
    }
}

pub(super) fn script(server: &mut Server, engine: &Engine, _: SessionId, args: &[Arg]) -> Out {
    let word = &args[1];
    if word.is("LOAD") && args.len() == 3 {
        let sha = sha1_hex(&args[2]);
        engine.compile(&sha, Script::read(&args[2])?.body)?;
        remember(server, sha, &args[2]);
        return Ok(Reply::Bulk(Bytes::from(&sha[..])));
    }
    if word.is("EXISTS") && args.len() >= 3 {
        let known = |text: &Arg| {
            let sha = sha_of(text);
            sha.is_some_and(|sha| server.state.scripts.contains_key(&sha))
        };
        let flags = args[2..]
            .iter()
            .map(|text| Reply::Int(i64::from(known(text))));
        return Ok(Reply::Array(flags.collect()));
    }
    if word.is("FLUSH") && args.len() <= 3 {
        if args
            .get(2)
            .is_some_and(|mode| !mode.is("SYNC") && !mode.is("ASYNC"))
        {
            return Err(Fail::fixed(
                "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
            ));
        }
        server.flush_scripts();
        return Ok(server.state.replies.ok());
    }
    if word.is("KILL") && args.len() == 2 {
        return Err(Fail::fixed("NOTBUSY No scripts in execution right now."));
    }
    for (name, arity) in [("load", 3), ("exists", 3), ("kill", 2)] {
        if word.is(name) && args.len() != arity {
            return Err(Fail::arity(&format!("script|{name}")));
        }
    }
    Err(Fail::subcommand(word, "SCRIPT"))
}
