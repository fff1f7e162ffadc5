-- Tell the other replicas that this one lives, or that it goes (milliseconds = 0); hear who else does. Behind preflight.lua.
-- KEYS: sorted set of replicas    ARGV: this replica, milliseconds for which a silent replica counts
-- Returns the replicas.
local replicas = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
must_be(replicas, 'zset')
must_allow(replicas, 'ZRANGE', replicas, '0', '-1')
if ARGV[2] == '0' then
  must_allow(replicas, 'ZREM', replicas, ARGV[1])
else
  must_allow(replicas, 'ZADD', replicas, '0', ARGV[1])
  must_allow(replicas, 'ZREMRANGEBYSCORE', replicas, '-inf', '0')
end
if refusal then
  return refusal
end
if ARGV[2] == '0' then
  redis.call('ZREM', replicas, ARGV[1])
else
  redis.call('ZADD', replicas, string.format('%.0f', now), ARGV[1])
  redis.call('ZREMRANGEBYSCORE', replicas, '-inf', string.format('(%.0f', now - tonumber(ARGV[2])))
end
return redis.call('ZRANGE', replicas, 0, -1)
