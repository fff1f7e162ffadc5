-- Claim a source for one resource.
-- KEYS: claim    ARGV: name of the resource, milliseconds
-- Returns the name of the resource that has it now: another one's, and nothing is done, or this one's.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return holder
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
