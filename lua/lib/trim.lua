-- One more ending is remembered: drops the oldest of these that are too many.
remembered = remembered + 1 -- never too small, so counting may wait until it is too large
if remembered > tombstones_max then
  remembered = call('ZCOUNT', LINE, '-inf', '(-4e15')
  while remembered > tombstones_max do
    local oldest = call('ZRANGEBYSCORE', LINE, '-inf', '(-4e15', 'LIMIT', '0',
      format('%d', math.min(100, remembered - tombstones_max)))
    call('ZREM', LINE, unpack(oldest))
    for i = 1, #oldest do
      records[oldest[i]], dirty[#dirty + 1] = false, oldest[i]
    end
    remembered = remembered - #oldest
  end
end
