-- Lift the watermark of one partition to where the subscription has acknowledged everything, and forget the ids below.
-- Behind preflight.lua.
-- KEYS: watermark hash, sorted set of ids, hash of the epochs and witnesses
-- ARGV: partition, ledger, entry, index, the largest id that is forgotten, the epoch of all that
-- Returns how many ids were forgotten.
local watermark, ids, memory = KEYS[1], KEYS[2], KEYS[3]
must_be(watermark, 'hash')
must_be(ids, 'zset')
must_be(memory, 'hash')
must_allow(watermark, 'HGET', watermark, '')
must_allow(watermark, 'HSET', watermark, '', '')
must_allow(ids, 'ZREMRANGEBYLEX', ids, '-', '+')
if refusal then
  return refusal
end
if string.match(redis.call('HGET', memory, ARGV[1]) or '0', '^%d+') ~= ARGV[6] then
  return 0
end
local old = redis.call('HGET', watermark, ARGV[1])
if old then
  for part, known in ipairs({string.match(old, '^(-?%d+):(-?%d+):(-?%d+)')}) do
    local higher = tonumber(ARGV[1 + part]) - tonumber(known)
    if higher < 0 then
      return 0
    elseif higher > 0 then
      break
    end
  end
end
redis.call('HSET', watermark, ARGV[1], table.concat({ARGV[2], ARGV[3], ARGV[4]}, ':'))
return redis.call('ZREMRANGEBYLEX', ids, '-', '[' .. ARGV[5])
