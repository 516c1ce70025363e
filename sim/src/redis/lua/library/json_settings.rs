//! What a script can set of `cjson`.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value};

use super::Args;

/// What becomes of infinities, and of what is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Invalid {
    Refused,
    Written,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::redis::lua) struct Settings {
    pub(super) sparse_convert: bool,
    pub(super) sparse_ratio: i64,
    pub(super) sparse_safe: i64,
    /// Deepest nesting.
    pub(super) encode_depth: usize,
    pub(super) decode_depth: usize,
    /// Digits of a number.
    pub(super) precision: usize,
    pub(super) encode_invalid: Invalid,
    pub(super) decode_invalid: bool,
    /// No difference to a script.
    keep_buffer: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth: 1000,
            decode_depth: 1000,
            precision: 14,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
            keep_buffer: true,
        }
    }
}

/// Those of the script that is running.
pub(in crate::redis::lua) type Shared = Rc<Cell<Settings>>;

/// An integer within bounds, if one is given.
fn integer(args: &Args, at: usize, most: i64, least: i64) -> mlua::Result<Option<i64>> {
    match args.value(at) {
        None | Some(Value::Nil) => Ok(None),
        Some(_) => {
            let n = args.number(at)? as i64;
            let text = format!("expected integer between {least} and {most}");
            let inside = (least..=most).contains(&n);
            inside.then_some(Some(n)).ok_or_else(|| args.bad(1, &text))
        }
    }
}

/// The number of one of these words, if one is given; a boolean is `off` or `on`.
fn option(args: &Args, at: usize, words: &[&str]) -> mlua::Result<Option<usize>> {
    match args.value(at) {
        None | Some(Value::Nil) => Ok(None),
        Some(Value::Boolean(on)) => Ok(Some(usize::from(*on))),
        Some(_) => {
            let text = args.string(at)?;
            let found = words
                .iter()
                .position(|word| *text.as_bytes() == *word.as_bytes());
            found.map(Some).ok_or_else(|| {
                let said = String::from_utf8_lossy(&text.as_bytes()).into_owned();
                args.bad(at, &format!("invalid option '{said}'"))
            })
        }
    }
}

const INT_MAX: i64 = i32::MAX as i64;
const SWITCH: [&str; 2] = ["off", "on"];

type Answer = mlua::Result<Vec<Value>>;

fn sparse(args: &Args, set: &mut Settings) -> Answer {
    if let Some(on) = option(args, 1, &SWITCH)? {
        set.sparse_convert = on == 1;
    }
    set.sparse_ratio = integer(args, 2, INT_MAX, 0)?.unwrap_or(set.sparse_ratio);
    set.sparse_safe = integer(args, 3, INT_MAX, 0)?.unwrap_or(set.sparse_safe);
    Ok(vec![
        Value::Boolean(set.sparse_convert),
        Value::Integer(set.sparse_ratio),
        Value::Integer(set.sparse_safe),
    ])
}

fn size(args: &Args, most: i64, size: &mut usize) -> Answer {
    if let Some(n) = integer(args, 1, most, 1)? {
        *size = n as usize;
    }
    Ok(vec![Value::Integer(*size as i64)])
}

fn switch(args: &Args, on: &mut bool) -> Answer {
    if let Some(word) = option(args, 1, &SWITCH)? {
        *on = word == 1;
    }
    Ok(vec![Value::Boolean(*on)])
}

fn invalid(args: &Args, set: &mut Settings) -> Answer {
    match option(args, 1, &["off", "on", "null"])? {
        Some(0) => set.encode_invalid = Invalid::Refused,
        Some(1) => set.encode_invalid = Invalid::Written,
        Some(_) => set.encode_invalid = Invalid::Null,
        None => {}
    }
    Ok(vec![match set.encode_invalid {
        Invalid::Refused => Value::Boolean(false),
        Invalid::Written => Value::Boolean(true),
        Invalid::Null => Value::String(args.lua.create_string("null")?),
    }])
}

