//! `FUNCTION`, `FCALL`.

use sluice_core::redis::{Bytes, Reply};

use super::scripts::{reach, split_keys};
use super::shebang::read_only;
use super::{Arg, Fail, Out, glob};
use crate::redis::functions::{self, Flags, Library};
use crate::redis::lua::{Engine, Job, sha1_hex};
use crate::redis::{Server, SessionId};

pub(super) fn fcall(server: &mut Server, engine: &Engine, _: SessionId, args: &[Arg]) -> Out {
    call(server, engine, args, false)
}

pub(super) fn fcall_ro(server: &mut Server, engine: &Engine, _: SessionId, args: &[Arg]) -> Out {
    call(server, engine, args, true)
}

fn call(server: &mut Server, engine: &Engine, args: &[Arg], called_read_only: bool) -> Out {
    let libraries = server.state.libraries.clone();
    let found = libraries.function(&args[1]);
    let (name, function, library) = found.ok_or(Fail::fixed("ERR Function not found"))?;
    let count = args[2].int();
    let count = count.map_err(|_| Fail::fixed("ERR Bad number of keys provided"))?;
    let (keys, argv) = split_keys(count, &args[3..])?;
    let short = server.state.limits.short;
    let flags = function.flags;
    let read_only = read_only(Some(flags), called_read_only, short)?;
    let job = Job {
        sha: sha1_hex(&library.code),
        function: Some(name),
        keys,
        argv,
        read_only,
        may_grow: !short || flags.has(Flags::ALLOW_OOM),
        reach: reach(server, flags, true, keys)?,
    };
    let (_, body) = functions::head(&library.code).map_err(refused)?;
    engine.call(&mut server.state, body, &job)
}

fn refused(text: Vec<u8>) -> Fail {
    Fail::new([&b"ERR "[..], &text].concat())
}

pub(super) fn function(server: &mut Server, engine: &Engine, _: SessionId, args: &[Arg]) -> Out {
    let word = &args[1];
    let rest = &args[2..];
    // Name, least and most arguments after it.
    const ALL: [(&str, usize, usize); 9] = [
        ("load", 1, usize::MAX),
        ("delete", 1, 1),
        ("list", 0, usize::MAX),
        ("stats", 0, 0),
        ("flush", 0, usize::MAX),
        ("kill", 0, 0),
        ("dump", 0, 0),
        ("restore", 1, usize::MAX),
        ("help", 0, 0),
    ];
    let Some((name, least, most)) = ALL.into_iter().find(|(name, ..)| word.is(name)) else {
        return Err(Fail::subcommand(word, "FUNCTION"));
    };
    if !(least..=most).contains(&rest.len()) {
        return Err(Fail::arity(&format!("function|{name}")));
    }
    match name {
        "load" => load(server, engine, rest),
        "delete" => {
            let known = server.state.libraries.remove(&rest[0]);
            known
                .then(|| server.state.replies.ok())
                .ok_or(Fail::fixed("ERR Library not found"))
        }
        "list" => list(server, rest),
        "stats" => stats(server),
        "flush" => flush(server, word, rest),
        "kill" => server.kill_script(false),
        "help" => Ok(help(server)),
        _ => Err(Fail::new(format!(
            "ERR FUNCTION {} is not simulated: load the code instead",
            name.to_ascii_uppercase()
        ))),
    }
}

/// `[REPLACE] code`.
fn load(server: &mut Server, engine: &Engine, args: &[Arg]) -> Out {
    let (code, options) = args
        .split_last()
        .ok_or_else(|| Fail::arity("function|load"))?;
    if let Some(unknown) = options.iter().find(|option| !option.is("REPLACE")) {
        return Err(Fail::new(
            [b"ERR Unknown option given: ", &**unknown].concat(),
        ));
    }
    let (name, body) = functions::head(code).map_err(refused)?;
    let libraries = &server.state.libraries;
    if libraries.get(&name).is_some() && options.is_empty() {
        return Err(Fail::new(
            [b"ERR Library '", &name[..], b"' already exists"].concat(),
        ));
    }
    let registered = engine.load_library(&mut server.state, sha1_hex(code), body)?;
    if registered.is_empty() {
        return Err(Fail::fixed("ERR No functions registered"));
    }
    let mut others = server.state.libraries.clone();
    others.remove(&name);
    for function in registered.keys() {
        if others.function(function).is_some() {
            let text = [b"ERR Function ", &function[..], b" already exists"].concat();
            return Err(Fail::new(text));
        }
    }
    let library = Library {
        code: code.shared(),
        functions: registered,
    };
    let name = Bytes::from(name);
    server.state.libraries.insert(name.clone(), library);
    Ok(Reply::Bulk(name))
}

