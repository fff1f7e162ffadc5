-- Queue a record for Pulsar and publish its payload on a channel: both or neither, once for each message id.
-- Behind preflight.lua.
-- KEYS: outbox, mark of the message id    ARGV: record, channel, payload, seconds that the mark lives
-- Returns {1, receivers}; {0, 0} when the message id was seen before.
local outbox, mark, channel = KEYS[1], KEYS[2], ARGV[2]
must_be(mark, 'string')
must_be(outbox, 'list')
must_allow(outbox, 'LPUSH', outbox, '')
must_allow(mark, 'SET', mark, '1', 'EX', '1')
must_allow(channel, 'PUBLISH', channel, '')
if refusal then
  return refusal
end
if redis.call('EXISTS', mark) == 1 then
  return {0, 0}
end
redis.call('SET', mark, '1', 'EX', ARGV[4])
redis.call('LPUSH', outbox, ARGV[1])
return {1, redis.call('PUBLISH', channel, ARGV[3])}
