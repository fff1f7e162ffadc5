-- Give back a message that a worker with kombu's own transport left unacknowledged. Behind preflight.lua.
-- KEYS: its unacked hash, its unacked_index, list    ARGV: tag, the message
-- Returns 0 when somebody else was first.
local unacked, index, list = KEYS[1], KEYS[2], KEYS[3]
must_be(list, 'list')
must_be(index, 'zset')
must_allow(unacked, 'HDEL', unacked, '')
must_allow(index, 'ZREM', index, '')
must_allow(list, 'RPUSH', list, '')
if refusal then
  return refusal
end
if redis.call('HDEL', unacked, ARGV[1]) == 0 then
  return 0
end
redis.call('ZREM', index, ARGV[1])
redis.call('RPUSH', list, ARGV[2])
return 1
