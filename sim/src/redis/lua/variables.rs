//! What a library of functions keeps in its own variables from one call to the
//! next: in Redis they live as long as the library. How it is done is told in
//! `variables.lua`.

use mlua::{Function, LuaString, Table};
use sluice_core::redis::Bytes;

use super::raw::{self, Interpreter};
use crate::redis::functions::Locals;

pub(super) struct Variables {
    find: Function,
    save: Function,
    restore: Function,
}

/// The variables of a library that was loaded for a call.
pub(super) struct Opened {
    functions: Table,
    /// What they hold in a library that nobody has called.
    fresh: Bytes,
}

impl Variables {
    /// `made` is what the sandbox returned.
    pub(super) fn new<H>(interpreter: &Interpreter<H>, made: &Table) -> mlua::Result<Self> {
        let lua = &interpreter.lua;
        let native = lua.create_table()?;
        native.set("getupvalue", raw::getupvalue(lua)?)?;
        native.set("metatable", raw::metatable(lua)?)?;
        native.set("setupvalue", raw::setupvalue(lua)?)?;
        let field = |name: &str| made.get::<Table>(name);
        let parts: Table = lua
            .load(include_str!("variables.lua"))
            .set_name("=variables")
            .call((
                native,
                field("running")?,
                field("loading")?,
                field("real_of")?,
                field("callbacks")?,
            ))?;
        Ok(Self {
            find: parts.get("find")?,
            save: parts.get("save")?,
            restore: parts.get("restore")?,
        })
    }

    /// Puts what was kept into the library that has just been loaded.
    pub(super) fn open(&self, kept: &Locals) -> mlua::Result<Opened> {
        let functions: Table = self.find.call(())?;
        let fresh = self.read(&functions)?;
        if let Locals::Changed(text) = kept {
            self.restore
                .call::<()>((&functions, mlua::BString::from(&**text)))?;
        }
        Ok(Opened { functions, fresh })
    }

    /// What it holds now.
    pub(super) fn close(&self, opened: &Opened) -> Locals {
        match self.read(&opened.functions) {
            Ok(now) if now == opened.fresh => Locals::AsLoaded,
            Ok(now) => Locals::Changed(now),
            Err(error) => Locals::Lost(why(&error)),
        }
    }

    fn read(&self, functions: &Table) -> mlua::Result<Bytes> {
        let text: LuaString = self.save.call(functions)?;
        Ok(Bytes::from(&*text.as_bytes()))
    }
}

