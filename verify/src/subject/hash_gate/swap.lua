-- A leaver goes, and whom it popped off the queue before comes in.
-- KEYS[1] sessions (hash)  ARGV[1] the leaver  ARGV[2] the popped one, or nothing
redis.call('HDEL', KEYS[1], ARGV[1])
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[2], 'active')
end
return 1
