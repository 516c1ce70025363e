-- Step 4, and the words for the caller's place, if there are none yet.
if not words and me_ended then
  words = 'ended ' .. ENDED[me_ended]
elseif not words then
  if byte(read(id)) == O then
    local nonce, _, joined, _, number = unpack_('<ddddd', read(id), 2)
    offers = offers - 1
    moved = true
    --@inline lib/claim.lua
  end
  local record = read(id)
  if byte(record) == H then
    local _, number, alive, active, waited = unpack_('<ddddd', record, 2)
    local deadline = math.min(alive, active)
    local ttl = deadline < NEVER and math.max(0, deadline - now) or -1
    words = format('granted %.0f %.0f %.0f', number, ttl, waited)
  else
    local _, key = unpack_('<dd', record, 2)
    local position
    if joiner and key % 4 == 0 then -- a newcomer without class or boost is the last
      in_line = call('ZCOUNT', LINE, '0', '+inf')
      position = in_line
    else
      position = 1 + call('ZCOUNT', LINE, '0', format('(%.0f', key))
        + call('ZCOUNT', LINE, '4e15', format('(%.0f', key + 4e15))
    end
    pace = pace or format('%.17g %.17g %.0f', mean, var, gaps)
    words = format('waiting %.0f %s', position, pace)
  end
end
