-- Tell the other replicas that this one lives, or that it goes (milliseconds = 0); hear who else does.
-- KEYS: sorted set of replicas    ARGV: this replica, milliseconds for which a silent replica counts
-- Returns the replicas.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - tonumber(ARGV[2])))
end
return redis.call('ZRANGE', KEYS[1], 0, -1)
