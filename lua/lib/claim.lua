-- Unclaimed or new: the slot is the holder's from now. Of `id`, with `nonce`,
-- `joined` and the fencing number `number`.
local waited = math.max(0, now - joined)
local alive, active = now + alive_for, now + active_for
local deadline = math.min(alive, active, NEVER)
records[id], dirty[#dirty + 1] = pack('<Bddddd', H, nonce, number, alive, active, waited), id
call('ZADD', LINE, format('%d', deadline - 4e15), id)
if deadline < next_held then next_held = deadline end
processed = processed + 1
if waited > 0 then
  count('\2total_wait_ms', waited)
  local _, bits = math.frexp(waited)
  count('\2wait' .. math.min(bits, 31), 1)
end
