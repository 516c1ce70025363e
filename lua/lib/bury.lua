-- `id` with `nonce` goes to zone ended, its manner `how`; or nowhere, if
-- endings are not remembered.
dirty[#dirty + 1] = id
if id == me then me_ended = how end
if tombstone == 0 or tombstones_max == 0 then
  call('ZREM', LINE, id)
  records[id] = false
else
  local at = now + tombstone
  call('ZADD', LINE, format('%d', at - 8e15), id)
  records[id] = pack('<Bdd', E, nonce, how)
  if at < next_ended then next_ended = at end
  --@inline lib/trim.lua
end
