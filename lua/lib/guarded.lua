-- Step 0 of a guarded gate, in the place of lib/epoch.lua. Replication is
-- asynchronous: a replica that takes over may not know the last grants, and a
-- server that was restarted may have lost some. Either has another run_id. Who
-- was granted a slot before may believe to hold it for as long as a lease, so a
-- new epoch gives no slot before that has passed; who still holds one in its
-- data keeps it. Fencing goes on above all numbers that can have been given.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if not run then
  return redis.error_reply('ERR sluice: a guarded gate must see run_id in INFO server')
end
local mark = redis.call('HGET', KEYS[1], '\5')
local epoch, calm_at = string.match(mark or '', '^(%x+) (%d+)$')
if epoch ~= run then
  local longest, idle = string.match(ARGV[1] or '', '^%d+ (%d+) (%d+) ')
  if longest == '0' then longest = idle end
  if not longest or longest == '0' then
    return redis.error_reply('ERR sluice: a guarded gate must have a lease')
  end
  calm_at = now + longest
  redis.call('HSET', KEYS[1], '\5', string.format('%s %.0f', run, calm_at))
  if hot then
    local above = math.max(struct.unpack('<d', hot), now * 1000)
    hot = struct.pack('<d', above) .. string.sub(hot, 9)
    redis.call('HSET', KEYS[1], HOT, hot)
  end
end
local calm = now >= tonumber(calm_at)
