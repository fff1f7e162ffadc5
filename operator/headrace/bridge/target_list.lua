-- The target is a list. In front of deliver.lua.
local kind = 'list'

-- how many entries may still come; nil for any number
local function room(target, limit)
  return limit > 0 and limit - redis.call('LLEN', target) or nil
end

-- write entries *first* to *last* of the table *from*; the number of those that nobody heard
local function write(target, _, from, first, last)
  redis.call('LPUSH', target, unpack(from, first, last))
  return 0
end
