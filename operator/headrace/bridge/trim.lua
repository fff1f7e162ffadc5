-- Remove from a stream what every group of it has read and acknowledged.
-- KEYS: stream
-- Returns how many entries went.
local function parts(id)
  local milliseconds, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(milliseconds), tonumber(number)
end
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
  local milliseconds, number = parts(needed)
  local least_milliseconds, least_number = parts(oldest or needed)
  if milliseconds < least_milliseconds or (milliseconds == least_milliseconds and number < least_number) or not oldest then
    oldest = needed
  end
end
return oldest and redis.call('XTRIM', KEYS[1], 'MINID', oldest) or 0
