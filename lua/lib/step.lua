-- A deadline of `id` was reached: in zone held (`zone` 1) or in `due` (2).
local record, how, nonce, key, joined, heard = read(id)
if zone == 1 then
  if record and byte(record) == O then -- the offer lapses
    nonce, key, joined, heard = unpack_('<dddd', record, 2)
    records[id], dirty[#dirty + 1] = 'q' .. sub(record, 2, 33), id
    count('\2lapsed', 1)
    offers = offers - 1
    grew = true
  else
    nonce, how = record and unpack_('<d', record, 2) or 0, 2
    count('\2reclaimed', 1)
  end
elseif record and byte(record) == Q then
  nonce, key, joined, heard = unpack_('<dddd', record, 2)
  if timeout > 0 and joined + timeout <= now then
    how = 4
    count('\2timed_out', 1)
  elseif absent_after > 0 and heard + abandon_after <= now then
    how = 5
    count('\2abandoned', 1)
  end
end
if zone == 2 and (how or not key) then call('ZREM', DUE, id) end
if how then
  --@inline lib/bury.lua
elseif key then
  if zone == 1 or absent_after > 0 then call('ZADD', LINE, format('%d', key + 4e15), id) end
  local at = NEVER
  if timeout > 0 then at = joined + timeout end
  if absent_after > 0 then at = math.min(at, heard + abandon_after) end
  if at < NEVER then
    call('ZADD', DUE, format('%d', at), id)
    if at < next_due then next_due = at end
  else
    call('ZREM', DUE, id)
  end
end
