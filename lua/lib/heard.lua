-- The waiter `id` is heard under `nonce`; was it absent, it is present again.
local _, key, joined = unpack_('<ddd', record, 2)
records[id], dirty[#dirty + 1] = pack('<Bdddd', Q, nonce, key, joined, now), id
if call('ZADD', LINE, 'CH', format('%d', key), id) == 1 then moved = true end
local at = NEVER
if timeout > 0 then at = joined + timeout end
if absent_after > 0 then at = math.min(at, now + absent_after, now + abandon_after) end
if at < NEVER then
  call('ZADD', DUE, format('%d', at), id)
  if at < next_due then next_due = at end
elseif next_due < NEVER then
  call('ZREM', DUE, id)
end
