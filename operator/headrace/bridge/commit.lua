-- Forget the oldest cut in flight: Pulsar has it. Behind preflight.lua.
-- KEYS: entries in flight, cuts in flight, owner, lease
-- ARGV: token, lease milliseconds, first id, number of entries, channel, payloads to publish there
-- Returns how many of these nobody heard, and why when the user may not publish them. Nothing is done when that cut is
-- not in flight any more (the answer to an earlier try was lost), so each commit is announced once.
local flying, cuts, owner, lease, channel = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[5]
if redis.call('GET', owner) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
must_be(flying, 'list')
must_be(cuts, 'list')
must_allow(lease, 'SET', lease, '', 'PX', '1')
must_allow(cuts, 'LPOP', cuts)
must_allow(flying, 'LTRIM', flying, '0', '-1')
if refusal then
  return refusal
end
local oldest = redis.call('LINDEX', cuts, 0)
redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])
if not oldest or string.match(oldest, '^%d+') ~= ARGV[3] then
  return {0, ''}
end
redis.call('LPOP', cuts)
redis.call('LTRIM', flying, ARGV[4], -1)
if #ARGV > 5 then
  must_allow(channel, 'PUBLISH', channel, '')
end
if refusal then
  -- who may not publish there must not hold up what Pulsar has
  return {#ARGV - 5, refusal.err}
end
local unheard = 0
for index = 6, #ARGV do
  if redis.call('PUBLISH', channel, ARGV[index]) == 0 then
    unheard = unheard + 1
  end
end
return {unheard, ''}
