-- Forget the oldest cut in flight: Pulsar has it.
-- KEYS: entries in flight, cuts in flight, owner, lease
-- ARGV: token, lease milliseconds, first id, number of entries, channel, payloads to publish there
-- Returns how many of these nobody heard. Nothing is done when that cut is not in flight any more (the answer to an
-- earlier try was lost), so each commit is announced once.
if redis.call('GET', KEYS[3]) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[2])
local oldest = redis.call('LINDEX', KEYS[2], 0)
if not oldest or string.match(oldest, '^%d+') ~= ARGV[3] then
  return 0
end
redis.call('LPOP', KEYS[2])
redis.call('LTRIM', KEYS[1], ARGV[4], -1)
local unheard = 0
for index = 6, #ARGV do
  local receivers = redis.pcall('PUBLISH', ARGV[5], ARGV[index])
  -- who may not publish there must not hold up what Pulsar has
  if type(receivers) == 'table' or receivers == 0 then
    unheard = unheard + 1
  end
end
return unheard
