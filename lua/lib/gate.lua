-- The gate's state as locals: unpacked, or computed anew when the gate is born
-- or the caller's configuration is not the one the state was computed for.
local GATE, LINE, DUE = KEYS[1], KEYS[2], KEYS[3]
local call, pack, unpack_, sub = redis.call, struct.pack, struct.unpack, string.sub
-- since: last promotion, if someone has waited ever since, else -1. full, apart: see acquire.
local fence, ticket, processed, high_held, next_held, next_due, next_ended, fresh, since, high_queue,
  capacity, alive_for, active_for, wait_for, full, apart, mean, var, gaps, resized, remembered, offers
local c_capacity, lease, idle, timeout, absent_after, abandon_after, claim_within, count_absent,
  queue_limit, boost1, boost2, boost3, batch, tombstone, tombstones_max, retain
if hot then
  fence, ticket, processed, high_held, next_held, next_due, next_ended, fresh, since, high_queue,
    capacity, alive_for, active_for, wait_for, full, apart, mean, var, gaps, resized, remembered, offers =
    unpack_('<dddddddddddddddddddddd', hot)
else
  -- Fencing starts at the time of birth: a gate born again never repeats one.
  fence, ticket, processed, high_held, high_queue = now, 0, 0, 0, 0
  next_held, next_due, next_ended, fresh, since = NEVER, NEVER, NEVER, 0, -1
  mean, var, gaps, resized, remembered, offers = 0, 0, 0, 0, 0, 0
end
local c = {}
for word in string.gmatch(ARGV[1] or '', '%S+') do c[#c + 1] = tonumber(word) end
if #c ~= 16 or c[1] < 1 or c[13] < 1 then
  return redis.error_reply('ERR sluice: ARGV[1] must be the gate\'s configuration, 16 numbers: '
    .. 'capacity lease idle wait_timeout absent_after abandon_after claim_within count_absent '
    .. 'queue_limit boost1 boost2 boost3 batch tombstone_ms tombstones_max retain')
end
c_capacity, lease, idle, timeout, absent_after, abandon_after, claim_within, count_absent =
  c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8]
queue_limit, boost1, boost2, boost3, batch, tombstone, tombstones_max, retain =
  c[9], c[10], c[11], c[12], c[13], c[14], c[15], c[16]
if known_config ~= ARGV[1] then
  capacity = resized > 0 and resized or c_capacity
  alive_for = lease > 0 and lease or math.huge
  active_for = idle > 0 and idle or math.huge
  wait_for = timeout > 0 and timeout or math.huge
  if absent_after > 0 then wait_for = math.min(wait_for, absent_after, abandon_after) end
  full = queue_limit
  apart = absent_after > 0 and 1 + count_absent or 0
  if retain == 0 or lease == 0 then fresh = math.huge else fresh = 0 end
end
