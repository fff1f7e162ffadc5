-- Queue a record for Pulsar and publish its payload on a channel: both or neither, once for each message id.
-- KEYS: outbox, mark of the message id    ARGV: record, channel, payload, seconds that the mark lives
-- Returns {1, receivers}; {0, 0} when the message id was seen before.
if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[4]) then
  return {0, 0}
end
local queued = redis.pcall('LPUSH', KEYS[1], ARGV[1])
if type(queued) == 'table' then
  redis.call('DEL', KEYS[2])
  return queued
end
local receivers = redis.pcall('PUBLISH', ARGV[2], ARGV[3])
if type(receivers) == 'table' then
  -- the user may not publish there; nobody saw the record meanwhile
  redis.call('LPOP', KEYS[1])
  redis.call('DEL', KEYS[2])
  return receivers
end
return {1, receivers}
