-- Count what became of letters, remember those that arrived and how far the replay is, and end its flight: all or nothing.
-- Behind preflight.lua.
-- KEYS: owner, lease, the run's hash, sorted set of letters that were replayed lately, the flight
-- ARGV: token, lease milliseconds, field of the position or '' for none, expected, new,
--       matched, skipped, failed, replayed otherwise (to be added),
--       milliseconds for which a letter is remembered, most letters remembered, then the names of letters that arrived
-- Returns how many of those were not remembered yet; -1, and nothing done, when the position is another.
local owner, lease, run, memory, flight = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if redis.call('GET', owner) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
must_be(run, 'hash')
must_be(memory, 'zset')
must_be(flight, 'hash')
must_allow(lease, 'SET', lease, '', 'PX', '1')
must_allow(run, 'HGET', run, '')
must_allow(run, 'HSET', run, '', '')
must_allow(run, 'HINCRBY', run, 'replayed', '1')
for _, field in ipairs({'matched', 'skipped', 'failed', 'replayed'}) do
  must_count(run, field)
end
must_allow(memory, 'ZADD', memory, 'NX', '0', '')
must_allow(memory, 'ZREMRANGEBYSCORE', memory, '-inf', '0')
must_allow(memory, 'ZREMRANGEBYRANK', memory, '0', '-1')
must_allow(flight, 'DEL', flight)
if refusal then
  return refusal
end
if ARGV[3] ~= '' and (redis.call('HGET', run, ARGV[3]) or '') ~= ARGV[4] then
  return -1
end
local now = redis.call('TIME')
redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])
local at = now[1] * 1000 + math.floor(now[2] / 1000)
local arrived = 0
for index = 12, #ARGV do
  arrived = arrived + redis.call('ZADD', memory, 'NX', at, ARGV[index])
end
if arrived > 0 then
  redis.call('ZREMRANGEBYSCORE', memory, '-inf', at - tonumber(ARGV[10]))
  redis.call('ZREMRANGEBYRANK', memory, 0, -1 - tonumber(ARGV[11]))
end
if ARGV[3] ~= '' then
  redis.call('HSET', run, ARGV[3], ARGV[5])
end
for index, field in ipairs({'matched', 'skipped', 'failed'}) do
  redis.call('HINCRBY', run, field, ARGV[5 + index])
end
redis.call('HINCRBY', run, 'replayed', arrived + tonumber(ARGV[9]))
redis.call('DEL', flight)
return arrived
