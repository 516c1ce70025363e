-- The attempt is over, whatever it had been; a delayed copy of it finds that.
-- KEYS: gate line due
-- ARGV: config id nonce
-- reply: cancelled | stale
-- cost: O(batch log n)
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
words = 'cancelled'
if record and known_nonce > nonce then
  words = format('stale %.0f', known_nonce)
elseif record and byte(record) == E then
  local _, how = unpack_('<dd', record, 2)
  records[id], dirty[#dirty + 1] = pack('<Bdd', E, nonce, how), id
else
  local how = 3
  moved = true
  if record then
    count('\2cancelled', 1)
    if byte(record) == O then offers = offers - 1 end
    if next_due < NEVER then call('ZREM', DUE, id) end
  end
  --@inline lib/bury.lua
end
--@include lib/promote.lua
--@include lib/answer.lua
