-- Hand letters on to their outboxes and remember how far the replay is: all or nothing. Behind preflight.lua.
-- KEYS: owner, lease, the run's hash, sorted set of letters that were replayed lately, then the outboxes
-- ARGV: token, lease milliseconds, field of the position, expected, new,
--       matched, skipped, failed, replayed otherwise (to be added),
--       milliseconds for which a letter is remembered, most letters remembered,
--       then for each letter: its name, the number of its outbox (from 1), its outbox record
-- Returns how many were handed on; those that are remembered are not. -1, and nothing done, when the position is another.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
local lease, run, memory = KEYS[2], KEYS[3], KEYS[4]
must_be(run, 'hash')
must_be(memory, 'zset')
must_allow(lease, 'SET', lease, '', 'PX', '1')
must_allow(run, 'HSET', run, '', '')
must_allow(run, 'HINCRBY', run, 'replayed', '1')
for _, field in ipairs({'matched', 'skipped', 'failed', 'replayed'}) do
  must_count(run, field)
end
must_allow(memory, 'ZADD', memory, 'NX', '0', '')
must_allow(memory, 'ZREMRANGEBYSCORE', memory, '-inf', '0')
must_allow(memory, 'ZREMRANGEBYRANK', memory, '0', '-1')
for number = 5, #KEYS do
  must_be(KEYS[number], 'list')
  must_allow(KEYS[number], 'LPUSH', KEYS[number], '')
end
if refusal then
  return refusal
end
local now = redis.call('TIME')
redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])
if (redis.call('HGET', run, ARGV[3]) or '') ~= ARGV[4] then
  return -1
end
local at = now[1] * 1000 + math.floor(now[2] / 1000)
local staged = 0
for index = 12, #ARGV, 3 do
  if redis.call('ZADD', memory, 'NX', at, ARGV[index]) == 1 then
    redis.call('LPUSH', KEYS[4 + tonumber(ARGV[index + 1])], ARGV[index + 2])
    staged = staged + 1
  end
end
if staged > 0 then
  redis.call('ZREMRANGEBYSCORE', memory, '-inf', at - tonumber(ARGV[10]))
  redis.call('ZREMRANGEBYRANK', memory, 0, -1 - tonumber(ARGV[11]))
end
redis.call('HSET', run, ARGV[3], ARGV[5])
for index, field in ipairs({'matched', 'skipped', 'failed'}) do
  redis.call('HINCRBY', run, field, ARGV[5 + index])
end
redis.call('HINCRBY', run, 'replayed', staged + tonumber(ARGV[9]))
return staged
