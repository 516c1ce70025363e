-- Stores another capacity. Nobody is evicted; who waits moves up.
-- KEYS: gate line due
-- ARGV: config capacity
-- reply: resized
-- cost: O(batch log n)
--@include lib/now.lua
--@include lib/hot.lua
--@include lib/state.lua
--@include lib/epoch.lua
--@include lib/gate.lua
--@include lib/places.lua
local to = tonumber(ARGV[2])
if not to or to < 1 or to > 1000000000 or to % 1 ~= 0 then
  return redis.error_reply('ERR sluice: ARGV[2] must be a capacity, 1 to 1000000000')
end
--@include lib/expire.lua
words = format('resized %.0f', capacity)
local r = capacity / to
capacity, resized = to, to
mean, var = mean * r, var * (r * r)
moved, pace, told = true, nil, false
--@include lib/promote.lua
--@include lib/answer.lua
