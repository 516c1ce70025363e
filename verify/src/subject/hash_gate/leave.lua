-- A leaver goes, and the first of the queue comes in.
-- KEYS[1] sessions (hash)  KEYS[2] queue (list)  ARGV[1] cap  ARGV[2] the leaver
redis.call('HDEL', KEYS[1], ARGV[2])
local next_one = redis.call('HLEN', KEYS[1]) < tonumber(ARGV[1]) and redis.call('LPOP', KEYS[2])
if next_one then
  redis.call('HSET', KEYS[1], next_one, 'active')
end
return 1
