-- A task that was handed out before starts again.
-- KEYS: mark of the task, count of its lost starts    ARGV: window in seconds
-- Returns -1 when the task is done already, else how often it was handed out again.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return -1
end
local times = redis.call('INCR', KEYS[2])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return times
