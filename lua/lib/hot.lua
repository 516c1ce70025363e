-- The *hot* field of the gate: what every call needs, packed, read in one go.
--
-- 22 doubles, the 16 numbers of the configuration they were computed
-- from, and its text, so that an unchanged configuration is known by
-- one comparison and never parsed again. Field names are control characters,
-- which no id may contain. Points in time are server milliseconds; NEVER is
-- the score -1 of a place without deadline. `next_*` are lower bounds, so that
-- nothing is asked of the zones while nothing can be due.
local HOT, COLD, NEVER = '\1', '\2', 4e15 - 1
local hot = redis.call('HGET', KEYS[1], HOT)
