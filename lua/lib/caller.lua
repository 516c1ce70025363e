-- The caller of acquire and poll: who it is, that it was heard, that it claims.
local id, nonce = ARGV[2], tonumber(ARGV[3])
if not id or #id == 0 or #id > 512 or string.find(id, '%c') then
  return redis.error_reply('ERR sluice: ARGV[2] must be an id of 1 to 512 bytes without control characters')
end
if not nonce or nonce < 0 or nonce > 9007199254740991 then
  return redis.error_reply('ERR sluice: ARGV[3] must be a nonce, 0 to 9007199254740991')
end

-- A live place; a waiter that was absent is present again.
local function heard(record, number)
  if sub(record, 1, 1) ~= 'q' then return end
  local _, key, joined = unpack_('<ddd', record, 2)
  write(id, 'q' .. pack('<dddd', number, key, joined, now))
  call('ZADD', LINE, key, id)
  schedule(id, joined, now, true)
end

-- Step 4, and the words for the caller's place.
local function claimed()
  local record = read(id)
  if not me_ended and sub(record, 1, 1) == 'o' then
    local known, _, joined, _, number = unpack_('<ddddd', record, 2)
    offers = offers - 1
    claim(id, known, joined, number)
  end
  return place(id)
end