/// `[LIBRARYNAME pattern] [WITHCODE]`.
fn list(server: &Server, args: &[Arg]) -> Out {
    let (mut pattern, mut with_code) = (None, false);
    let mut rest = args.iter();
    while let Some(word) = rest.next() {
        if !with_code && word.is("WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && word.is("LIBRARYNAME") {
            let missing = Fail::fixed("ERR library name argument was not given");
            pattern = Some(rest.next().ok_or(missing)?.to_ascii_lowercase());
        } else {
            return Err(Fail::new([b"ERR Unknown argument ", &**word].concat()));
        }
    }
    let wanted = |name: &Bytes| {
        let pattern = pattern.as_ref();
        pattern.is_none_or(|pattern| glob(pattern, &name.to_ascii_lowercase()))
    };
    let all = server.state.libraries.iter();
    let all = all.filter(|(name, _)| wanted(name)).map(|(name, library)| {
        let mut about = vec![
            Reply::bulk("library_name"),
            Reply::Bulk(name.clone()),
            Reply::bulk("engine"),
            Reply::bulk("LUA"),
            Reply::bulk("functions"),
            Reply::Array(functions_of(library)),
        ];
        if with_code {
            about.extend([
                Reply::bulk("library_code"),
                Reply::Bulk(library.code.clone()),
            ]);
        }
        Reply::Array(about)
    });
    Ok(Reply::Array(all.collect()))
}

fn functions_of(library: &Library) -> Vec<Reply> {
    let all = library.functions.iter().map(|(name, function)| {
        let flags = function.flags.names();
        let flags = flags.map(|flag| Reply::Status(Bytes::from(flag.as_bytes())));
        Reply::Array(vec![
            Reply::bulk("name"),
            Reply::Bulk(name.clone()),
            Reply::bulk("description"),
            super::bulk(function.description.as_ref()),
            Reply::bulk("flags"),
            Reply::Array(flags.collect()),
        ])
    });
    all.collect()
}

fn stats(server: &Server) -> Out {
    let libraries = &server.state.libraries;
    let functions: usize = libraries
        .iter()
        .map(|(_, library)| library.functions.len())
        .sum();
    let number = |n: usize| Reply::Int(n as i64);
    let lua = vec![
        Reply::bulk("libraries_count"),
        number(libraries.iter().count()),
        Reply::bulk("functions_count"),
        number(functions),
    ];
    Ok(Reply::Array(vec![
        Reply::bulk("running_script"),
        server.running_script()?,
        Reply::bulk("engines"),
        Reply::Array(vec![Reply::bulk("LUA"), Reply::Array(lua)]),
    ]))
}

fn flush(server: &mut Server, word: &Arg, args: &[Arg]) -> Out {
    match args {
        [] => {}
        [mode] if mode.is("SYNC") || mode.is("ASYNC") => {}
        [_] => {
            return Err(Fail::fixed(
                "ERR FUNCTION FLUSH only supports SYNC|ASYNC option",
            ));
        }
        _ => {
            let head = b"ERR unknown subcommand or wrong number of arguments for '";
            let text = [&head[..], &**word, b"'. Try FUNCTION HELP."].concat();
            return Err(Fail::new(text));
        }
    }
    server.state.libraries = functions::Libraries::default();
    Ok(server.state.replies.ok())
}

fn help(server: &Server) -> Reply {
    let about = !server.state.version.short_help();
    let lines = HELP
        .lines()
        .filter(|line| about || !line.contains("description"));
    let lines = lines.map(|line| Reply::Status(Bytes::from(line.as_bytes())));
    Reply::Array(lines.collect())
}

const HELP: &str = "\
FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:
LOAD [REPLACE] <FUNCTION CODE>
    Create a new library with the given library name and code.
DELETE <LIBRARY NAME>
    Delete the given library.
LIST [LIBRARYNAME PATTERN] [WITHCODE]
    Return general information on all the libraries:
    * Library name
    * The engine used to run the Library
    * Library description
    * Functions list
    * Library code (if WITHCODE is given)
    It also possible to get only function that matches a pattern using LIBRARYNAME argument.
