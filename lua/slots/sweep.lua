-- Housekeeping, and nothing else.
-- KEYS: gate line due
-- ARGV: config
-- reply: swept
-- cost: O(batch log n)
--@include lib/now.lua
--@include lib/hot.lua
--@include lib/gate.lua
--@include lib/places.lua
--@include lib/housekeeping.lua
--@include lib/answer.lua
expire()
return answer('swept', promote())
