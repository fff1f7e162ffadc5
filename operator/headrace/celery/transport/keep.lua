-- Renew the owner's lease, and give back what owners hold whose lease ran out. Behind holding.lua.
-- KEYS: owners, deliveries, time of the last look
-- ARGV: owner, lease in ms, 1 when it is new, key of an owner's reservations without its name, the same of its staged
--   records, grace in ms, seconds to remember deliveries
-- Returns -1 alone when the owner's own lease ran out and its messages were given to others; else how many were given
-- back, how many found no place, and why not. The latter stay where they are, and nothing of it hinders the renewal.
local owners, deliveries, looked = KEYS[1], KEYS[2], KEYS[3]
local owner, lease, grace = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[6])
must_be(owners, 'zset')
must_be(looked, 'string')
must_allow(owners, 'ZADD', owners, '0', '')
must_allow(looked, 'SET', looked, '')
if refusal then
  return refusal
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] ~= '1' and not redis.call('ZSCORE', owners, owner) then
  return {-1}
end
local last = tonumber(redis.call('GET', looked) or 0) or 0
local late = redis.call('ZRANGEBYSCORE', owners, '-inf', '(' .. now, 'LIMIT', 0, 100)
redis.call('ZADD', owners, now + lease, owner)
redis.call('SET', looked, now)
if now - last > lease then
  -- Nobody looked for a whole lease: Valkey itself was away, perhaps. Those alive get the time to say so.
  for _, other in ipairs(late) do
    if other ~= owner then
      redis.call('ZADD', owners, now + grace, other)
    end
  end
  return {0, 0, ''}
end

local restored, stuck, why = 0, 0, ''

local function count(_, raw)
  local digest = redis.sha1hex(raw)
  redis.call('HSET', deliveries, digest, (tonumber(redis.call('HGET', deliveries, digest)) or 0) + 1)
end

must_be(deliveries, 'hash')
must_allow(deliveries, 'HGET', deliveries, '')
must_allow(deliveries, 'HSET', deliveries, '', '')
must_allow(deliveries, 'EXPIRE', deliveries, '1')
must_allow(owners, 'ZREM', owners, '')
local general = refusal
for _, other in ipairs(late) do
  if other ~= owner then
    refusal = general
    local unacked, staged = ARGV[4] .. other, ARGV[5] .. other
    must_be(unacked, 'hash')
    must_allow(unacked, 'HGETALL', unacked)
    must_allow(unacked, 'HDEL', unacked, '')
    must_allow(unacked, 'DEL', unacked, staged)
    local left = 0
    local problem = refusal
    refusal = nil
    if problem then
      left, why = 1, problem.err
    else
      local done, reason
      done, left, reason = give_back(unacked, {}, count)
      restored = restored + done
      why = left > 0 and reason or why
    end
    if left == 0 then
      redis.call('DEL', unacked, staged)
      redis.call('ZREM', owners, other)
    end
    stuck = stuck + left
  end
end
if restored > 0 then
  redis.call('EXPIRE', deliveries, ARGV[7])
end
return {restored, stuck, why}
