-- Push a record for a task, once. Behind preflight.lua.
-- KEYS: mark of the task, list    ARGV: window in seconds, record
-- Returns 1 when it was pushed, 0 when the task had its record before.
local mark, list = KEYS[1], KEYS[2]
must_be(mark, 'string')
must_be(list, 'list')
must_allow(mark, 'SET', mark, '1', 'NX', 'EX', '1')
must_allow(list, 'LPUSH', list, '')
if refusal then
  return refusal
end
if not redis.call('SET', mark, '1', 'NX', 'EX', ARGV[1]) then
  return 0
end
redis.call('LPUSH', list, ARGV[2])
return 1
