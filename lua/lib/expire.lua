-- Step 1: at most `batch` deadlines that were reached, of those who hold, of
-- those in line, of endings. Ranges are read a few at a time, with one more
-- than is needed, so that the next deadline is known without another call.
if next_held <= now or next_due <= now or next_ended <= now then
  moved = true
  local steps = batch
  for zone = 1, 3 do
    local bound, key, low, high, offset = next_held, LINE, '-4e15', '(0', 4e15
    if zone == 2 then bound, key, low, high, offset = next_due, DUE, '-inf', '+inf', 0 end
    if zone == 3 then bound, key, low, high, offset = next_ended, LINE, '-inf', '(-4e15', 8e15 end
    if bound <= now then
      -- Steps may set deadlines before the first that is left, but none that is due.
      if zone == 1 then next_held = NEVER elseif zone == 2 then next_due = NEVER else next_ended = NEVER end
      local size, first = 2, nil
      repeat
        local rows = call('ZRANGEBYSCORE', key, low, high, 'WITHSCORES', 'LIMIT', '0', format('%d', size))
        local forgotten = {}
        for i = 1, #rows, 2 do
          local id, deadline = rows[i], rows[i + 1] + offset
          if deadline > now or steps == 0 then
            first = deadline
            break
          end
          steps = steps - 1
          if zone == 3 then
            forgotten[#forgotten + 1] = id
            records[id], dirty[#dirty + 1] = false, id
          else
            --@inline lib/step.lua
          end
        end
        if forgotten[1] then
          call('ZREM', LINE, unpack(forgotten))
          remembered = remembered - #forgotten
        end
        if not first and #rows < 2 * size then first = NEVER end
        size = math.min(steps, 31) + 1
      until first
      if zone == 1 then next_held = math.min(next_held, first) end
      if zone == 2 then next_due = math.min(next_due, first) end
      if zone == 3 then next_ended = math.min(next_ended, first) end
    end
  end
end
