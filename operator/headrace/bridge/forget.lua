-- The topic of a partition is another one than what is remembered speaks of: begin the next epoch. Behind preflight.lua.
-- KEYS: watermark hash, hash of the epochs and witnesses, hash of the beginnings, the sorted sets of ids
-- ARGV: partition, the epoch that ends
-- Returns 1, or 0 when it was another epoch already.
local watermark, memory, beginnings, ids, apart = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
must_be(watermark, 'hash')
must_be(memory, 'hash')
must_be(beginnings, 'hash')
must_be(ids, 'zset')
must_be(apart, 'zset')
must_allow(watermark, 'HDEL', watermark, '')
must_allow(memory, 'HSET', memory, '', '')
must_allow(beginnings, 'HSET', beginnings, '', '')
must_allow(ids, 'DEL', ids)
must_allow(apart, 'DEL', apart)
if refusal then
  return refusal
end
local known = redis.call('HGET', memory, ARGV[1]) or '0'
if string.match(known, '^%d+') ~= ARGV[2] then
  return 0
end
redis.call('HSET', memory, ARGV[1], string.format('%d', tonumber(ARGV[2]) + 1))
redis.call('HSET', beginnings, ARGV[1], '')
redis.call('HDEL', watermark, ARGV[1])
redis.call('DEL', ids, apart)
return 1
