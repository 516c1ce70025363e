-- Step 5: everything is written, and the answer is made.

-- The caller's live place, as the words of its answer (without `more`).
local function place(id)
  if me_ended then return 'ended ' .. ENDED[me_ended] end
  local record = read(id)
  if sub(record, 1, 1) == 'h' then
    local _, number, alive, active, wait = unpack_('<ddddd', record, 2)
    local deadline = math.min(alive, active)
    local ttl = deadline < NEVER and math.max(0, deadline - now) or -1
    return string.format('granted %.0f %.0f %.0f', number, ttl, wait)
  end
  local _, key = unpack_('<dd', record, 2)
  local ahead = call('ZCOUNT', LINE, '0', string.format('(%.0f', key))
    + call('ZCOUNT', LINE, '4e15', string.format('(%.0f', key + 4e15))
  return string.format('waiting %.0f %.17g %.17g %.0f', ahead + 1, mean, var, gaps)
end

-- Writes the state back; returns `words` with `more` appended.
local function answer(words, held, left)
  if next_held <= now then
    local row = call('ZRANGEBYSCORE', LINE, '-4e15', '(0', 'WITHSCORES', 'LIMIT', 0, 1)
    next_held = row[2] and row[2] + 4e15 or NEVER
  end
  if next_due <= now then
    local row = call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
    next_due = row[2] and tonumber(row[2]) or NEVER
  end
  local more = (left or next_held <= now or next_due <= now) and ' 1' or ' 0'
  if left then next_held = 0 end -- no short cut past those who wait
  if held > high_held then high_held = held end
  if grew then high_queue = math.max(high_queue, call('ZCOUNT', LINE, '0', '+inf')) end
  local pairs_, gone = {}, {}
  local keep = retain > 0 and lease > 0
  if keep then fresh = now + retain end
  pairs_[1], pairs_[2] = HOT, pack('<dddddddddddddddddddddd', fence, ticket, processed, high_held,
    next_held, next_due, next_ended, fresh, since, high_queue, capacity, alive_for, active_for,
    wait_for, full, apart, mean, var, gaps, resized, remembered, offers)
  -- Always there from birth on: one long value keeps the hash a hash table.
  if not hot then cold, cold_dirty = cold or string.rep('\0', 312), true end
  if cold_dirty then pairs_[3], pairs_[4] = COLD, cold end
  if known_config ~= ARGV[1] then
    pairs_[#pairs_ + 1], pairs_[#pairs_ + 2] = CONFIG, ARGV[1]
  end
  for i = 1, #dirty do
    local id = dirty[i]
    local record = records[id]
    if record then
      pairs_[#pairs_ + 1], pairs_[#pairs_ + 2] = id, record
    elseif record == false then
      gone[#gone + 1] = id
    end
    records[id] = nil -- once is enough
    if #pairs_ > 100 then
      call('HSET', GATE, unpack(pairs_))
      pairs_ = {}
    end
    if #gone > 50 then
      call('HDEL', GATE, unpack(gone))
      gone = {}
    end
  end
  if pairs_[1] then call('HSET', GATE, unpack(pairs_)) end
  if gone[1] then call('HDEL', GATE, unpack(gone)) end
  if keep then -- twice as long as promised, so that short cuts need not renew it
    for i = 1, 3 do call('PEXPIRE', KEYS[i], string.format('%.0f', 2 * retain)) end
  end
  return words .. more
end
