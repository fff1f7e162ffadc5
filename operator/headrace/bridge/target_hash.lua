-- The target is a hash; each entry is a row of a field and its value, or of a field alone, which goes. Behind row.lua.
local kind = 'hash'

local function room()
  return nil
end

local function write(target, _, from, first, last)
  for number = first, last do
    local field, value = unpack(parts_of(from[number]))
    if value then
      redis.call('HSET', target, field, value)
    else
      redis.call('HDEL', target, field)
    end
  end
  return 0
end
