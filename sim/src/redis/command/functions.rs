//! `FUNCTION`, `FCALL`.

use sluice_core::redis::{Bytes, Reply};

use super::scripts::{reach, split_keys};
use super::shebang::read_only;
use super::{Arg, Fail, Out, glob};
use crate::redis::functions::{self, Flags, Libraries, Library, Locals};
use crate::redis::lua::{Engine, Job, sha1_hex};
use crate::redis::{Server, SessionId, rdb};

pub(super) fn fcall(server: &mut Server, engine: &Engine, id: SessionId, args: &[Arg]) -> Out {
    call(server, engine, id, args, false)
}

pub(super) fn fcall_ro(server: &mut Server, engine: &Engine, id: SessionId, args: &[Arg]) -> Out {
    call(server, engine, id, args, true)
}

fn call(
    server: &mut Server,
    engine: &Engine,
    id: SessionId,
    args: &[Arg],
    called_read_only: bool,
) -> Out {
    let libraries = server.state.libraries.clone();
    let found = libraries.function(&args[1]);
    let (name, function, (library_name, library)) =
        found.ok_or(Fail::fixed("ERR Function not found"))?;
    let count = args[2].int();
    let count = count.map_err(|_| Fail::fixed("ERR Bad number of keys provided"))?;
    let (keys, argv) = split_keys(count, &args[3..])?;
    let short = server.state.limits.short;
    let flags = function.flags;
    server.state.refuse_script(Some(flags))?;
    let read_only = read_only(Some(flags), called_read_only, short)?;
    let job = Job {
        sha: sha1_hex(&library.code),
        function: Some(name),
        keys,
        argv,
        read_only,
        may_grow: !short || flags.has(Flags::ALLOW_OOM),
        reach: reach(server, flags, true, keys)?,
        typed: server.state.types_scripts(id),
    };
    let (_, body) = functions::head(&library.code).map_err(refused)?;
    if let Locals::Lost(why) = &library.locals {
        let head: &[u8] =
            b"ERR the simulated server cannot keep what this library has put into its variables: ";
        return Err(Fail::new([head, why].concat()));
    }
    let called = (&**library_name, &library.locals);
    engine.call(&mut server.state, called, body, &job)
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
        "dump" => {
            let codes = server.state.libraries.iter().map(|(_, one)| &one.code);
            let dumped = rdb::dump_libraries(codes, server.state.version);
            Ok(Reply::bulk(dumped))
        }
        "restore" => restore(server, engine, word, rest),
        _ => Ok(help(server)),
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
    let known = server.state.libraries.clone();
    let (name, library) = create(server, engine, &known, code.shared(), !options.is_empty())?;
    server.state.libraries.insert(name.clone(), library);
    Ok(Reply::Bulk(name))
}

/// A new library beside those that are known.
fn create(
    server: &mut Server,
    engine: &Engine,
    known: &Libraries,
    code: Bytes,
    replace: bool,
) -> Result<(Bytes, Library), Fail> {
    let (name, body) = functions::head(&code).map_err(refused)?;
    if known.get(&name).is_some() && !replace {
        return Err(Fail::new(
            [b"ERR Library '", &name[..], b"' already exists"].concat(),
        ));
    }
    let functions = engine.load_library(&mut server.state, sha1_hex(&code), body)?;
    if functions.is_empty() {
        return Err(Fail::fixed("ERR No functions registered"));
    }
    let mut others = known.clone();
    others.remove(&name);
    if let Some(twice) = others.first_known(functions.keys()) {
        return Err(function_exists(twice));
    }
    Ok((
        Bytes::from(name),
        Library {
            code,
            functions,
            locals: Locals::AsLoaded,
        },
    ))
}

fn function_exists(name: &[u8]) -> Fail {
    Fail::new([b"ERR Function ", name, b" already exists"].concat())
}

