-- A holder says that it is alive, and with touch that it is at work.
-- KEYS: gate line due
-- ARGV: config id fence [touch]
-- reply: renewed | lost
-- cost: O(log n) when no housekeeping is due, O(batch log n) otherwise
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
if holds and kind == H then
  local alive = now + alive_for
  if ARGV[4] == '1' then active = now + active_for end
  local deadline = math.min(alive, active, NEVER)
  records[id], dirty[#dirty + 1] = pack('<Bddddd', H, nonce, number, alive, active, waited), id
  call('ZADD', LINE, format('%d', deadline - 4e15), id)
  if deadline < next_held then next_held = deadline end
  words = format('renewed %.0f', deadline < NEVER and deadline - now or -1)
end
--@include lib/promote.lua
--@include lib/answer.lua
