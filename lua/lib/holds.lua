-- Whether the caller `holds`: only under the current fencing number, and only
-- before its deadline, even if the expiry was not worked off.
local record = not string.find(id, '^%c') and read(id)
local kind, holds = record and byte(record), false
local nonce, active, waited
if kind == H then
  local fenced, alive
  nonce, fenced, alive, active, waited = unpack_('<ddddd', record, 2)
  holds = fenced == number and math.min(alive, active) > now
elseif kind == O then
  local _, fenced, deadline
  nonce, _, _, _, fenced, deadline = unpack_('<dddddd', record, 2)
  holds = fenced == number and deadline > now
end
