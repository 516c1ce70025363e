-- The holder gives its slot back.
-- KEYS: gate line due
-- ARGV: config id fence
-- reply: released | lost
-- cost: O(batch log n)
--@include lib/now.lua
--@include lib/hot.lua
--@include lib/gate.lua
--@include lib/places.lua
--@include lib/housekeeping.lua
--@include lib/answer.lua
--@include lib/holder.lua
expire()
local words = 'lost'
local record = holder()
if record then
  count(8, 1)
  if sub(record, 1, 1) == 'o' then offers = offers - 1 end
  bury(id, (unpack_('<d', record, 2)), 1)
  words = 'released'
end
return answer(words, promote())
