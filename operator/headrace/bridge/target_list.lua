-- The target is a list. In front of deliver.lua.
local target, limit = KEYS[1], tonumber(ARGV[1])
local keep_books_first = false

local function look_at_target()
  must_be(target, 'list')
  must_allow(target, 'LPUSH', target, '')
  if limit > 0 then
    must_allow(target, 'LLEN', target)
  end
end

-- how many entries may still come; nil for any number
local function room()
  return limit > 0 and limit - redis.call('LLEN', target) or nil
end

-- write entries *first* to *last* of the table *from*; the number of those that nobody heard
local function write(from, first, last)
  in_steps('LPUSH', target, from, first, last)
  return 0
end
