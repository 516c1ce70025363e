-- Step 3: at most `batch` promotions. While no place has moved there are none:
-- every call goes on until no slot is free or nobody waits, or says what is left.
if moved then
  held = held or call('ZCOUNT', LINE, '-4e15', '(0')
  local steps = calm and batch or 0
  while held < capacity do
    local rows = call('ZRANGEBYSCORE', LINE, '0', '(4e15', 'LIMIT', '0', '2')
    local id = rows[1]
    if not id then break end
    if steps == 0 then
      left = true
      break
    end
    steps = steps - 1
    local late = next_due <= now and call('ZSCORE', DUE, id)
    if late and tonumber(late) <= now then
      local zone = 2
      --@inline lib/step.lua
    else
      local record = read(id) or pack('<Bdddd', Q, 0, 0, now, now)
      local nonce, key, joined, heard = unpack_('<dddd', record, 2)
      fence = fence + 1
      held = held + 1
      if id ~= joiner then
        -- Flow: smoothed time between promotions while someone waits.
        if since >= 0 then
          gaps = math.min(gaps + 1, 4294967295)
          local gap, alpha = math.max(0, now - since), 1 / math.min(gaps, 16)
          local d = gap - mean
          mean = mean + alpha * d
          var = (1 - alpha) * (var + alpha * (d * d))
          pace, told = nil, false
        end
        since = rows[2] and now or -1
      end
      if next_due < NEVER then call('ZREM', DUE, id) end
      if absent_after > 0 then
        local deadline = now + claim_within
        offers = offers + 1
        records[id] = pack('<Bdddddd', O, nonce, key, joined, heard, fence, deadline)
        dirty[#dirty + 1] = id
        call('ZADD', LINE, format('%d', deadline - 4e15), id)
        if deadline < next_held then next_held = deadline end
      else
        local number = fence
        --@inline lib/claim.lua
      end
      if id ~= me then call('PUBLISH', LINE .. ':wake', id) end
    end
  end
end
