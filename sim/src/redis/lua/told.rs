//! What is said of the sandbox's own functions when they are called wrongly. The
//! answers are those of Redis 7.0.15.

use crate::redis::tests::Bench;
use crate::redis::{Server, Version};

fn check(script: &str, answer: &str) {
    let mut bench = Bench::new();
    bench.server = Server::with_version(Version::V7_0);
    let reply = bench.eval(script).replace("\\'", "'");
    let end = reply.find(" script: ").unwrap_or(reply.len());
    assert_eq!(&reply[..end], answer, "{script}");
}

#[test]
fn bad_arguments_name_the_line_and_the_function() {
    for (call, why) in [
        ("rawget(nil, 1)", "#1 to 'rawget' (table expected, got nil)"),
        ("rawget({})", "#2 to 'rawget' (value expected)"),
        (
            "rawset(5, 1, 1)",
            "#1 to 'rawset' (table expected, got number)",
        ),
        ("rawset(redis)", "#2 to 'rawset' (value expected)"),
        (
            "setmetatable(5, {})",
            "#1 to 'setmetatable' (table expected, got number)",
        ),
        (
            "setmetatable({})",
            "#2 to 'setmetatable' (nil or table expected)",
        ),
        (
            "setmetatable(redis, 5)",
            "#2 to 'setmetatable' (nil or table expected)",
        ),
        ("getmetatable()", "#1 to 'getmetatable' (value expected)"),
        ("tostring()", "#1 to 'tostring' (value expected)"),
        (
            "loadstring()",
            "#1 to 'loadstring' (string expected, got no value)",
        ),
        (
            "loadstring('x', {})",
            "#2 to 'loadstring' (string expected, got table)",
        ),
        (
            "load('return 1')",
            "#1 to 'load' (function expected, got string)",
        ),
        ("coroutine.resume(5)", "#1 to 'resume' (coroutine expected)"),
        ("pairs(5)", "#1 to 'pairs' (table expected, got number)"),
        ("pairs()", "#1 to 'pairs' (table expected, got no value)"),
        ("next(5)", "#1 to 'next' (table expected, got number)"),
        ("xpcall(1)", "#2 to 'xpcall' (value expected)"),
        (
            "collectgarbage('foo')",
            "#1 to 'collectgarbage' (invalid option 'foo')",
        ),
        (
            "table.insert(_G, 'x', 1)",
            "#2 to 'insert' (number expected, got string)",
        ),
        ("math.random(2^40)", "#1 to 'random' (interval is empty)"),
        (
            "math.random({})",
            "#1 to 'random' (number expected, got table)",
        ),
        (
            "math.randomseed()",
            "#1 to 'randomseed' (number expected, got no value)",
        ),
    ] {
        let told = format!("-ERR user_script:1: bad argument {why}");
        check(call, &told);
        check(&format!("return {call}"), &told);
        check(&format!("local x = {call} return x"), &told);
    }
    check(
        "local f = rawget local x = f(1, 2)",
        "-ERR user_script:1: bad argument #1 to 'f' (table expected, got number)",
    );
    check(
        "return {pcall(setmetatable, {})}",
        "[nil, \"bad argument #2 to '?' (nil or table expected)\"]",
    );
}

#[test]
fn what_cannot_be_written_says_so() {
    let told = "-ERR Attempt to modify a readonly table";
    for script in [
        "rawset(_G, 'x', 1)",
        "setmetatable(_G, {})",
        "setmetatable(getmetatable(''), {})",
        "table.insert(_G, 1)",
    ] {
        check(script, told);
    }
    let told = "-ERR user_script:1: Attempt to modify a readonly table";
    for script in [
        "x = 1",
        "redis.call = 1",
        "getmetatable(_G).__index = nil",
        "local _, t = pairs(_G) t.x = 1",
    ] {
        check(script, told);
    }
    check(
        "setmetatable(setmetatable({}, {__metatable = 1}), {})",
        "-ERR user_script:1: cannot change a protected metatable",
    );
    check("table.sort(redis) return table.remove(_G)", "nil");
    check(
        "local n = 0 for k in pairs(redis) do n = n + 1 end return n > 9",
        ":1",
    );
}

#[test]
fn whatever_is_raised_is_told() {
    for (script, answer) in [
        ("error()", "-ERR nil"),
        ("error(nil)", "-ERR nil"),
        ("error(true)", "-ERR true"),
        ("error(12)", "-ERR user_script:1: 12"),
        ("error(cjson.null)", "-ERR userdata: (nil)"),
        ("return {pcall(error, cjson.null)}", "[nil, nil]"),
        ("error({err = 'My error'})", "-My error"),
        ("return {pcall(error)}", "[nil]"),
        ("return {pcall(error, {err = 5})}", "[nil, :5]"),
        ("return select('#', pcall(error, {}))", ":3"),
        (
            "return {pcall()}",
            "[nil, \"attempt to call a boolean value\"]",
        ),
        (
            "return {xpcall(function() error('a') end, function(e) return e .. 'x' end)}",
            "[nil, \"user_script:1: ax\"]",
        ),
        (
            "return {xpcall(1, 2)}",
            "[nil, \"error in error handling\"]",
        ),
        (
            "return {xpcall(cjson.decode, print == nil)}",
            "-ERR user_script:1: Script attempted to access nonexistent global variable 'print'",
        ),
        (
            "return {select(2, load(function() error('zz') end))}",
            "[-ERR user_script:1: zz]",
        ),
        (
            "redis.acl_check_cmd()",
            "-ERR Please specify at least one argument for this redis lib call",
        ),
        (
            "redis.acl_check_cmd('acl', 'nosuch')",
            "-ERR Invalid command passed to redis.acl_check_cmd()",
        ),
    ] {
        check(script, answer);
    }
    let place = |script: &str, place: &str| {
        let reply = Bench::new().eval(script);
        assert!(reply.ends_with(place), "{script}: {reply}");
    };
    place("table.foreach({1}, error)", ", on =[C]:-1.");
    place("\n error()", ", on @user_script:2.");
}

/// Redis has counted it when it came to the command.
#[test]
fn misuse_is_marked_as_counted() {
    let fields = "local t = redis.pcall(ARGS) local s = '' for k, v in pairs(t) do s = s .. k .. '=' .. tostring(v) .. ';' end return s";
    for (args, text, counted) in [
        ("'nosuch'", "Unknown Redis command called from script", true),
        (
            "'get'",
            "Wrong number of args calling Redis command from script",
            true,
        ),
        (
            "",
            "Please specify at least one argument for this redis lib call",
            false,
        ),
        (
            "'get', {}",
            "Lua redis lib command arguments must be strings or integers",
            false,
        ),
    ] {
        let mark = if counted {
            "ignore_error_stats_update=true;"
        } else {
            ""
        };
        check(
            &fields.replace("ARGS", args),
            &format!("\"{mark}err=ERR {text};\""),
        );
    }
}
