-- Queue the tasks of one tick and note that it ran, both or neither. Behind preflight.lua.
-- KEYS: lease, states, the list of each message
-- ARGV: token, entry, its state before the tick, its state after it, each message
-- Returns 1; 0 when the entry is in another state, so somebody sent this tick; -1 without the lease.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return -1
end
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then
  return 0
end
must_allow(KEYS[2], 'HSET', KEYS[2], '', '')
for place = 3, #KEYS do
  must_be(KEYS[place], 'list')
  must_allow(KEYS[place], 'LPUSH', KEYS[place], '')
end
if refusal then
  return refusal
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
for place = 3, #KEYS do
  redis.call('LPUSH', KEYS[place], ARGV[place + 2])
end
return 1
