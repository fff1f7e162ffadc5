-- Put what was received from channels into the list that is moved to Pulsar, and remember up to where.
-- KEYS: list, hash of the received, owner
-- ARGV: token, channel of the marks, place before the first entry or '', place after the last one,
--       most entries in the list, most bytes of memory for it, entries
-- Returns how many of the newest entries found no room; -1 and nothing done when the place is another one by now.
if redis.call('GET', KEYS[3]) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
if (redis.call('HGET', KEYS[2], 'put') or '') ~= ARGV[3] then
  return -1
end
local count = #ARGV - 6
local fitting = math.min(count, math.max(0, tonumber(ARGV[5]) - redis.call('LLEN', KEYS[1])))
if count > 0 and (redis.call('MEMORY', 'USAGE', KEYS[1]) or 0) > tonumber(ARGV[6]) then
  fitting = 0
end
if fitting > 0 then
  redis.call('LPUSH', KEYS[1], unpack(ARGV, 7, 6 + fitting))
end
redis.call('HSET', KEYS[2], 'put', ARGV[4])
local number = redis.call('HINCRBY', KEYS[2], 'marks', 1)
redis.call('PUBLISH', ARGV[2], 'put ' .. string.format('%.0f', number) .. ' ' .. ARGV[4])
return count - fitting
