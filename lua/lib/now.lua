-- The one clock: the server's (never a client's), in whole milliseconds.
local clock = redis.call('TIME')
local now = clock[2] % 1000
now = clock[1] * 1000 + (clock[2] - now) / 1000
