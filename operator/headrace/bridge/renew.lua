-- Prolong the lease, or give it up (milliseconds = 0).
-- KEYS: owner, lease    ARGV: token, milliseconds
-- The owner outlives the lease: who was frozen past its lease and finds nobody else came may go on.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[2])
else
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
return 1
