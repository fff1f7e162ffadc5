-- Where the messages of a partition are spread over replicas: each one above the watermark is remembered by its id, until
-- raise.lua lifts the watermark over it. In front of deliver.lua.
-- KEYS 4...: for each partition of the batch the sorted set of ids
-- ARGV after the messages: for each partition the number of its messages, then their ids
local function look_at_memory(fields)
  for field = 1, fields do
    must_be(KEYS[3 + field], 'zset')
    must_allow(KEYS[3 + field], 'ZADD', KEYS[3 + field], '0', '')
  end
end

local function ids_of(fields, tail)
  local found, at = {}, tail
  for field = 1, fields do
    local count = tonumber(ARGV[at])
    found[field] = {unpack(ARGV, at + 1, at + count)}
    at = at + 1 + count
  end
  return found
end

-- (number of the partition, place among its messages), both from 1, of what was pushed before
local function pushed_before(fields, tail)
  local found = {}
  for field, ids in ipairs(ids_of(fields, tail)) do
    for place, score in ipairs(redis.call('ZMSCORE', KEYS[3 + field], unpack(ids))) do
      if score then
        found[#found + 1] = field
        found[#found + 1] = place
      end
    end
  end
  return found
end

local function remember(fields, tail)
  for field, ids in ipairs(ids_of(fields, tail)) do
    local scored = {}
    for place, id in ipairs(ids) do
      scored[2 * place - 1], scored[2 * place] = 0, id
    end
    in_steps('ZADD', KEYS[3 + field], scored, 1, #scored)
  end
end
