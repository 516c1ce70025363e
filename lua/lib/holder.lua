-- The caller of renew and release: only the holder of the current fencing
-- number, and only before its deadline, even if the expiry was not worked off.
local id, number = ARGV[2], tonumber(ARGV[3])
if not id or not number then
  return redis.error_reply('ERR sluice: ARGV[2] and ARGV[3] must be an id and its fencing number')
end

-- Its record, if it is held: claimed ('h'), or else offered.
local function holder(claimed_only)
  local record = not string.find(id, '^%c') and read(id)
  local kind = record and sub(record, 1, 1)
  if kind == 'h' then
    local _, known, alive, active = unpack_('<dddd', record, 2)
    return known == number and math.min(alive, active) > now and record
  elseif kind == 'o' and not claimed_only then
    local _, _, _, _, known, deadline = unpack_('<dddddd', record, 2)
    return known == number and deadline > now and record
  end
end
