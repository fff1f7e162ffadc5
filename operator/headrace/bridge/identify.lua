-- Claim a bridge's keys for one resource, and tell the name of this installation.
-- KEYS: hash of the identity    ARGV: uid of the resource, milliseconds for which the claim holds, a new name
-- Returns {1, name}; {0, uid of the resource that holds the keys}, and nothing is done.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local name, uid, held = unpack(redis.call('HMGET', KEYS[1], 'name', 'uid', 'held-until'))
if uid and uid ~= ARGV[1] and now < (tonumber(held) or 0) then
  return {0, uid}
end
if not name or uid ~= ARGV[1] then
  name = ARGV[3]
end
must_allow(KEYS[1], 'HSET', KEYS[1], 'name', '')
if refusal then
  return refusal
end
redis.call('HSET', KEYS[1], 'name', name, 'uid', ARGV[1], 'held-until', string.format('%.0f', now + ARGV[2]))
return {1, name}
