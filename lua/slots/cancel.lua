-- The attempt is over, whatever it had been; a delayed copy of it finds that.
-- KEYS: gate line due
-- ARGV: config id nonce
-- reply: cancelled | stale
-- cost: O(batch log n)
--@include lib/now.lua
--@include lib/hot.lua
--@include lib/gate.lua
--@include lib/places.lua
--@include lib/housekeeping.lua
--@include lib/answer.lua
--@include lib/caller.lua
expire()
local words = 'cancelled'
local record = read(id)
local known = record and unpack_('<d', record, 2)
if not record then
  bury(id, nonce, 3)
elseif known > nonce then
  words = string.format('stale %.0f', known)
elseif sub(record, 1, 1) == 'e' then
  local _, how = unpack_('<dd', record, 2)
  write(id, 'e' .. pack('<dd', nonce, how))
else
  count(7, 1)
  if sub(record, 1, 1) == 'o' then offers = offers - 1 end
  unschedule(id)
  bury(id, nonce, 3)
end
return answer(words, promote())
