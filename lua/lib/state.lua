local fields = redis.call('HMGET', KEYS[1], HOT, KNOWN, REST)
local hot, base, rest = fields[1], fields[2], fields[3]
