-- Store a task's state unless it has succeeded, and tell those who wait for it. Behind preflight.lua.
-- KEYS: the state, which is its channel's name too
-- ARGV: new state, seconds it is kept (0: for ever), what a success begins with, what every state begins with
--       (both empty: only the caller can read a state), the present state as the caller has read it (empty: not yet)
-- Returns nil when that is settled, or the present state: the caller reads it and says whether to replace it.
if redis.call('EXISTS', KEYS[1]) == 1 and not (ARGV[5] ~= '' and redis.call('GET', KEYS[1]) == ARGV[5]) then
  local head = redis.call('GETRANGE', KEYS[1], 0, #ARGV[3])
  if ARGV[3] == '' or head:sub(1, #ARGV[4]) ~= ARGV[4] then
    return redis.call('GET', KEYS[1])
  end
  if head:sub(1, #ARGV[3]) == ARGV[3] then
    return nil
  end
end
must_allow(KEYS[1], 'SET', KEYS[1], '', 'EX', '1')
must_allow(KEYS[1], 'PUBLISH', KEYS[1], '')
if refusal then
  return refusal
end
if ARGV[2] == '0' then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
return nil
