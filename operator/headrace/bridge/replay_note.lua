-- Write fields of a run's hash. Behind preflight.lua.
-- KEYS: owner, lease, hash    ARGV: token, lease milliseconds, field, value, ...
local owner, lease, run = KEYS[1], KEYS[2], KEYS[3]
if redis.call('GET', owner) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
must_be(run, 'hash')
must_allow(lease, 'SET', lease, '', 'PX', '1')
must_allow(run, 'HSET', run, '', '')
if refusal then
  return refusal
end
redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])
in_steps('HSET', run, ARGV, 3, #ARGV)
return 1
