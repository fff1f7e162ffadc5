-- Put a mark into what this server publishes: see tape.py.
-- KEYS: hash of the received    ARGV: channel of the marks
-- The mark tells up to where everything was put away, so that others need not keep that.
local number = redis.call('HINCRBY', KEYS[1], 'marks', 1)
redis.call('PUBLISH', ARGV[1], 'join ' .. string.format('%.0f', number) .. ' ' .. (redis.call('HGET', KEYS[1], 'put') or ''))
return number
