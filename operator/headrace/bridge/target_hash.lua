-- The target is a hash; each entry is a row of a field and its value, or of a field alone, which goes. Behind row.lua.
local target = KEYS[1]
local keep_books_first = false

local function look_at_target()
  must_be(target, 'hash')
  must_allow(target, 'HSET', target, '', '')
  must_allow(target, 'HDEL', target, '')
end

local function room()
  return nil
end

local function write(from, first, last)
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
