-- The first fix, kept as a defendant: the cap is checked and the session
-- written in one step. What it leaves outside is what convicts it.
-- KEYS[1] sessions (hash)  ARGV[1] cap  ARGV[2] id
-- Reply: 1 admitted or already in, 0 full
if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then
  return 1
end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[2], 'active')
return 1
