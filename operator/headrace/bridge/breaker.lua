-- Replace what is known of a destination, unless somebody else did meanwhile.
-- KEYS: hash of the breakers    ARGV: destination, what it was, what it is ('': nothing to say)
-- Returns what stands there now.
local known = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if known ~= ARGV[2] then
  return known
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return ARGV[3]
