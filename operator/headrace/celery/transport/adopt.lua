#!lua flags=allow-oom
-- Give back a message that a worker with kombu's own transport left unacknowledged.
-- KEYS: its unacked hash, its unacked_index, list    ARGV: tag, the message
-- Returns 0 when somebody else was first.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('RPUSH', KEYS[3], ARGV[2])
return 1
