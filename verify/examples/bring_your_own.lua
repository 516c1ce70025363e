-- Is a seat free? KEYS: the set of those who sit. ARGV: seats.
if redis.call('SCARD', KEYS[1]) < tonumber(ARGV[1]) then
  return 1
end
return 0