/// `payload [FLUSH | APPEND | REPLACE]`: all libraries that were dumped, or none.
fn restore(server: &mut Server, engine: &Engine, word: &Arg, args: &[Arg]) -> Out {
    let (flush, replace) = match args {
        [_] => (false, false),
        [_, policy] if policy.is("APPEND") => (false, false),
        [_, policy] if policy.is("REPLACE") => (false, true),
        [_, policy] if policy.is("FLUSH") => (true, false),
        [_, _] => {
            return Err(Fail::fixed(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
        _ => return Err(wrong_use(word)),
    };
    let version = server.state.version;
    if !rdb::is_whole(&args[0], version) {
        return Err(Fail::fixed(
            "ERR DUMP payload version or checksum are wrong",
        ));
    }
    let codes = rdb::restore_libraries(&args[0], version);
    let codes = codes.map_err(|why| Fail::new(format!("ERR {why}")))?;
    let mut restored = Libraries::default();
    for code in codes {
        let (name, library) = create(server, engine, &restored, code, false)?;
        restored.insert(name, library);
    }
    if flush {
        server.state.libraries = restored;
        return Ok(server.state.replies.ok());
    }
    let mut joined = server.state.libraries.clone();
    for (name, _) in restored.iter() {
        if joined.remove(name) && !replace {
            let text = [b"ERR Library ", &name[..], b" already exists"].concat();
            return Err(Fail::new(text));
        }
    }
    for (name, library) in restored.iter() {
        if let Some(twice) = joined.first_known(library.functions.keys()) {
            return Err(function_exists(twice));
        }
        joined.insert(name.clone(), library.clone());
    }
    server.state.libraries = joined;
    Ok(server.state.replies.ok())
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
        _ => return Err(wrong_use(word)),
    }
    server.state.libraries = Libraries::default();
    Ok(server.state.replies.ok())
}

/// The error for more arguments than a subcommand takes.
fn wrong_use(word: &Arg) -> Fail {
    let head = b"ERR unknown subcommand or wrong number of arguments for '";
    Fail::new([&head[..], &**word, b"'. Try FUNCTION HELP."].concat())
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
DUMP
    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command
RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]
    Restore the libraries represented by the given payload, it is possible to give a restore policy to
    control how to handle existing libraries (default APPEND):
    * FLUSH: delete all existing libraries.
    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.
    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old
      libraries with the new libraries (notice that even on this option there is a chance of failure
      in case of functions name collision with another library).
HELP
    Prints this help.";

#[cfg(test)]
mod tests {
    use sluice_core::redis::Command;

    use crate::redis::tests::Bench;
    use crate::redis::{Server, SessionId, Version};

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

    fn payload(bench: &mut Bench) -> Vec<u8> {
        let dump = Command::new("FUNCTION").arg("DUMP");
        let (engine, now_us) = (&bench.engine, bench.now_us);
        let reply = (bench.server).execute(engine, now_us, SessionId(1), &dump);
        reply.as_bytes().expect("a payload").to_vec()
    }

    fn restore(bench: &mut Bench, payload: &[u8], policy: &str) -> String {
        let command = Command::new("FUNCTION").arg("RESTORE").arg(payload);
        let command = command.arg(policy);
        let (engine, now_us) = (&bench.engine, bench.now_us);
        let reply = (bench.server).execute(engine, now_us, SessionId(1), &command);
        format!("{reply:?}")
    }

    /// The bytes are those that Redis 7.0.15 answers.
    #[test]
    fn libraries_are_dumped_and_restored() {
        let mut bench = Bench::new();
        bench.server = Server::with_version(Version::V7_0);
        let code = "#!lua name=l\nredis.register_function('f', function(keys, args) return redis.call('GET', keys[1]) end)\nredis.register_function('g', function(keys, args) return redis.call('SET', keys[1], args[1]) end)";
        bench.run_as(1, &["FUNCTION", "LOAD", code]);
        let dumped = payload(&mut bench);
        let redis = b"\xf5\xc3@t@\xc7\x1f#!lua name=l\nredis.register_func\ttion('f', \xe0\x00\r\x11keys, args) return \x06@8\x08call('GET -@$\x08[1]) end)\xe0\x11X\x00g *\xe0\x1fX\x00S\xe0\x03X\x80\x80\xa0a\x01d)\n\x00\x92@}\x7f\xd7\xbe\xd1`";
        assert_eq!(dumped, redis);
        let exists = "-ERR Library l already exists";
        assert_eq!(restore(&mut bench, &dumped, "append"), exists);
        assert_eq!(restore(&mut bench, &dumped, "REPLACE"), "+OK");
        bench.run_as(1, &["FUNCTION", "LOAD", CODE]);
        assert_eq!(restore(&mut bench, &dumped, "FLUSH"), "+OK");
        assert_eq!(payload(&mut bench), redis);
        bench.run("SET k v");
        assert_eq!(bench.run("FCALL f 1 k"), "\"v\"");
        bench.run("FUNCTION DELETE l");
        let other = code.replace("name=l", "name=m").replace("'f'", "'x'");
        bench.run_as(1, &["FUNCTION", "LOAD", &other]);
        let exists = "-ERR Function g already exists";
        assert_eq!(restore(&mut bench, &dumped, "REPLACE"), exists);
        let wrong = "-ERR DUMP payload version or checksum are wrong";
        assert_eq!(restore(&mut bench, &dumped[1..], "FLUSH"), wrong);
        let policy =
            "-ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.";
        assert_eq!(restore(&mut bench, &dumped, "x"), policy);
        let library = r#"[["library_name", "m""#;
        assert!(bench.run("FUNCTION LIST").starts_with(library), "as before");
    }
}
