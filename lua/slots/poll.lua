-- A waiter says that it is still there, and asks how it stands.
-- KEYS: gate line due
-- ARGV: config id nonce
-- reply: granted | waiting | ended | stale | unknown
-- cost: O(batch log n)
--@include lib/now.lua
--@include lib/hot.lua
--@include lib/gate.lua
--@include lib/places.lua
--@include lib/housekeeping.lua
--@include lib/answer.lua
--@include lib/caller.lua
expire()
local record = read(id)
local words
if not record then
  words = 'unknown'
else
  local known = unpack_('<d', record, 2)
  if nonce ~= known then
    words = string.format('stale %.0f', known)
  elseif sub(record, 1, 1) == 'e' then
    local _, how = unpack_('<dd', record, 2)
    words = 'ended ' .. ENDED[how]
  else
    me = id
    heard(record, nonce)
  end
end
local held, left = promote()
return answer(words or claimed(), held, left)
