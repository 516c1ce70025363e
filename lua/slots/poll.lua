-- A waiter says that it is still there, and asks how it stands.
-- KEYS: gate line due
-- ARGV: config id nonce
-- reply: granted | waiting | ended | stale | unknown
-- cost: O(log n) when no housekeeping is due, O(batch log n) otherwise
--@include lib/now.lua
--@include lib/hot.lua
--@include lib/state.lua
--@include lib/epoch.lua
--@include lib/gate.lua
--@include lib/places.lua
--@include lib/caller.lua
--@include lib/expire.lua
local record = read(id)
local known_nonce = record and unpack_('<d', record, 2)
if not record then
  words = 'unknown'
elseif nonce ~= known_nonce then
  words = format('stale %.0f', known_nonce)
elseif byte(record) == E then
  local _, how = unpack_('<dd', record, 2)
  words = 'ended ' .. ENDED[how]
else
  me = id
  if byte(record) == Q then
    --@inline lib/heard.lua
  end
end
--@include lib/promote.lua
--@include lib/mine.lua
--@include lib/answer.lua
