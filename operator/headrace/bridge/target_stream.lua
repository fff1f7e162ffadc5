-- The target is a stream, cut to about *limit* entries; each entry is a row of fields and values. Behind row.lua.
local target, limit = KEYS[1], tonumber(ARGV[1])
local keep_books_first = false

local function look_at_target()
  must_be(target, 'stream')
  must_allow(target, 'XADD', target, '*', '', '')
end

local function room()
  return nil
end

local function added(fields)
  if limit > 0 then
    return redis.pcall('XADD', target, 'MAXLEN', '~', limit, '*', unpack(fields))
  end
  return redis.pcall('XADD', target, '*', unpack(fields))
end

-- A stream whose last id is the largest takes no more; what it took of these goes then.
local function write(from, first, last)
  local ids = {}
  for number = first, last do
    local id = added(parts_of(from[number]))
    if type(id) == 'table' then
      if #ids > 0 and may('XDEL', target, '0-0') then
        in_steps('XDEL', target, ids, 1, #ids)
      end
      return id
    end
    ids[#ids + 1] = id
  end
  return 0
end
