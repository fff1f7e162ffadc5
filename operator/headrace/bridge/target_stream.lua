-- The target is a stream, cut to about *limit* entries; each entry is a row of fields and values. Behind row.lua.
local kind = 'stream'

local function room()
  return nil
end

local function write(target, limit, from, first, last)
  for number = first, last do
    local fields = parts_of(from[number])
    if limit > 0 then
      redis.call('XADD', target, 'MAXLEN', '~', limit, '*', unpack(fields))
    else
      redis.call('XADD', target, '*', unpack(fields))
    end
  end
  return 0
end
