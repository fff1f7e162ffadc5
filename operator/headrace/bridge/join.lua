-- Put a mark into what this server publishes: see tape.py. Behind preflight.lua.
-- KEYS: hash of the received    ARGV: channel of the marks
-- The mark tells up to where everything was put away, so that others need not keep that.
local state, channel = KEYS[1], ARGV[1]
must_be(state, 'hash')
must_count(state, 'marks')
must_allow(state, 'HINCRBY', state, 'marks', '1')
must_allow(channel, 'PUBLISH', channel, '')
if refusal then
  return refusal
end
local put = redis.call('HGET', state, 'put') or ''
local number = redis.call('HINCRBY', state, 'marks', 1)
redis.call('PUBLISH', channel, 'join ' .. string.format('%.0f', number) .. ' ' .. put)
return number
