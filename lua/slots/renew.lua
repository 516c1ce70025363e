-- A holder says that it is alive, and with touch that it is at work.
-- KEYS: gate line due
-- ARGV: config id fence [touch]
-- reply: renewed | lost
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
local record = holder('h')
if record then
  local known, _, _, active, waited = unpack_('<ddddd', record, 2)
  if ARGV[4] == '1' then active = now + active_for end
  write(id, 'h' .. pack('<ddddd', known, number, now + alive_for, active, waited))
  local deadline = math.min(now + alive_for, active, NEVER)
  hold_until(id, deadline)
  words = string.format('renewed %.0f', deadline < NEVER and deadline - now or -1)
end
return answer(words, promote())
