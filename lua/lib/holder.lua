-- The caller of renew and release: an id, and the number it says to hold under.
local id, number = ARGV[2], tonumber(ARGV[3])
if not id or not number then
  return redis.error_reply('ERR sluice: ARGV[2] and ARGV[3] must be an id and its fencing number')
end
