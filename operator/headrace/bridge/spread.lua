-- Where the messages of a partition are spread over replicas: each one above the watermark is remembered by its id, until
-- raise.lua lifts the watermark over it. In front of deliver.lua.
-- KEYS 5...: for each partition of the batch the sorted set of ids
-- ARGV after the messages: for each partition the number of its messages, then their ids
local function look_at_memory(fields)
  for field = 1, fields do
    must_be(KEYS[4 + field], 'zset')
    must_allow(KEYS[4 + field], 'ZADD', KEYS[4 + field], '0', '')
    must_allow(KEYS[4 + field], 'ZMSCORE', KEYS[4 + field], '')
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
    for place, score in ipairs(redis.call('ZMSCORE', KEYS[4 + field], unpack(ids))) do
      if score then
        found[#found + 1] = field
        found[#found + 1] = place
      end
    end
  end
  return found
end

-- Whether a witness, 'ledger:entry:index:...', lies above the one of a stored 'epoch witness'.
local function is_higher(witness, stored)
  local ours = {string.match(witness, '^(-?%d+):(-?%d+):(-?%d+):')}
  for part, theirs in ipairs({string.match(stored or '', ' (-?%d+):(-?%d+):(-?%d+):')}) do
    local difference = tonumber(ours[part]) - tonumber(theirs)
    if difference ~= 0 then
      return difference > 0
    end
  end
  return true
end

local function remember(fields, tail)
  for field, ids in ipairs(ids_of(fields, tail)) do
    local at = field * 5 - 2
    if ARGV[at + 4] ~= '' and is_higher(ARGV[at + 4], redis.call('HGET', KEYS[4], ARGV[at])) then
      redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 3] .. ' ' .. ARGV[at + 4])
    end
    local scored = {}
    for place, id in ipairs(ids) do
      scored[2 * place - 1], scored[2 * place] = 0, id
    end
    in_steps('ZADD', KEYS[4 + field], scored, 1, #scored)
  end
end
