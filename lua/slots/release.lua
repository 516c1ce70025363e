-- The holder gives its slot back.
-- KEYS: gate line due
-- ARGV: config id fence
-- reply: released | lost
-- cost: O(batch log n)
--@include lib/now.lua
--@include lib/hot.lua
--@include lib/state.lua
--@include lib/epoch.lua
--@include lib/gate.lua
--@include lib/places.lua
--@include lib/holder.lua
--@include lib/expire.lua
--@include lib/holds.lua
words = 'lost'
if holds then
  local how = 1
  words, moved = 'released', true
  count('\2released', 1)
  if kind == O then offers = offers - 1 end
  --@inline lib/bury.lua
end
--@include lib/promote.lua
--@include lib/answer.lua
