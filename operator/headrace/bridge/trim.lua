-- Remove from a stream what every group of it has read and acknowledged. Behind stream_id.lua.
-- KEYS: stream
-- Returns how many entries went.
local oldest
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local facts = {}
  for index = 1, #group, 2 do
    facts[group[index]] = group[index + 1]
  end
  local needed = facts['last-delivered-id']
  if facts['pending'] > 0 then
    needed = redis.call('XPENDING', KEYS[1], facts['name'])[2]
  end
  if not oldest or before(needed, oldest) then
    oldest = needed
  end
end
return oldest and redis.call('XTRIM', KEYS[1], 'MINID', oldest) or 0
