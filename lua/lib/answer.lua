-- Step 5: everything is written, and the answer is made.
if next_held <= now then
  local row = call('ZRANGEBYSCORE', LINE, '-4e15', '(0', 'WITHSCORES', 'LIMIT', '0', '1')
  next_held = row[2] and row[2] + 4e15 or NEVER
end
if next_due <= now then
  local row = call('ZRANGE', DUE, '0', '0', 'WITHSCORES')
  next_due = row[2] and tonumber(row[2]) or NEVER
end
local more = (left or next_held <= now or next_due <= now) and ' 1' or ' 0'
if left then next_held = 0 end -- no short cut past those who wait
if held and held > high_held then high_held = held end
if grew then
  in_line = in_line or call('ZCOUNT', LINE, '0', '+inf')
  if in_line > high_queue then high_queue = in_line end
end
local fields, gone = {}, {}
if moved or next_held ~= was_held or next_due ~= was_due or fresh <= now then
  if retain > 0 and lease > 0 then fresh = now + retain end
  fields[1], fields[2] = HOT, pack('<dddddddddd', fence, ticket, processed, high_held, next_held,
    next_due, next_ended, fresh, since, high_queue)
  if not known or not told then
    pace = pace or format('%.17g %.17g %.0f', mean, var, gaps)
    fields[3], fields[4] = KNOWN, pack('<dddddd', capacity, alive_for, active_for, wait_for, full,
      apart) .. ARGV[1] .. '\n' .. pace
  end
  if not known or not told or remembered ~= was_remembered or offers ~= was_offers then
    fields[#fields + 1], fields[#fields + 2] = REST, pack('<dddddddddddddddddddddd', mean, var, gaps,
      resized, remembered, offers, c_capacity, lease, idle, timeout, absent_after, abandon_after,
      claim_within, count_absent, queue_limit, boost1, boost2, boost3, batch, tombstone,
      tombstones_max, retain)
  end
end
local keep = fields[1] and retain > 0 and lease > 0
for i = 1, #dirty do
  local id = dirty[i]
  local record = records[id]
  if record then
    fields[#fields + 1], fields[#fields + 2] = id, record
  elseif record == false then
    gone[#gone + 1] = id
  end
  records[id] = nil -- once is enough
  if #fields > 100 then
    call('HSET', GATE, unpack(fields))
    fields = {}
  end
  if #gone > 50 then
    call('HDEL', GATE, unpack(gone))
    gone = {}
  end
end
if fields[1] then call('HSET', GATE, unpack(fields)) end
if gone[1] then call('HDEL', GATE, unpack(gone)) end
for i = 1, #tally do
  call('HINCRBY', GATE, tally[i], format('%.0f', tally[tally[i]]))
end
if keep then -- twice as long as promised, so that not every call need renew it
  for i = 1, 3 do call('PEXPIRE', KEYS[i], format('%.0f', 2 * retain)) end
end
return words .. more