/// Adds the functions that set and tell.
pub(super) fn fill(lua: &Lua, table: &Table, settings: &Shared) -> mlua::Result<()> {
    type Set = fn(&Args, &mut Settings) -> Answer;
    let all: [(&str, usize, Set); 7] = [
        ("encode_sparse_array", 3, sparse),
        ("encode_max_depth", 1, |args, set| {
            size(args, INT_MAX, &mut set.encode_depth)
        }),
        ("decode_max_depth", 1, |args, set| {
            size(args, INT_MAX, &mut set.decode_depth)
        }),
        ("encode_number_precision", 1, |args, set| {
            size(args, 14, &mut set.precision)
        }),
        ("encode_keep_buffer", 1, |args, set| {
            switch(args, &mut set.keep_buffer)
        }),
        ("encode_invalid_numbers", 1, invalid),
        ("decode_invalid_numbers", 1, |args, set| {
            switch(args, &mut set.decode_invalid)
        }),
    ];
    for (name, most, edit) in all {
        let settings = settings.clone();
        let function = lua.create_function(move |lua, values: MultiValue| {
            let args = Args::new(lua, values);
            if args.len() > most {
                return Err(args.bad(most + 1, "found too many arguments"));
            }
            let mut set = settings.get();
            let answer = edit(&args, &mut set);
            settings.set(set);
            answer.map(MultiValue::from_vec)
        })?;
        table.set(name, function)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    /// The answers are those of Redis 7.0.15.
    #[test]
    fn each_setting_does_what_it_does_in_redis() {
        for (script, answer) in [
            ("return cjson.encode_max_depth()", ":1000"),
            ("return {cjson.encode_sparse_array(true)}", "[:1, :2, :10]"),
            (
                "cjson.encode_sparse_array(true) return cjson.encode({[1]=1,[100]=2})",
                r#""{\"1\":1,\"100\":2}""#,
            ),
            (
                "cjson.encode_invalid_numbers('on') return cjson.encode({1/0,-1/0,0/0})",
                r#""[inf,-inf,nan]""#,
            ),
            (
                "cjson.encode_invalid_numbers('null') return cjson.encode({1/0})",
                r#""[null]""#,
            ),
            (
                "cjson.encode_number_precision(3) return cjson.encode(3.14159)",
                r#""3.14""#,
            ),
            ("return tostring(cjson.decode('[0x10]')[1])", r#""16""#),
            (
                "return cjson.encode_max_depth(0)",
                r"-ERR user_script:1: bad argument #1 to \'encode_max_depth\' (expected integer between 1 and 2147483647)",
            ),
            (
                "return cjson.encode_max_depth(1, 2)",
                r"-ERR user_script:1: bad argument #2 to \'encode_max_depth\' (found too many arguments)",
            ),
            (
                "return cjson.encode_invalid_numbers('x')",
                r"-ERR user_script:1: bad argument #1 to \'encode_invalid_numbers\' (invalid option \'x\')",
            ),
            (
                "cjson.decode_max_depth(1) return cjson.decode('[[1]]')",
                "-ERR user_script:1: Found too many nested data structures (2) at character 2",
            ),
        ] {
            assert_eq!(eval(&mut Bench::new(), script), answer, "{script}");
        }
        for (text, why) in [
            ("[0x10]", "number"),
            ("[012]", "number"),
            ("[-nan]", "number"),
            ("[+1]", "token"),
            ("[inf]", "token"),
        ] {
            let script =
                format!("cjson.decode_invalid_numbers(false) return cjson.decode('{text}')");
            let told = format!(
                "-ERR user_script:1: Expected value but found invalid {why} at character 2"
            );
            assert_eq!(eval(&mut Bench::new(), &script), told, "{text}");
        }
    }

    /// What a script sets holds for all that come after it, until the scripts are
    /// flushed; functions have settings of their own, until the server restarts.
    #[test]
    fn what_is_set_stays() {
        let mut bench = Bench::new();
        let fresh = bench.server.digest();
        let depth = "return cjson.encode_max_depth()";
        let library = "#!lua name=l\nredis.register_function('depth', function(_, args) return cjson.encode_max_depth(args[1]) end)";
        bench.run_as(1, &["FUNCTION", "LOAD", library]);
        assert_eq!(bench.run("FCALL depth 0"), ":1000");
        let default = bench.server.digest();
        assert_ne!(fresh, default);
        eval(&mut bench, "cjson.encode_max_depth(1)");
        assert_ne!(bench.server.digest(), default, "it is part of the state");
        let fork = bench.server.clone();
        assert_eq!(eval(&mut bench, depth), ":1");
        let deep = "-ERR user_script:1: Cannot serialise, excessive nesting (2)";
        assert_eq!(eval(&mut bench, "return cjson.encode({{1}})"), deep);
        assert_eq!(bench.run("FCALL depth 0 77"), ":77");
        assert_eq!(eval(&mut bench, depth), ":1");
        bench.run("SCRIPT FLUSH");
        assert_eq!(eval(&mut bench, depth), ":1000");
        bench.run("FUNCTION FLUSH");
        bench.run_as(1, &["FUNCTION", "LOAD", library]);
        assert_eq!(bench.run("FCALL depth 0"), ":77");
        bench.server.restart(true);
        assert_eq!(bench.run("FCALL depth 0"), ":1000");
        bench.server = fork;
        assert_eq!(bench.run("FCALL depth 0"), ":1000");
        assert_eq!(eval(&mut bench, depth), ":1");
    }

    /// The reply, without the place at the end of an error.
    fn eval(bench: &mut Bench, script: &str) -> String {
        let reply = bench.eval(script);
        let end = reply.find(" script: ").unwrap_or(reply.len());
        reply[..end].to_owned()
    }
}
