-- Give all cuts in flight other routes, and new sequence ids, under which nothing of them was sent yet. Behind
-- preflight.lua.
-- KEYS: cuts in flight, state hash, owner, lease
-- ARGV: token, lease milliseconds, floor, margin, then for each cut, the oldest first: its first id, its new routing
-- Returns the new rows; none, and nothing is done, when other cuts are in flight.
local cuts, state, owner, lease = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('GET', owner) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
must_be(cuts, 'list')
must_be(state, 'hash')
must_count(state, 'last')
must_allow(lease, 'SET', lease, '', 'PX', '1')
must_allow(state, 'HSET', state, 'last', '')
must_allow(cuts, 'LSET', cuts, '0', '')
if refusal then
  return refusal
end
local rows = redis.call('LRANGE', cuts, 0, -1)
local last = tonumber(redis.call('HGET', state, 'last') or '0')
if 2 * #rows ~= #ARGV - 4 then
  return {}
end
if last < tonumber(ARGV[3]) then
  last = ARGV[3] + ARGV[4]
end
for index, row in ipairs(rows) do
  local first, count, made = string.match(row, '^(%d+) (%d+) (%d+) ')
  if first ~= ARGV[3 + 2 * index] then
    return {}
  end
  rows[index] = string.format('%.0f %d %s %s', last + 1, count, made, ARGV[4 + 2 * index])
  last = last + count
end
if last > 2 ^ 53 then
  return redis.error_reply('ERR the sequence ids have come to 2^53, above which Lua cannot count: ' .. state)
end
redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])
redis.call('HSET', state, 'last', string.format('%.0f', last))
for index, row in ipairs(rows) do
  redis.call('LSET', cuts, index - 1, row)
end
return rows
