-- Lift the watermark of one partition to where the subscription has acknowledged everything, and forget the ids below.
-- KEYS: watermark hash, sorted set of ids    ARGV: partition, ledger, entry, index, the largest id that is forgotten
-- Returns how many ids were forgotten.
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old then
  local ledger, entry = string.match(old, '^(-?%d+):(-?%d+):')
  local higher = tonumber(ARGV[2]) - tonumber(ledger)
  if higher < 0 or (higher == 0 and tonumber(ARGV[3]) < tonumber(entry)) then
    return 0
  end
end
redis.call('HSET', KEYS[1], ARGV[1], table.concat({ARGV[2], ARGV[3], ARGV[4]}, ':'))
return redis.call('ZREMRANGEBYLEX', KEYS[2], '-', '[' .. ARGV[5])
