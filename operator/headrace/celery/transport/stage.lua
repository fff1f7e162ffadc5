-- Keep a record until its message is acknowledged; what an earlier run left is replaced.
-- KEYS: the owner's reservations, its staged records    ARGV: number, the record with its list, mark and window
-- Returns 0 when the message is not the owner's any more.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
