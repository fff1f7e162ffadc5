-- Put what was received from channels into the list that is moved to Pulsar, and remember up to where. Behind preflight.lua.
-- KEYS: list, hash of the received, owner
-- ARGV: token, channel of the marks, place before the first entry or '', place after the last one,
--       most entries in the list, most bytes of memory for it, entries. Without a place after the last one nothing is
--       written, and what Valkey would refuse is told.
-- Returns how many of the newest entries found no room; -1 and nothing done when the place is another one by now.
local list, state, channel = KEYS[1], KEYS[2], ARGV[2]
if redis.call('GET', KEYS[3]) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
must_be(list, 'list')
must_be(state, 'hash')
must_count(state, 'marks')
must_allow(list, 'LPUSH', list, '')
must_allow(list, 'LLEN', list)
must_allow(list, 'MEMORY', 'USAGE', list)
must_allow(state, 'HSET', state, 'put', '')
must_allow(state, 'HINCRBY', state, 'marks', '1')
must_allow(channel, 'PUBLISH', channel, '')
if refusal then
  return refusal
end
if ARGV[4] == '' then
  return 0
end
if (redis.call('HGET', state, 'put') or '') ~= ARGV[3] then
  return -1
end
local count = #ARGV - 6
local fitting = math.min(count, math.max(0, tonumber(ARGV[5]) - redis.call('LLEN', list)))
if count > 0 and (redis.call('MEMORY', 'USAGE', list) or 0) > tonumber(ARGV[6]) then
  fitting = 0
end
in_steps('LPUSH', list, ARGV, 7, 6 + fitting)
redis.call('HSET', state, 'put', ARGV[4])
local number = redis.call('HINCRBY', state, 'marks', 1)
redis.call('PUBLISH', channel, 'put ' .. string.format('%.0f', number) .. ' ' .. ARGV[4])
return count - fitting
