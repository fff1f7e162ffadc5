-- The target is a channel, which keeps nothing. In front of deliver.lua.    ARGV 1: its name
local target = ARGV[1]
-- A server that is full or read-only publishes all the same, and refuses the first write.
local keep_books_first = true

local function look_at_target()
  must_allow(target, 'PUBLISH', target, '')
end

local function room()
  return nil
end

local function write(from, first, last)
  local unheard = 0
  for number = first, last do
    if redis.call('PUBLISH', target, from[number]) == 0 then
      unheard = unheard + 1
    end
  end
  return unheard
end