STATS
    Return information about the current function running:
    * Function name
    * Command used to run the function
    * Duration in MS that the function is running
    If no function is running, return nil
    In addition, returns a list of available engines.
KILL
    Kill the current running function.
FLUSH [ASYNC|SYNC]
    Delete all the libraries.
    When called without the optional mode argument, the behavior is determined by the
    lazyfree-lazy-user-flush configuration directive. Valid modes are:
    * ASYNC: Asynchronously flush the libraries.
    * SYNC: Synchronously flush the libraries.
HELP
    Print this help.";

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    const CODE: &str = "#!lua name=shop
        local function price(key) return redis.call('GET', key) end
        redis.register_function('Price', function(keys, args) return {price(keys[1]), args[1]} end)
        redis.register_function{
            function_name = 'look', callback = function(keys) return redis.call('DEL', keys[1]) end,
            flags = {'no-writes'}, description = 'reads',
        }";

    #[test]
    fn libraries_are_loaded_listed_called_and_deleted() {
        let mut bench = Bench::new();
        assert_eq!(bench.run_as(1, &["FUNCTION", "LOAD", CODE]), "\"shop\"");
        assert_eq!(
            bench.run_as(1, &["FUNCTION", "LOAD", CODE]),
            "-ERR Library \\'shop\\' already exists"
        );
        bench.run("SET apple 3");
        assert_eq!(bench.run("FCALL price 1 apple x"), r#"["3", "x"]"#);
        assert_eq!(
            bench.run("FCALL look 1 apple"),
            "-ERR Write commands are not allowed from read-only scripts. script: look, on @user_function:5."
        );
        assert_eq!(
            bench.run("FCALL_RO Price 1 apple"),
            "-ERR Can not execute a script with write flag using *_ro command."
        );
        assert_eq!(
            bench.run("FUNCTION LIST LIBRARYNAME S*"),
            concat!(
                r#"[["library_name", "shop", "engine", "LUA", "functions", ["#,
                r#"["name", "Price", "description", nil, "flags", []], "#,
                r#"["name", "look", "description", "reads", "flags", [+no-writes]]]]]"#
            )
        );
        assert_eq!(bench.run("FUNCTION DELETE shop"), "+OK");
        assert_eq!(bench.run("FCALL price 1 apple"), "-ERR Function not found");
        assert_eq!(bench.run("FUNCTION DELETE shop"), "-ERR Library not found");
    }

    #[test]
    fn functions_outlive_a_restart_and_the_cache_of_scripts_does_not() {
        let mut bench = Bench::new();
        bench.run_as(1, &["FUNCTION", "LOAD", CODE]);
        let sha = bench.run_as(1, &["SCRIPT", "LOAD", "return 1"]);
        let before = bench.server.digest();
        bench.server.restart(true);
        assert_ne!(bench.server.digest(), before);
        bench.run("SET apple 3");
        assert_eq!(bench.run("FCALL price 1 apple"), r#"["3"]"#);
        assert!(
            bench
                .run(&format!("EVALSHA {} 0", sha.trim_matches('"')))
                .starts_with("-NOSCRIPT")
        );
        bench.server.restart(false);
        assert_eq!(bench.run("FCALL price 1 apple"), "-ERR Function not found");
    }

    #[test]
    fn a_library_that_fails_leaves_everything_as_it_was() {
        let mut bench = Bench::new();
        bench.run_as(1, &["FUNCTION", "LOAD", CODE]);
        let worse = "#!lua name=shop\nredis.register_function('x', function() end) error('no')";
        assert_eq!(
            bench.run_as(1, &["FUNCTION", "LOAD", "REPLACE", worse]),
            "-ERR Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable \\'error\\'"
        );
        bench.run("SET apple 3");
        assert_eq!(bench.run("FCALL price 1 apple y"), r#"["3", "y"]"#);
        let other = "#!lua name=other\nredis.register_function('look', function() end)";
        assert_eq!(
            bench.run_as(1, &["FUNCTION", "LOAD", other]),
            "-ERR Function look already exists"
        );
    }

    /// Otherwise a server would not be a value.
    #[test]
    fn nothing_goes_from_one_call_to_the_next() {
        let mut bench = Bench::new();
        let code = "#!lua name=l\nlocal n = 0\nredis.register_function('count', function() n = n + 1 return n end)";
        bench.run_as(1, &["FUNCTION", "LOAD", code]);
        assert_eq!(bench.run("FCALL count 0"), ":1");
        assert_eq!(bench.run("FCALL count 0"), ":1");
    }
}
