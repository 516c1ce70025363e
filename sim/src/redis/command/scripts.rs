//! `EVAL`, `EVALSHA`, `SCRIPT`.

use std::rc::Rc;

use sluice_core::redis::{Bytes, Command, Reply};

use super::shebang::{self, Script};
use super::{Arg, Fail, Out};
use crate::redis::cluster::Reach;
use crate::redis::functions::Flags;
use crate::redis::lua::{self, Engine, Job};
use crate::redis::{Server, SessionId, Sha, Version};

fn no_script(server: &Server) -> Fail {
    if server.state.version.is_valkey() {
        Fail::fixed("NOSCRIPT No matching script.")
    } else {
        Fail::fixed("NOSCRIPT No matching script. Please use EVAL.")
    }
}

pub(super) fn eval(server: &mut Server, engine: &Engine, id: SessionId, args: &[Arg]) -> Out {
    source(server, engine, id, args, false)
}

pub(super) fn eval_ro(server: &mut Server, engine: &Engine, id: SessionId, args: &[Arg]) -> Out {
    source(server, engine, id, args, true)
}

pub(super) fn evalsha(server: &mut Server, engine: &Engine, id: SessionId, args: &[Arg]) -> Out {
    known(server, engine, id, args, false)
}

pub(super) fn evalsha_ro(server: &mut Server, engine: &Engine, id: SessionId, args: &[Arg]) -> Out {
    known(server, engine, id, args, true)
}

impl Server {
    /// Whether this command may change something, as far as is known before it is
    /// executed: a script does, unless it says that it does not.
    pub(in crate::redis) fn may_write(&self, id: SessionId, command: &Command) -> bool {
        let Some(spec) = super::lookup(command.name()) else {
            return false;
        };
        let Some(what) = command.args.get(1) else {
            let queue = || self.state.sessions.get(&id)?.queue.as_ref();
            let writes = |command: &Command| self.may_write(id, command);
            return spec.name == "exec" && queue().is_some_and(|queue| queue.iter().any(writes));
        };
        let promises = |text: &[u8]| {
            let told = Script::read(text, self.state.version.shebangs());
            told.is_ok_and(|told| told.declared && told.flags.has(Flags::NO_WRITES))
        };
        match spec.name {
            "eval" => !promises(what),
            "evalsha" => {
                let known = sha_of(what).and_then(|sha| self.state.scripts.get(&sha));
                !known.is_some_and(|text| promises(text))
            }
            "fcall" => {
                let found = self.state.libraries.function(what);
                !found.is_some_and(|(_, function, _)| function.flags.has(Flags::NO_WRITES))
            }
            _ => spec.write || REPLICATED.contains(&spec.name),
        }
    }
}

/// What writes nothing, and is not for read-only scripts all the same: others are
/// to hear of it.
pub(in crate::redis) const REPLICATED: [&str; 3] = ["pfcount", "publish", "spublish"];

/// Splits `numkeys key … arg …`.
fn split<'a, 'b>(args: &'a [Arg<'b>]) -> Result<(&'a [Arg<'b>], &'a [Arg<'b>]), Fail> {
    split_keys(args[2].int()?, &args[3..])
}

