-- A task that was handed out before starts again. Behind preflight.lua.
-- KEYS: mark of the task, count of its lost starts    ARGV: window in seconds
-- Returns -1 when the task is done already, else how often it was handed out again.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return -1
end
must_allow(KEYS[2], 'INCR', KEYS[2])
must_allow(KEYS[2], 'EXPIRE', KEYS[2], '1')
if refusal then
  return refusal
end
local times = redis.call('INCR', KEYS[2])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return times
