-- The *hot* field of the gate: what every call needs, packed, read in one go.
--
-- 22 doubles, and beside them the text of the configuration that some of them
-- were computed from, so that an unchanged one is known by one comparison. Both
-- are short, because Redis's Lua hashes every byte of every string. Fields are
-- control characters, which no id may contain. Points in time are server
-- milliseconds; NEVER is the score -1 of a place without deadline. `next_*` are
-- lower bounds, so that nothing is asked of the zones while nothing can be due.
local HOT, COLD, CONFIG, NEVER = '\1', '\2', '\3', 4e15 - 1
local fields = redis.call('HMGET', KEYS[1], HOT, CONFIG)
local hot, known_config = fields[1], fields[2]
