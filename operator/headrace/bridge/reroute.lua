-- Give all cuts in flight other routes, and new sequence ids, under which nothing of them was sent yet.
-- KEYS: cuts in flight, state hash, owner, lease
-- ARGV: token, lease milliseconds, floor, margin, then for each cut, the oldest first: its first id, its new routing
-- Returns the new rows; none, and nothing is done, when other cuts are in flight.
if redis.call('GET', KEYS[3]) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
local rows = redis.call('LRANGE', KEYS[1], 0, -1)
local last = tonumber(redis.call('HGET', KEYS[2], 'last') or '0')
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
redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[2], 'last', string.format('%.0f', last))
for index, row in ipairs(rows) do
  redis.call('LSET', KEYS[1], index - 1, row)
end
return rows