/// The first line of an error.
pub(super) fn why(error: &mlua::Error) -> Bytes {
    let text = error.to_string();
    let text = text.strip_prefix("runtime error: ").unwrap_or(&text);
    Bytes::from(text.lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use crate::redis::tests::Bench;

    /// Every kind of thing that a library may keep, in variables that functions
    /// share. The answers are those of Redis 7.0.15.
    const CODE: &str = "#!lua name=keeps
        local count, last, flag = 0, nil, false
        local seen, alias = {}, nil
        local object = { n = 0 }
        function object.add(by) object.n = object.n + by return object.n end
        local function up(x) return x + 1 end
        local function down(x) return x - 1 end
        local step = up
        local call
        redis.register_function('count', function(_, args)
            count = step(count)
            last = args[1]
            flag = not flag
            return {count, last, tostring(flag)}
        end)
        redis.register_function('turn', function() step = step == up and down or up end)
        redis.register_function('look', function() return {count, tostring(last), tostring(flag)} end)
        redis.register_function('fails', function() count = count + 100 error('on purpose') end)
        redis.register_function('object', function(_, args) return object.add(tonumber(args[1])) end)
        redis.register_function('see', function(_, args)
            alias = alias or seen
            alias[#alias + 1] = args[1]
            seen.self, seen.half, seen.null, seen.sub = seen, 0.1, cjson.null, string.sub
            return table.concat(seen, ',')
        end)
        redis.register_function('seen', function()
            return {#seen, tostring(seen.self == alias), tostring(seen.half), tostring(seen.null == cjson.null), seen.sub and seen.sub('abc', 2) or 'no'}
        end)
        redis.register_function('inherit', function()
            setmetatable(object, {__index = function() return 'made here' end})
        end)
        redis.register_function('meta', function()
            seen = setmetatable({}, {__index = {far = 'inherited'}})
        end)
        redis.register_function('locks', function()
            seen = setmetatable({}, {__metatable = false, __index = {far = 'locked in'}})
        end)
        redis.register_function('holes', function()
            alias = alias or {{1, nil, 3}, {nil, nil, 3}, getmetatable('')}
            return {#alias[1], #alias[2], tostring(alias[3] == getmetatable(''))}
        end)
        redis.register_function('far', function() return seen.far or 'none' end)
        redis.register_function('caches', function(keys)
            call = call or redis.call
            return call('INCR', keys[1])
        end)";

    fn loaded() -> Bench {
        let mut bench = Bench::new();
        assert_eq!(bench.run_as(1, &["FUNCTION", "LOAD", CODE]), "\"keeps\"");
        bench
    }

    #[test]
    fn variables_live_as_long_as_the_library() {
        let mut bench = loaded();
        let fresh = bench.server.digest();
        for (line, reply) in [
            ("FCALL look 0", r#"[:0, "nil", "false"]"#),
            ("FCALL count 0 a", r#"[:1, "a", "true"]"#),
            ("FCALL count 0 b", r#"[:2, "b", "false"]"#),
            ("FCALL turn 0", "nil"),
            ("FCALL count 0 c", r#"[:1, "c", "true"]"#),
            ("FCALL turn 0", "nil"),
            ("FCALL count 0 d", r#"[:2, "d", "false"]"#),
            ("FCALL object 0 5", ":5"),
            ("FCALL object 0 2", ":7"),
            ("FCALL seen 0", r#"[:0, "true", "nil", "false", "no"]"#),
            ("FCALL see 0 x", r#""x""#),
            ("FCALL see 0 y", r#""x,y""#),
            ("FCALL seen 0", r#"[:2, "true", "0.1", "true", "bc"]"#),
            ("FCALL caches 1 k", ":1"),
            ("FCALL caches 1 k", ":2"),
            ("FCALL meta 0", "nil"),
            ("FCALL far 0", r#""inherited""#),
            ("FCALL locks 0", "nil"),
            ("FCALL far 0", r#""locked in""#),
            ("FCALL far 0", r#""locked in""#),
            (
                "FCALL_RO far 0",
                "-ERR Can not execute a script with write flag using *_ro command.",
            ),
        ] {
            assert_eq!(bench.run(line), reply, "{line}");
        }
        assert_ne!(bench.server.digest(), fresh, "they are part of the state");
        let mut holes = loaded();
        for _ in 0..3 {
            assert_eq!(holes.run("FCALL holes 0"), r#"[:3, :3, "true"]"#);
        }
        let failed = bench.run("FCALL fails 0");
        assert!(failed.contains("on purpose"), "{failed}");
        assert_eq!(bench.run("FCALL look 0"), r#"[:102, "d", "false"]"#);
        let fork = bench.server.clone();
        bench.run("FCALL count 0 e");
        bench.server = fork;
        assert_eq!(bench.run("FCALL count 0 f"), r#"[:103, "f", "true"]"#);
        bench.run_as(1, &["FUNCTION", "LOAD", "REPLACE", CODE]);
        assert_eq!(bench.run("FCALL look 0"), r#"[:0, "nil", "false"]"#);
        bench.run("FCALL count 0 a");
        bench.server.restart(true);
        assert_eq!(bench.run("FCALL look 0"), r#"[:0, "nil", "false"]"#);
    }

    /// With an engine that remembers, too.
    #[test]
    fn a_remembered_call_changes_them_as_well() {
        let mut bench = loaded();
        bench.engine = crate::redis::Engine::remembering();
        let fresh = bench.server.clone();
        for _ in 0..2 {
            bench.server = fresh.clone();
            assert_eq!(bench.run("FCALL count 0 a"), r#"[:1, "a", "true"]"#);
            assert_eq!(bench.run("FCALL count 0 a"), r#"[:2, "a", "false"]"#);
        }
    }

    /// Nothing is forgotten in silence.
    #[test]
    fn what_cannot_be_kept_is_said() {
        let mut bench = loaded();
        assert_eq!(bench.run("FCALL inherit 0"), "nil");
        assert_eq!(
            bench.run("FCALL look 0"),
            "-ERR the simulated server cannot keep what this library has put into its variables: a function that was made while it ran"
        );
    }
}
