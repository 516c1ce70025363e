-- Places: records of ids, and moves between the zones of `line`.
--
-- A record is a letter and doubles. q: in line (nonce, order key, joined_at,
-- heard_at). o: offered (the same, fence, claim deadline). h: held (nonce,
-- fence, alive_until, active_until, wait). e: ended (nonce, manner). Records
-- are read at most once per call and written together at its end.
local records, dirty = {}, {}
local cold, cold_dirty
local me, me_ended -- the caller's place (acquire, poll), and how it ended on the way
local grew = false -- whether more ids are in line than before
local ENDED = { 'released', 'expired', 'cancelled', 'timed_out', 'abandoned' }

local function read(id)
  local record = records[id]
  if record == nil then
    record = call('HGET', GATE, id)
    records[id] = record
  end
  return record
end

local function write(id, record) -- false removes it
  records[id] = record
  dirty[#dirty + 1] = id
end

-- Cold statistics: 8 counters, then 31 buckets of the wait histogram (bucket 0
-- is what is missing to `processed`).
local function count(i, by)
  cold = cold or call('HGET', GATE, COLD) or string.rep('\0', 312)
  local at = 8 * i - 7
  cold = sub(cold, 1, at - 1) .. pack('<d', unpack_('<d', cold, at) + by) .. sub(cold, at + 8)
  cold_dirty = true
end

local function unschedule(id)
  if next_due < NEVER then call('ZREM', DUE, id) end
end

local function schedule(id, joined, heard, present)
  local at = NEVER
  if timeout > 0 then at = joined + timeout end
  if absent_after > 0 then
    at = math.min(at, heard + abandon_after)
    if present then at = math.min(at, heard + absent_after) end
  end
  if at >= NEVER then return unschedule(id) end
  call('ZADD', DUE, at, id)
  if at < next_due then next_due = at end
end

-- Into zone held, under a deadline.
local function hold_until(id, deadline)
  call('ZADD', LINE, deadline - 4e15, id)
  if deadline < next_held then next_held = deadline end
end

-- One more ending is remembered: drops the oldest of these that are too many.
local function trim()
  remembered = remembered + 1 -- never too small, so counting may wait until it is too large
  if remembered <= tombstones_max then return end
  remembered = call('ZCOUNT', LINE, '-inf', '(-4e15')
  while remembered > tombstones_max do
    local oldest = call('ZRANGEBYSCORE', LINE, '-inf', '(-4e15', 'LIMIT', 0,
      math.min(100, remembered - tombstones_max))
    call('ZREM', LINE, unpack(oldest))
    for i = 1, #oldest do write(oldest[i], false) end
    remembered = remembered - #oldest
  end
end

-- Into zone ended; or nowhere, if endings are not remembered.
local function bury(id, nonce, how)
  if id == me then me_ended = how end
  if tombstone == 0 or tombstones_max == 0 then
    call('ZREM', LINE, id)
    return write(id, false)
  end
  local at = now + tombstone
  call('ZADD', LINE, at - 8e15, id)
  write(id, 'e' .. pack('<dd', nonce, how))
  if at < next_ended then next_ended = at end
  trim()
end

-- Unclaimed or new: the slot is the holder's from now.
local function claim(id, nonce, joined, number)
  local wait = math.max(0, now - joined)
  write(id, 'h' .. pack('<ddddd', nonce, number, now + alive_for, now + active_for, wait))
  hold_until(id, math.min(now + alive_for, now + active_for, NEVER))
  processed = processed + 1
  if wait > 0 then
    count(2, wait)
    local _, bits = math.frexp(wait)
    count(8 + math.min(bits, 31), 1)
  end
end
