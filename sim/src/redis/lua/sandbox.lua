-- Redis's sandbox, built once per interpreter.
--
-- Redis patches its Lua so that a table can be read-only. Stock 5.1 cannot, so
-- what a script sees of `_G` and of each library is an empty stand-in whose
-- metatable reads through to the real one and refuses writes. The functions
-- that would look past a metatable (rawset, rawget, next, pairs,
-- setmetatable, getmetatable) know the stand-ins.
--
-- Takes a table of native functions, returns a table: the stand-in for `_G`
-- (`global`) and the real globals (`real`); the stand-in that libraries of
-- functions see (`outer`), which `load` switches between loading and running
-- (`loading`, `running`); their functions by name (`callbacks`); the stand-ins
-- (`real_of`); and `adapt`, which makes all of it what a version offers.
local native = ...

local error, getmetatable, next, pairs, rawequal, rawget, rawset, select, setfenv, setmetatable, tostring, type, unpack =
    error, getmetatable, next, pairs, rawequal, rawget, rawset, select, setfenv, setmetatable, tostring, type, unpack
local loadstring, load, sub = loadstring, load, string.sub
local resume, create, status, wrap = coroutine.resume, coroutine.create, coroutine.status, coroutine.wrap
local translate = native.translate

local real_of = {} -- stand-in -> real table
local shown = {} -- metatable -> what scripts see in place of it
local READONLY = "Attempt to modify a readonly table"

local function protect(real, missing)
    local stand_in = {}
    real_of[stand_in] = real
    if missing then
        local meta = { __index = missing }
        shown[meta] = protect(meta)
        setmetatable(real, meta)
    end
    return setmetatable(stand_in, {
        __index = real,
        __newindex = function() error(READONLY, 2) end,
    })
end

-- Errors of native functions are userdata until a script could look at them.
local function resumed(ok, ...)
    if ok then return true, ... end
    local e = ...
    if type(e) == "userdata" then
        local killed
        e, killed = translate(e)
        if killed then error(killed, 0) end
    end
    return false, e
end

local G = {
    _VERSION = _VERSION,
    assert = assert, error = error, gcinfo = function() return 0 end, ipairs = ipairs,
    rawequal = rawequal, select = select, tonumber = tonumber, type = type, unpack = unpack,
}

local front = native.front
G.collectgarbage = front("collectgarbage")
G.getmetatable = front("getmetatable", real_of, shown)
G.next = front("next", real_of, next)
G.pairs = front("pairs", real_of, next, G.next)
G.rawget = front("rawget", real_of, rawget)
G.rawset = front("rawset", real_of, rawset)
G.setmetatable = front("setmetatable", real_of, setmetatable)
G.xpcall = front("xpcall", translate)
local pcall_of_texts, pcall_of_tables = front("pcall", translate, false), front("pcall", translate, true)

-- Addresses differ from run to run, so objects are numbered instead.
G.tostring = front("tostring", function(v)
    return type(v) .. ": " .. native.name_of(v)
end, tostring)

local global

-- There are no chunks but texts: what looks like another is not taken for one.
local function as_text(text)
    if sub(text, 1, 1) == "\27" then return " " .. text end
    return text
end

local function made(f, e)
    if f then return setfenv(f, global) end
    return nil, select(2, resumed(false, e))
end

G.loadstring = front("loadstring", function(text, name)
    return made(loadstring(as_text(text), name or text))
end)

G.load = front("load", function(f, name)
    local begun = false
    return made(load(function()
        if begun then return f() end
        begun = true
        local text = f()
        if type(text) == "string" then text = as_text(text) end
        return text
    end, name or "=(load)"))
end)

local function copy(from, names)
    local to = {}
    for name in string.gmatch(names, "%S+") do to[name] = from[name] end
    return to
end

