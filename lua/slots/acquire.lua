-- Joins: takes a free slot, or a place in line. Repeating it with the same
-- nonce answers for the same place; a larger nonce takes the place over.
-- KEYS: gate line due
-- ARGV: config id nonce [class] [wait]
-- reply: granted | waiting | rejected | stale | ended
-- cost: O(log n) with five to seven calls when no housekeeping is due,
--       O(batch log n) otherwise
--@include lib/now.lua
--@include lib/hot.lua
local fields = redis.call('HMGET', KEYS[1], HOT, KNOWN)
local hot, base, rest = fields[1], fields[2], nil
--@include lib/epoch.lua

-- The short cut, for a new id of class 0 while nothing is due, nothing is left
-- over and the configuration is the one known: then a slot is free only if
-- nobody waits, so counting the zone of the held decides. It does what the
-- long way below does, and leaves to it whatever is not certain. (%d is exact
-- here, and costs half of %.0f or of a number as an argument.)
if calm and base and ARGV[3] and not ARGV[4] and string.find(base, ARGV[1], 49, true) == 49
  and string.byte(base, 49 + #ARGV[1]) == 10 then
  local fence, ticket, processed, high_held, next_held, next_due, next_ended, fresh, since,
    high_queue = struct.unpack('<dddddddddd', hot)
  local capacity, alive_for, active_for, wait_for, full, apart = struct.unpack('<dddddd', base)
  local call, format, id, nonce = redis.call, string.format, ARGV[2], tonumber(ARGV[3])
  if now < next_held and now < next_due and now < next_ended and now < fresh and nonce and nonce >= 0
    and nonce <= 9007199254740991 and nonce % 1 == 0 and id ~= '' and #id <= 512 and not string.find(id, '%c') then
    local held = call('ZCOUNT', KEYS[2], '-4e15', '(0')
    if held < capacity then
      local alive, active = now + alive_for, now + active_for
      local deadline = alive < active and alive or active
      if deadline > NEVER then deadline = NEVER end
      if high_queue <= full and (held > 0 or fresh == math.huge)
        and call('ZADD', KEYS[2], 'NX', format('%d', deadline - 4e15), id) == 1 then
        fence = fence + 1
        if held >= high_held then high_held = held + 1 end
        if deadline < next_held then next_held = deadline end
        call('HSET', KEYS[1], HOT, struct.pack('<dddddddddd', fence, ticket + 1, processed + 1,
          high_held, next_held, next_due, next_ended, fresh, -1, high_queue),
          id, struct.pack('<Bddddd', 104, nonce, fence, alive, active, 0))
        return format('granted %d %d 0 0', fence, deadline < NEVER and deadline - now or -1)
      end
    elseif (fresh == math.huge or now + wait_for >= NEVER) -- a new key `due` would need its PEXPIRE
      and call('ZADD', KEYS[2], 'NX', format('%d', (ticket + 4294967297) * 4), id) == 1 then
      local waiting, absent
      if apart == 0 then
        waiting, absent = call('ZCOUNT', KEYS[2], '0', '+inf'), 0
      else
        waiting = call('ZCOUNT', KEYS[2], '0', '(4e15')
        absent = call('ZCOUNT', KEYS[2], '4e15', '+inf')
      end
      if (apart == 1 and waiting or waiting + absent) <= full then
        local due = now + wait_for
        if due < NEVER then
          call('ZADD', KEYS[3], format('%d', due), id)
          if due < next_due then next_due = due end
        end
        if waiting == 1 then since = -1 end
        if waiting + absent > high_queue then high_queue = waiting + absent end
        ticket = ticket + 1
        call('HSET', KEYS[1], HOT, struct.pack('<dddddddddd', fence, ticket, processed,
          high_held, next_held, next_due, next_ended, fresh, since, high_queue),
          id, struct.pack('<Bdddd', 113, nonce, (ticket + 4294967296) * 4, now, now))
        return format('waiting %d ', waiting + absent) .. string.sub(base, 50 + #ARGV[1]) .. ' 0'
      end
      call('ZREM', KEYS[2], id)
    end
  end
end

if hot then rest = redis.call('HGET', KEYS[1], REST) end
--@include lib/gate.lua
--@include lib/places.lua
--@include lib/caller.lua
local class, wait = tonumber(ARGV[4] or 0), ARGV[5] ~= '0'
local boost = 0
if class ~= 0 then boost = ({ boost1, boost2, boost3 })[class] end
if not boost then
  return redis.error_reply('ERR sluice: ARGV[4] must be a class, 0 to 3')
end

--@include lib/expire.lua
local record = read(id)
local kind = record and byte(record)
local known_nonce = record and unpack_('<d', record, 2)
local tomb, tomb_score
if record and (nonce < known_nonce or (kind == E and nonce == known_nonce)) then
  words = format('stale %.0f', known_nonce)
elseif record and kind ~= E and (calm or kind == Q or nonce == known_nonce) then
  me = id
  if kind == Q then
    --@inline lib/heard.lua
  elseif nonce > known_nonce then -- a newer attempt takes the slot over
    fence = fence + 1
    moved = true
    dirty[#dirty + 1] = id
    if kind == O then
      local _, key, joined, heard, _, deadline = unpack_('<dddddd', record, 2)
      records[id] = pack('<Bdddddd', O, nonce, key, joined, heard, fence, deadline)
    else
      local _, _, _, _, waited = unpack_('<ddddd', record, 2)
      local alive, active = now + alive_for, now + active_for
      local deadline = math.min(alive, active, NEVER)
      records[id] = pack('<Bddddd', H, nonce, fence, alive, active, waited)
      call('ZADD', LINE, format('%d', deadline - 4e15), id)
      if deadline < next_held then next_held = deadline end
    end
  end
else
  local waiting = call('ZCOUNT', LINE, '0', '(4e15')
  local many = false
  if wait then
    held = call('ZCOUNT', LINE, '-4e15', '(0')
    local absent = count_absent > 0 and call('ZCOUNT', LINE, '4e15', '+inf') or 0
    many = waiting + absent + 1 > queue_limit + math.max(0, capacity - held)
  end
  if many then
    words = 'rejected full'
    count('\2rejected', 1)
  else
    me, joiner = id, id
    if record and not wait then
      tomb, tomb_score = record, call('ZSCORE', LINE, id)
    end
    -- Before a guarded gate gives slots again, a newer attempt takes none over:
    -- the older one may have been given back, and its slot to somebody else.
    if kind == O and wait then offers = offers - 1 end
    if record and kind ~= E and wait then held = held - 1 end
    ticket = ticket + 1
    local key = (ticket - boost + 4294967296) * 4 + class
    if waiting == 0 then since = -1 end
    call('ZADD', LINE, format('%d', key), id)
    records[id], dirty[#dirty + 1] = pack('<Bdddd', Q, nonce, key, now, now), id
    local due = now + wait_for
    if due < NEVER then
      call('ZADD', DUE, format('%d', due), id)
      if due < next_due then next_due = due end
    end
    grew, moved = true, true
  end
end
--@include lib/promote.lua
if joiner and not wait and not me_ended and byte(read(id)) == Q then
  words = 'rejected busy'
  count('\2rejected', 1)
  if next_due < NEVER then call('ZREM', DUE, id) end
  dirty[#dirty + 1] = id
  if tomb then
    call('ZADD', LINE, tomb_score, id)
    records[id] = tomb
    --@inline lib/trim.lua
  else
    call('ZREM', LINE, id)
    records[id] = false
  end
  left = left and call('ZCOUNT', LINE, '0', '(4e15') > 0
end
--@include lib/mine.lua
--@include lib/answer.lua
