-- Stores another capacity. Nobody is evicted; who waits moves up.
-- KEYS: gate line due
-- ARGV: config capacity
-- reply: resized
-- cost: O(batch log n)
--@include lib/now.lua
--@include lib/hot.lua
--@include lib/gate.lua
--@include lib/places.lua
--@include lib/housekeeping.lua
--@include lib/answer.lua
local to = tonumber(ARGV[2])
if not to or to < 1 or to > 1000000000 or to % 1 ~= 0 then
  return redis.error_reply('ERR sluice: ARGV[2] must be a capacity, 1 to 1000000000')
end
expire()
local from = capacity
capacity, resized = to, to
local r = from / to
mean, var = mean * r, var * (r * r)
return answer(string.format('resized %.0f', from), promote())
