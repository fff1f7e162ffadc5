-- Forget the cut in flight: Pulsar has it.
-- KEYS: cut list, state hash, owner, lease    ARGV: token, lease milliseconds, first id
-- Returns 1; 0 when that cut is not in flight any more (the answer to an earlier try was lost).
if redis.call('GET', KEYS[3]) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[2])
if redis.call('HGET', KEYS[2], 'first') ~= ARGV[3] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], 'first', 'routing', 'made')
return 1
