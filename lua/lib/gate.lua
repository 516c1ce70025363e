-- The gate's state as locals: unpacked, or computed anew when the gate is born
-- or the caller's configuration is not the one the state was computed for.
local GATE, LINE, DUE = KEYS[1], KEYS[2], KEYS[3]
local call, pack, unpack_, sub, byte, format =
  redis.call, struct.pack, struct.unpack, string.sub, string.byte, string.format
-- since: last promotion, if someone has waited ever since, else -1. full, apart: see acquire.
local fence, ticket, processed, high_held, next_held, next_due, next_ended, fresh, since, high_queue,
  capacity, alive_for, active_for, wait_for, full, apart, mean, var, gaps, resized, remembered, offers
local c_capacity, lease, idle, timeout, absent_after, abandon_after, claim_within, count_absent,
  queue_limit, boost1, boost2, boost3, batch, tombstone, tombstones_max, retain
local known = base and rest and ARGV[1] and string.find(base, ARGV[1], 49, true) == 49
  and byte(base, 49 + #ARGV[1]) == 10
local pace = known and sub(base, 50 + #ARGV[1]) -- mean, var and gaps as text, while they are the same
if hot then
  fence, ticket, processed, high_held, next_held, next_due, next_ended, fresh, since, high_queue =
    unpack_('<dddddddddd', hot)
  capacity, alive_for, active_for, wait_for, full, apart = unpack_('<dddddd', base)
  mean, var, gaps, resized, remembered, offers, c_capacity, lease, idle, timeout, absent_after,
    abandon_after, claim_within, count_absent, queue_limit, boost1, boost2, boost3, batch, tombstone,
    tombstones_max, retain = unpack_('<dddddddddddddddddddddd', rest)
else
  -- Fencing starts at the time of birth, in microseconds: a gate born again
  -- repeats no number, unless it granted more than a million a second. What an
  -- earlier life left in the other keys is not this gate's.
  call('UNLINK', LINE, DUE)
  fence, ticket, processed, high_held, high_queue = now * 1000, 0, 0, 0, 0
  next_held, next_due, next_ended, fresh, since = NEVER, NEVER, NEVER, 0, -1
  mean, var, gaps, resized, remembered, offers = 0, 0, 0, 0, 0, 0
end
if not known then
  local c, whole = {}, true
  for word in string.gmatch(ARGV[1] or '', '%S+') do
    local n = tonumber(word)
    whole = whole and n and n >= 0 and n <= 9007199254740991 and n % 1 == 0
    c[#c + 1] = n
  end
  if #c ~= 16 or not whole or c[1] < 1 or c[13] < 1 then
    return redis.error_reply('ERR sluice: ARGV[1] must be the gate\'s configuration, 16 numbers: '
      .. 'capacity lease idle wait_timeout absent_after abandon_after claim_within count_absent '
      .. 'queue_limit boost1 boost2 boost3 batch tombstone_ms tombstones_max retain')
  end
  c_capacity, lease, idle, timeout, absent_after, abandon_after, claim_within, count_absent,
    queue_limit, boost1, boost2, boost3, batch, tombstone, tombstones_max, retain = unpack(c)
  -- No shorter than anything that the keys must outlive.
  if retain > 0 then retain = math.max(retain, lease, timeout, abandon_after, tombstone) end
  capacity = resized > 0 and resized or c_capacity
  alive_for = lease > 0 and lease or math.huge
  active_for = idle > 0 and idle or math.huge
  wait_for = timeout > 0 and timeout or math.huge
  if absent_after > 0 then wait_for = math.min(wait_for, absent_after, abandon_after) end
  full = queue_limit
  apart = absent_after > 0 and 1 + count_absent or 0
  if retain == 0 or lease == 0 then fresh = math.huge else fresh = 0 end
end
local was_held, was_due, was_remembered, was_offers = next_held, next_due, remembered, offers
