-- Lift the watermark of one partition to where the subscription has acknowledged everything, and forget the ids below.
-- Behind preflight.lua.
-- KEYS: watermark hash, sorted set of ids    ARGV: partition, ledger, entry, index, the largest id that is forgotten
-- Returns how many ids were forgotten.
local watermark, ids = KEYS[1], KEYS[2]
must_be(watermark, 'hash')
must_be(ids, 'zset')
must_allow(watermark, 'HSET', watermark, '', '')
must_allow(ids, 'ZREMRANGEBYLEX', ids, '-', '+')
if refusal then
  return refusal
end
local old = redis.call('HGET', watermark, ARGV[1])
if old then
  local ledger, entry = string.match(old, '^(-?%d+):(-?%d+):')
  local higher = tonumber(ARGV[2]) - tonumber(ledger)
  if higher < 0 or (higher == 0 and tonumber(ARGV[3]) < tonumber(entry)) then
    return 0
  end
end
redis.call('HSET', watermark, ARGV[1], table.concat({ARGV[2], ARGV[3], ARGV[4]}, ':'))
return redis.call('ZREMRANGEBYLEX', ids, '-', '[' .. ARGV[5])