G.string = protect(copy(string, "byte char dump find format gfind gmatch gsub len lower match rep reverse sub upper"))
local table_real = copy(table, "concat foreach foreachi getn insert maxn remove setn sort")
table_real.insert = front("insert", real_of, table.insert) -- writes past metatables
G.table = protect(table_real)
local math_real = copy(math, "abs acos asin atan2 atan ceil cos cosh deg exp floor fmod frexp huge ldexp log10 log max min mod modf pi pow rad sin sinh sqrt tan tanh")
math_real.random, math_real.randomseed = native.random, native.randomseed
G.math = protect(math_real)
G.coroutine = protect({
    create = create, status = status, yield = coroutine.yield, running = coroutine.running,
    resume = front("resume", function(...) return resumed(resume(...)) end),
    wrap = wrap,
})
local string_meta = getmetatable("")
-- Methods on strings find the library, not a script's idea of it.
string_meta.__index = real_of[G.string]
shown[string_meta] = protect(string_meta)

for name, library in pairs(native.libraries) do G[name] = protect(library) end

local redis = native.redis
native.redis_acl = redis.acl_check_cmd
redis.breakpoint = function() return false end
redis.debug = function() end
redis.replicate_commands = function() return true end
redis.LOG_DEBUG, redis.LOG_VERBOSE, redis.LOG_NOTICE, redis.LOG_WARNING = 0, 1, 2, 3
redis.REPL_NONE, redis.REPL_AOF, redis.REPL_SLAVE, redis.REPL_REPLICA, redis.REPL_ALL = 0, 1, 2, 2, 3
G.redis = protect(redis)

local function missing(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end

local function all_of(t)
    local to = {}
    for k, v in pairs(t) do to[k] = v end
    return to
end

-- What functions see when they run: no KEYS, no ARGV, and no more of `redis`
-- than calls and their like.
local F = all_of(G)
local inner_redis = all_of(redis)
inner_redis.breakpoint, inner_redis.debug, inner_redis.replicate_commands = nil, nil, nil
F.redis = protect(inner_redis)
local outer_missing = { __index = missing }
shown[outer_missing] = protect(outer_missing)
setmetatable(F, outer_missing)

-- What their library sees when it is loaded.
local loading_redis = { register_function = native.register, log = redis.log }
for k, v in pairs(redis) do
    if sub(k, 1, 4) == "LOG_" then loading_redis[k] = v end
end
local L = { redis = protect(loading_redis, missing) }
setmetatable(L, { __index = missing })

local outer = {}
local outer_meta = { __index = F, __newindex = function() error(READONLY, 2) end }
real_of[outer] = F
setmetatable(outer, outer_meta)
F._G = outer

global = protect(G, missing)
G._G = global

local callbacks = {}

local function load_library(loading)
    if not loading then
        outer_meta.__index = F
        return
    end
    outer_meta.__index = L
    for name in next, callbacks do callbacks[name] = nil end
end

-- `about` has the version's texts and numbers.
local function adapt(about)
    local old = about.old
    G.pcall = old and pcall_of_texts or pcall_of_tables
    F.pcall = G.pcall
    for _, api in ipairs({ redis, inner_redis, loading_redis }) do
        api.REDIS_VERSION, api.REDIS_VERSION_NUM = about.redis, about.number
        api.VALKEY_VERSION, api.VALKEY_VERSION_NUM = about.valkey, about.valkey_number
        api.SERVER_NAME = about.valkey and "valkey" or nil
        if old then api.REDIS_VERSION, api.REDIS_VERSION_NUM = nil, nil end
    end
    -- Nothing tells the time inside a script.
    local os = about.os and protect({ clock = function() return 0 end }) or nil
    G.os, F.os = os, os
    G.server, F.server = about.valkey and G.redis or nil, about.valkey and F.redis or nil
    L.server = about.valkey and L.redis or nil
    redis.acl_check_cmd = not old and native.redis_acl or nil
    inner_redis.acl_check_cmd = redis.acl_check_cmd
end

return {
    global = global, real = G, outer = outer, load = load_library, callbacks = callbacks, adapt = adapt,
    loading = L, running = F, real_of = real_of,
}