/// So many of these are keys.
pub(super) fn split_keys<'a, 'b>(
    count: i64,
    rest: &'a [Arg<'b>],
) -> Result<(&'a [Arg<'b>], &'a [Arg<'b>]), Fail> {
    if count > rest.len() as i64 {
        return Err(Fail::fixed(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    let count =
        usize::try_from(count).map_err(|_| Fail::fixed("ERR Number of keys can't be negative"))?;
    Ok(rest.split_at(count))
}

fn source(
    server: &mut Server,
    engine: &Engine,
    id: SessionId,
    args: &[Arg],
    read_only: bool,
) -> Out {
    let parts = split(args)?;
    let sha = engine.sha1(&args[1]);
    let told = Script::read(&args[1], server.state.version.shebangs())?;
    let script = engine.compile(&sha, told.body)?;
    remember(server, sha, &args[1]);
    let about = (told.declared, told.flags);
    run(server, engine, id, (sha, about, script), parts, read_only)
}

fn known(
    server: &mut Server,
    engine: &Engine,
    id: SessionId,
    args: &[Arg],
    read_only: bool,
) -> Out {
    let parts = split(args)?;
    let sha = sha_of(&args[1]).ok_or_else(|| no_script(server))?;
    let source = server.state.scripts.get(&sha);
    let source = source.ok_or_else(|| no_script(server))?;
    let told = Script::read(source, server.state.version.shebangs())?;
    let script = engine.compile(&sha, told.body)?;
    let about = (told.declared, told.flags);
    run(server, engine, id, (sha, about, script), parts, read_only)
}

/// A script: its digest, whether it has a first line and what that says, and
/// itself.
fn run(
    server: &mut Server,
    engine: &Engine,
    id: SessionId,
    (sha, about, script): (Sha, (bool, Flags), lua::Script),
    (keys, argv): (&[Arg], &[Arg]),
    called_read_only: bool,
) -> Out {
    let (declared, flags) = about;
    server.state.refuse_script(declared.then_some(flags))?;
    let short = server.state.limits.short;
    let job = Job {
        sha,
        function: None,
        keys,
        argv,
        read_only: shebang::read_only(declared.then_some(flags), called_read_only, short)?,
        may_grow: !short || flags.has(Flags::ALLOW_OOM),
        reach: reach(server, flags, declared, keys)?,
        typed: server.state.types_scripts(id),
    };
    engine.run(&mut server.state, script, &job)
}

/// Where a script runs; `declared`: it has flags at all.
pub(super) fn reach(
    server: &Server,
    flags: Flags,
    declared: bool,
    keys: &[Arg],
) -> Result<Reach, Fail> {
    let nodes = server.state.nodes;
    if nodes > 0 && flags.has(Flags::NO_CLUSTER) {
        return Err(Fail::fixed(
            "ERR Can not run script on cluster, 'no-cluster' flag is set.",
        ));
    }
    let crosses = flags.has(Flags::CROSSES);
    Ok(Reach::new(nodes, keys, declared && !crosses))
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
        let sha = engine.sha1(&args[2]);
        let told = Script::read(&args[2], server.state.version.shebangs())?;
        engine.compile(&sha, told.body)?;
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
    if word.is("FLUSH") {
        let wrong = args[2..]
            .iter()
            .any(|mode| !mode.is("SYNC") && !mode.is("ASYNC"));
        if wrong || args.len() > 3 {
            return Err(Fail::fixed(
                "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
            ));
        }
        server.flush_scripts();
        return Ok(server.state.replies.ok());
    }
    if word.is("KILL") && args.len() == 2 {
        return server.kill_script(true);
    }
    for (name, arity) in [("load", 3), ("exists", 3), ("kill", 2)] {
        if word.is(name) && args.len() != arity {
            return Err(Fail::arity(&format!("script|{name}")));
        }
    }
    Err(Fail::subcommand(word, "SCRIPT"))
}

/// `SHUTDOWN`: the process ends. Who serves it on a network is told so
/// ([`Server::is_ended`]); elsewhere whoever looks after it starts it again,
/// without data, for nothing is kept on disk here, and the answer, which Redis
/// does not give, is the only way to say that it is done.
pub(super) fn shutdown(server: &mut Server, _: &Engine, id: SessionId, args: &[Arg]) -> Out {
    if server.in_transaction(id) {
        server.edit_session(id, |session| session.broken = true);
        let text = "ERR Command not allowed inside a transaction";
        return Err(server.not_inside(id, "shutdown", text));
    }
    const WORDS: [&str; 5] = ["NOSAVE", "SAVE", "NOW", "FORCE", "ABORT"];
    let said = |word: &str| args[1..].iter().any(|arg| arg.is(word));
    let old = server.state.version == Version::V6_2;
    let known = if old { &WORDS[..2] } else { &WORDS[..] };
    let all_known = args[1..]
        .iter()
        .all(|arg| known.iter().any(|word| arg.is(word)));
    let both = said("NOSAVE") && said("SAVE");
    let abort = said("ABORT");
    let with_others = abort && !args[1..].iter().all(|arg| arg.is("ABORT"));
    if !all_known || both || with_others || old && args.len() > 2 {
        return Err(Fail::SYNTAX);
    }
    if abort {
        return Err(Fail::fixed("ERR No shutdown in progress."));
    }
    if !server.end() {
        server.restart(false);
    }
    Ok(server.state.replies.ok())
}
