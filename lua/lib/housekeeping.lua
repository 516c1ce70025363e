-- Steps 1 and 3 of every operation: at most `batch` expiries, at most `batch`
-- promotions. Ranges are read a few at a time, with one more than is needed,
-- so that the next deadline is known without another call.

-- A deadline in `due` was reached.
local function overdue(id)
  local record = read(id)
  if not record then return call('ZREM', DUE, id) end
  local nonce, key, joined, heard = unpack_('<dddd', record, 2)
  if timeout > 0 and joined + timeout <= now then
    call('ZREM', DUE, id)
    count(6, 1)
    return bury(id, nonce, 4)
  end
  if absent_after == 0 then return schedule(id, joined, heard, true) end
  if heard + abandon_after <= now then
    call('ZREM', DUE, id)
    count(5, 1)
    return bury(id, nonce, 5)
  end
  call('ZADD', LINE, key + 4e15, id)
  schedule(id, joined, heard, false)
end

-- A deadline in zone held was reached.
local function overheld(id)
  local record = read(id) or 'h' .. pack('<ddddd', 0, 0, 0, 0, 0)
  if sub(record, 1, 1) == 'o' then -- the offer lapses
    local nonce, key, joined, heard = unpack_('<dddd', record, 2)
    write(id, 'q' .. sub(record, 2, 33))
    call('ZADD', LINE, key + 4e15, id)
    schedule(id, joined, heard, false)
    count(4, 1)
    offers = offers - 1
    grew = true
  else
    count(3, 1)
    bury(id, (unpack_('<d', record, 2)), 2)
  end
end

local function forget(id)
  call('ZREM', LINE, id)
  write(id, false)
  remembered = remembered - 1
end

-- Works off what is due in one zone; returns what is left of `steps`, and the
-- first deadline not worked off.
local function drain(steps, key, low, high, offset, step)
  local size = 2
  while true do
    local rows = call('ZRANGEBYSCORE', key, low, high, 'WITHSCORES', 'LIMIT', 0, size)
    for i = 1, #rows, 2 do
      local deadline = rows[i + 1] + offset
      if deadline > now or steps == 0 then return steps, deadline end
      step(rows[i])
      steps = steps - 1
    end
    if #rows < 2 * size then return steps, NEVER end
    size = math.min(steps, 31) + 1
  end
end

local function expire()
  local steps, first = batch
  if next_held <= now then
    next_held = NEVER
    steps, first = drain(steps, LINE, '-4e15', '(0', 4e15, overheld)
    next_held = math.min(next_held, first)
  end
  if next_due <= now then
    -- Steps may put deadlines in front of `first`, but none that is due.
    steps, first = drain(steps, DUE, '-inf', '+inf', 0, overdue)
    next_due = first
    if first > now then
      local row = call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
      next_due = row[2] and tonumber(row[2]) or NEVER
    end
  end
  if next_ended <= now then
    next_ended = NEVER
    steps, first = drain(steps, LINE, '-inf', '(-4e15', 8e15, forget)
    next_ended = math.min(next_ended, first)
  end
end

-- Flow: smoothed time between promotions while someone waits.
local function flow(another)
  if since >= 0 then
    gaps = math.min(gaps + 1, 4294967295)
    local gap, alpha = math.max(0, now - since), 1 / math.min(gaps, 16)
    local d = gap - mean
    mean = mean + alpha * d
    var = (1 - alpha) * (var + alpha * (d * d))
  end
  since = another and now or -1
end

-- Returns how many are held, and whether promotions are left over.
local function promote(joined_now)
  local held = call('ZCOUNT', LINE, '-4e15', '(0')
  local steps = batch
  while held < capacity do
    local rows = call('ZRANGEBYSCORE', LINE, '0', '(4e15', 'LIMIT', 0, 2)
    local id = rows[1]
    if not id then break end
    if steps == 0 then return held, true end
    steps = steps - 1
    local late = next_due <= now and call('ZSCORE', DUE, id)
    if late and tonumber(late) <= now then
      overdue(id)
    else
      local nonce, key, joined, heard = unpack_('<dddd', read(id) or 'q' .. pack('<dddd', 0, 0, now, now), 2)
      fence = fence + 1
      held = held + 1
      if id ~= joined_now then flow(rows[2]) end
      unschedule(id)
      if absent_after > 0 then
        offers = offers + 1
        write(id, 'o' .. pack('<dddddd', nonce, key, joined, heard, fence, now + claim_within))
        hold_until(id, now + claim_within)
      else
        claim(id, nonce, joined, fence)
      end
      if id ~= me then call('PUBLISH', LINE .. ':wake', id) end
    end
  end
  return held, false
end
