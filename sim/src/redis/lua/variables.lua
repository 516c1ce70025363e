-- What a library of functions keeps in its own variables, as a text.
--
-- A local of the library's body is an upvalue of its functions, and lives as
-- long as they do: a counter, a cache, a setting. A server that is a value
-- cannot hold Lua's closures, so the body runs anew for each call, what was kept
-- is put into the variables of the functions that it makes, and afterwards is
-- read out of them again.
--
-- The text goes through the functions that the body made, in an order that is
-- always the same, and says for each of its variables what it holds: data,
-- another of these functions, or a name of what every library finds. Tables keep
-- who they are (two variables can hold one), and their metatables. Not, what was
-- made while a function ran and is more than data: that is an error.
--
-- Takes native functions, the globals of running (F) and of loading (L)
-- functions, which of them stand in for others, and the functions by name;
-- returns `find`, `save` and `restore`.
local native, F, L, real_of, callbacks = ...

local error, ipairs, next, setmetatable, tonumber, type, unpack =
    error, ipairs, next, setmetatable, tonumber, type, unpack
local find_text, format, sub = string.find, string.format, string.sub
local concat, sort = table.concat, table.sort
local getupvalue, setupvalue, metatable = native.getupvalue, native.setupvalue, native.metatable

-- What every library finds, by its name, and the other way round.
local by_name, name_of = {}, {}

local function give_names()
    by_name, name_of = {}, {}
    local function give(name, v)
        local kind = type(v)
        if (kind == "function" or kind == "table" or kind == "userdata") and not name_of[v] then
            by_name[name], name_of[v] = v, name
        end
    end
    for root, globals in ipairs({ F, L }) do
        for name, v in next, globals do
            give(root .. name, v)
            for field, inner in next, real_of[v] or {} do give(root .. name .. "." .. field, inner) end
        end
    end
    give("of texts", F.getmetatable(""))
    give("of globals", F.getmetatable(F._G))
end

-- No longer array has holes that matter: where a table with holes ends depends on
-- the room that it was given.
local ROOM = 64
local NONE = {}

-- Tables come in an order of their own only if their keys have one.
local function ordered(key)
    local kind = type(key)
    if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
        error("a table with a " .. kind .. " for a key", 0)
    end
end

-- The variables of a function, one by one.
local function variables(f)
    local at = 0
    return function()
        at = at + 1
        local name, v = getupvalue(f, at)
        if name then return at, v end
    end
end

-- All functions that the body made and that can be found.
local function find()
    give_names()
    local names, found, seen = {}, {}, {}
    local function visit(v)
        local kind = type(v)
        if kind ~= "function" and kind ~= "table" or seen[v] or name_of[v] then return end
        seen[v] = true
        if kind == "function" then
            found[#found + 1] = v
            for _, inner in variables(v) do visit(inner) end
        else
            for key, inner in next, v do
                ordered(key)
                visit(inner)
            end
        end
    end
    for name in next, callbacks do names[#names + 1] = name end
    sort(names)
    for _, name in ipairs(names) do visit(callbacks[name]) end
    return found
end

local function save(functions)
    local number, id, ids = {}, {}, 0
    for at, f in ipairs(functions) do number[f] = at end
    local out = {}
    local function put(text) out[#out + 1] = text end
    local function write(v)
        local kind = type(v)
        if v == nil then put("n")
        elseif kind == "boolean" then put(v and "t" or "f")
        elseif kind == "number" then put(format("d%.17g;", v))
        elseif kind == "string" then put("s" .. #v .. ";" .. v)
        elseif name_of[v] then put("k" .. name_of[v] .. ";")
        elseif number[v] then put("F" .. number[v] .. ";")
        elseif id[v] then put("r" .. id[v] .. ";")
        elseif kind == "table" then
            ids = ids + 1
            id[v] = ids
            local room = #v
            put("{" .. (room <= ROOM and room or 0) .. ";")
            for key, inner in next, v do
                ordered(key)
                write(key)
                write(inner)
            end
            put("}")
            write(metatable(v))
        else
            error("a " .. kind .. " that was made while it ran", 0)
        end
    end
    for _, f in ipairs(functions) do
        for _, v in variables(f) do write(v) end
    end
    return concat(out)
end

local function restore(functions, text)
    local at, tables = 1, {}
    local function word()
        local stop = find_text(text, ";", at, true)
        local found = sub(text, at, stop - 1)
        at = stop + 1
        return found
    end
    local function read()
        local tag = sub(text, at, at)
        at = at + 1
        if tag == "n" then return nil end
        if tag == "t" then return true end
        if tag == "f" then return false end
        if tag == "d" then return tonumber(word()) end
        if tag == "k" then return by_name[word()] end
        if tag == "F" then return functions[tonumber(word())] end
        if tag == "r" then return tables[tonumber(word())] end
        if tag == "s" then
            local len = tonumber(word())
            at = at + len
            return sub(text, at - len, at - 1)
        end
        local t = { unpack(NONE, 1, tonumber(word())) }
        tables[#tables + 1] = t
        while sub(text, at, at) ~= "}" do
            local key = read()
            t[key] = read()
        end
        at = at + 1
        local meta = read()
        if meta then setmetatable(t, meta) end
        return t
    end
    for _, f in ipairs(functions) do
        for place in variables(f) do setupvalue(f, place, read()) end
    end
end

return { find = find, save = save, restore = restore }
