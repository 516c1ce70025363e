-- Joins: takes a free slot, or a place in line. Repeating it with the same
-- nonce answers for the same place; a larger nonce takes the place over.
-- KEYS: gate line due
-- ARGV: config id nonce [class] [wait]
-- reply: granted | waiting | rejected | stale | ended
-- cost: O(log n) with five to seven calls when no housekeeping is due,
--       O(batch log n) otherwise
--@include lib/now.lua
--@include lib/hot.lua

-- The short cut, for a new id of class 0 while nothing is due, nothing is left
-- over and the configuration is the one known: then a slot is free only if
-- nobody waits, so counting the zone of the held decides. It does what the
-- long way below does, and leaves to it whatever is not certain. (%d is exact
-- here, and costs half of %.0f or of a number as an argument.)
if hot and not ARGV[4] and known_config == ARGV[1] then
  local fence, ticket, processed, high_held, next_held, next_due, next_ended, fresh, since,
    high_queue, capacity, alive_for, active_for, wait_for, full, apart, mean, var, gaps =
    struct.unpack('<ddddddddddddddddddd', hot)
  local id, nonce, format = ARGV[2], tonumber(ARGV[3]), string.format
  if now < next_held and now < next_due and now < next_ended and now < fresh and nonce and nonce >= 0
    and nonce <= 9007199254740991 and #id <= 512 and not string.find(id, '^%c') and id ~= '' then
    local held = redis.call('ZCOUNT', KEYS[2], '-4e15', '(0')
    if held < capacity then
      local deadline = math.min(now + alive_for, now + active_for, NEVER)
      if high_queue <= full and (held > 0 or fresh == math.huge)
        and redis.call('ZADD', KEYS[2], 'NX', format('%d', deadline - 4e15), id) == 1 then
        fence = fence + 1
        if held >= high_held then high_held = held + 1 end
        if deadline < next_held then next_held = deadline end
        redis.call('HSET', KEYS[1], HOT, struct.pack('<ddddddddd', fence, ticket + 1, processed + 1,
          high_held, next_held, next_due, next_ended, fresh, -1) .. string.sub(hot, 73),
          id, 'h' .. struct.pack('<ddddd', nonce, fence, now + alive_for, now + active_for, 0))
        local ttl = deadline < NEVER and deadline - now or -1
        return format('granted %d %d 0 0', fence, ttl)
      end
    elseif (next_due < NEVER or fresh == math.huge)
      and redis.call('ZADD', KEYS[2], 'NX', format('%d', (ticket + 4294967297) * 4), id) == 1 then
      local waiting, absent
      if apart == 0 then
        waiting, absent = redis.call('ZCOUNT', KEYS[2], '0', '+inf'), 0
      else
        waiting = redis.call('ZCOUNT', KEYS[2], '0', '(4e15')
        absent = redis.call('ZCOUNT', KEYS[2], '4e15', '+inf')
      end
      if (apart == 1 and waiting or waiting + absent) <= full then
        if now + wait_for < NEVER then
          redis.call('ZADD', KEYS[3], format('%d', now + wait_for), id)
          if now + wait_for < next_due then next_due = now + wait_for end
        end
        if waiting == 1 then since = -1 end
        if waiting + absent > high_queue then high_queue = waiting + absent end
        redis.call('HSET', KEYS[1], HOT, struct.pack('<dddddddddd', fence, ticket + 1, processed,
          high_held, next_held, next_due, next_ended, fresh, since, high_queue) .. string.sub(hot, 81),
          id, 'q' .. struct.pack('<dddd', nonce, (ticket + 4294967297) * 4, now, now))
        if gaps == 0 then return format('waiting %d 0 0 0 0', waiting + absent) end
        return format('waiting %d %.17g %.17g %d 0', waiting + absent, mean, var, gaps)
      end
      redis.call('ZREM', KEYS[2], id)
    end
  end
end

--@include lib/gate.lua
--@include lib/places.lua
--@include lib/housekeeping.lua
--@include lib/answer.lua
--@include lib/caller.lua
local class, wait = tonumber(ARGV[4] or 0), ARGV[5] ~= '0'
local boost = ({ [0] = 0, boost1, boost2, boost3 })[class]
if not boost then
  return redis.error_reply('ERR sluice: ARGV[4] must be a class, 0 to 3')
end

expire()
local record = read(id)
local kind = record and sub(record, 1, 1)
local known = record and unpack_('<d', record, 2)
local words, joined, tomb, tomb_score
if record and (nonce < known or (kind == 'e' and nonce == known)) then
  words = string.format('stale %.0f', known)
elseif record and kind ~= 'e' then
  me = id
  if kind == 'q' then
    heard(record, nonce)
  elseif nonce > known then -- a newer attempt takes the slot over
    fence = fence + 1
    if kind == 'o' then
      local _, key, joined_at, heard_at, _, deadline = unpack_('<dddddd', record, 2)
      write(id, 'o' .. pack('<dddddd', nonce, key, joined_at, heard_at, fence, deadline))
    else
      local _, _, _, _, waited = unpack_('<ddddd', record, 2)
      write(id, 'h' .. pack('<ddddd', nonce, fence, now + alive_for, now + active_for, waited))
      hold_until(id, math.min(now + alive_for, now + active_for, NEVER))
    end
  end
else
  local waiting = call('ZCOUNT', LINE, '0', '(4e15')
  local many = false
  if wait then
    local free = math.max(0, capacity - call('ZCOUNT', LINE, '-4e15', '(0'))
    local absent = count_absent > 0 and call('ZCOUNT', LINE, '4e15', '+inf') or 0
    many = waiting + absent + 1 > queue_limit + free
  end
  if many then
    words = 'rejected full'
    count(1, 1)
  else
    me, joined = id, id
    if record and not wait then
      tomb, tomb_score = record, call('ZSCORE', LINE, id)
    end
    ticket = ticket + 1
    local key = (ticket - boost + 4294967296) * 4 + class
    if waiting == 0 then since = -1 end
    call('ZADD', LINE, key, id)
    write(id, 'q' .. pack('<dddd', nonce, key, now, now))
    schedule(id, now, now, true)
    grew = true
  end
end
local held, left = promote(joined)
if joined and not wait and sub(read(id), 1, 1) == 'q' then
  words = 'rejected busy'
  count(1, 1)
  unschedule(id)
  if tomb then
    call('ZADD', LINE, tomb_score, id)
    write(id, tomb)
    trim()
  else
    call('ZREM', LINE, id)
    write(id, false)
  end
  left = left and call('ZCOUNT', LINE, '0', '(4e15') > 0
end
return answer(words or claimed(), held, left)
