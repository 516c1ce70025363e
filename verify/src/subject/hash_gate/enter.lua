-- In if a slot is free and nobody waits, else at the end of the queue, once.
-- KEYS[1] sessions (hash)  KEYS[2] queue (list)  ARGV[1] cap  ARGV[2] id
-- Reply: 1 admitted or already in, 0 queued
if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then
  return 1
end
if redis.call('HLEN', KEYS[1]) < tonumber(ARGV[1]) and redis.call('LLEN', KEYS[2]) == 0 then
  redis.call('HSET', KEYS[1], ARGV[2], 'active')
  return 1
end
if not redis.call('LPOS', KEYS[2], ARGV[2]) then
  redis.call('RPUSH', KEYS[2], ARGV[2])
end
return 0
