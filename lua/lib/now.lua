-- The one clock: the server's (never a client's), in whole milliseconds.
local clock = redis.call('TIME')
local now = (clock[1] * 1000000 + clock[2]) / 1000
now = now - now % 1
