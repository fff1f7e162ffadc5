-- Push a record for a task, once.
-- KEYS: mark of the task, list    ARGV: window in seconds, record
-- Returns 1 when it was pushed, 0 when the task had its record before.
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1]) then
  return 0
end
redis.call('LPUSH', KEYS[2], ARGV[2])
return 1
