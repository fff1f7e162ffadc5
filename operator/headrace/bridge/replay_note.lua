-- Write fields of a run's hash.
-- KEYS: owner, lease, hash    ARGV: token, lease milliseconds, field, value, ...
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return redis.call('HSET', KEYS[3], unpack(ARGV, 3))
