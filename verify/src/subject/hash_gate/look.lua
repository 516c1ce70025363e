-- A waiter looks; if it is first and a slot is free, it is let in.
-- KEYS[1] sessions (hash)  KEYS[2] queue (list)  ARGV[1] cap  ARGV[2] id
-- Reply: 1 in, 0 not yet
if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then
  return 1
end
if redis.call('HLEN', KEYS[1]) < tonumber(ARGV[1])
  and redis.call('LINDEX', KEYS[2], 0) == ARGV[2] then
  redis.call('LPOP', KEYS[2])
  redis.call('HSET', KEYS[1], ARGV[2], 'active')
  return 1
end
return 0
