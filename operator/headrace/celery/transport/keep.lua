#!lua flags=allow-oom
-- Renew the owner's lease, and give back what owners hold whose lease ran out.
-- KEYS: owners, deliveries, time of the last look
-- ARGV: owner, lease in ms, 1 when it is new, key of an owner's reservations without its name, the same of its staged
--   records, grace in ms, seconds to remember deliveries
-- Returns -1 when the owner's own lease ran out and its messages were given to others; else how many were given back.
local owners, deliveries, looked = KEYS[1], KEYS[2], KEYS[3]
local owner, lease, grace = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[6])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] ~= '1' and not redis.call('ZSCORE', owners, owner) then
  return -1
end
redis.call('ZADD', owners, now + lease, owner)

local last = tonumber(redis.call('GET', looked) or 0)
redis.call('SET', looked, now)
local late = redis.call('ZRANGEBYSCORE', owners, '-inf', '(' .. now, 'LIMIT', 0, 100)
if now - last > lease then
  -- Nobody looked for a whole lease: Valkey itself was away, perhaps. Those alive get the time to say so.
  for _, other in ipairs(late) do
    redis.call('ZADD', owners, now + grace, other)
  end
  return 0
end

local restored = 0
for _, other in ipairs(late) do
  local unacked = ARGV[4] .. other
  local held = redis.call('HGETALL', unacked)
  local numbers, values = {}, {}
  for place = 1, #held, 2 do
    local number = tonumber(held[place])
    numbers[#numbers + 1] = number
    values[number] = held[place + 1]
  end
  table.sort(numbers, function(a, b) return a > b end) -- so that the oldest comes out first
  for _, number in ipairs(numbers) do
    local value = values[number]
    local colon = string.find(value, ':', 1, true)
    local size = tonumber(string.sub(value, 1, colon - 1))
    local list, raw = string.sub(value, colon + 1, colon + size), string.sub(value, colon + size + 1)
    redis.call('RPUSH', list, raw)
    redis.call('HINCRBY', deliveries, redis.sha1hex(raw), 1)
    restored = restored + 1
  end
  redis.call('DEL', unacked, ARGV[5] .. other)
  redis.call('ZREM', owners, other)
end
if restored > 0 then
  redis.call('EXPIRE', deliveries, ARGV[7])
end
return restored
