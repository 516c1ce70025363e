-- How the gate stands: names and values. Changes nothing, not even housekeeping.
-- KEYS: gate line due
-- ARGV: config
-- reply: capacity
-- cost: O(log n)
--@include lib/hot.lua
--@include lib/state.lua
local processed, high_held, high_queue, capacity = 0, 0, 0, nil
local mean, var, gaps, offers, _ = 0, 0, 0, 0, nil
local unpack_, format = struct.unpack, string.format
if hot then
  processed, high_held = unpack_('<dd', hot, 17)
  high_queue = unpack_('<d', hot, 73)
  capacity = unpack_('<d', base)
  mean, var, gaps, _, _, offers = unpack_('<dddddd', rest)
else
  capacity = tonumber(string.match(ARGV[1] or '', '^%d+'))
  if not capacity then
    return redis.error_reply('ERR sluice: ARGV[1] must be the gate\'s configuration')
  end
end
local words = {}
local function say(name, value) words[#words + 1] = name .. ' ' .. format('%.0f', value) end
say('capacity', capacity)
say('held', redis.call('ZCOUNT', KEYS[2], '-4e15', '(0'))
say('offers', offers)
say('waiting', redis.call('ZCOUNT', KEYS[2], '0', '(4e15'))
say('absent', redis.call('ZCOUNT', KEYS[2], '4e15', '+inf'))
say('remembered', redis.call('ZCOUNT', KEYS[2], '-inf', '(-4e15'))
say('processed', processed)
-- Statistics that change rarely are fields of their own. Bucket 0 of the wait
-- histogram is what the others lack to `processed`.
local names = { 'rejected', 'total_wait_ms', 'reclaimed', 'lapsed', 'abandoned', 'timed_out',
  'cancelled', 'released' }
local counts = {}
for i = 1, 8 do counts[i] = '\2' .. names[i] end
for i = 1, 31 do counts[8 + i] = '\2wait' .. i end
local values = redis.call('HMGET', KEYS[1], unpack(counts))
for i = 1, 8 do say(names[i], values[i] or 0) end
say('held_max', high_held)
say('in_line_max', high_queue)
words[#words + 1] = format('gap_mean %.17g gap_var %.17g gaps %.0f', mean, var, gaps)
local buckets, late = {}, 0
for i = 1, 31 do
  local n = tonumber(values[8 + i] or 0)
  buckets[i], late = format('%.0f', n), late + n
end
words[#words + 1] = 'waits ' .. format('%.0f', processed - late) .. ',' .. table.concat(buckets, ',')
return table.concat(words, ' ')
