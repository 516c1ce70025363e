-- The caller of acquire, poll and cancel: who it is.
local id, nonce = ARGV[2], tonumber(ARGV[3])
if not id or #id == 0 or #id > 512 or string.find(id, '%c') then
  return redis.error_reply('ERR sluice: ARGV[2] must be an id of 1 to 512 bytes without control characters')
end
if not nonce or nonce % 1 ~= 0 or nonce < 0 or nonce > 9007199254740991 then
  return redis.error_reply('ERR sluice: ARGV[3] must be a nonce, 0 to 9007199254740991')
end
