-- Take the lease when nobody holds it. Behind preflight.lua.
-- KEYS: owner, lease    ARGV: token, milliseconds
-- Returns 1 when the caller holds it now, 0 when another does.
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then
  return 0
end
must_allow(KEYS[2], 'SET', KEYS[2], '', 'PX', '1')
must_allow(KEYS[1], 'SET', KEYS[1], '')
if refusal then
  return refusal
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[1], ARGV[1])
return 1
