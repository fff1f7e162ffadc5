-- Take the next cut from the source (take_list.lua or take_stream.lua stands in front of this), or give back the one in
-- flight, unchanged.
-- KEYS: source, cut list, state hash, owner, lease
-- ARGV: token, lease milliseconds, most messages, most bytes, floor, margin, routing; more for take
-- Returns {first id, routing, milliseconds since the epoch when it was cut, 1 when it was in flight before, entries}.
-- Sequence ids are given here and stored with the cut, so that whoever replays it sends the very same frames.
local source, cut, state, owner, lease = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if redis.call('GET', owner) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])

local known = redis.call('HMGET', state, 'first', 'routing', 'made')
if known[1] then
  return {known[1], known[2], known[3], 1, redis.call('LRANGE', cut, 0, -1)}
end

local entries = take(source, state, tonumber(ARGV[3]), tonumber(ARGV[4]))
if entries.err then
  return entries
end
if #entries == 0 then
  return {'0', '', '0', 0, {}}
end
redis.call('RPUSH', cut, unpack(entries))

-- The broker knows ids above ours: Valkey was set back, or is another one. Lower ids would be dropped unseen.
local last = tonumber(redis.call('HGET', state, 'last') or '0')
local floor = tonumber(ARGV[5])
if last < floor then
  last = floor + tonumber(ARGV[6])
end
local now = redis.call('TIME')
local made = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
local first = string.format('%.0f', last + 1)
redis.call('HSET', state, 'first', first, 'routing', ARGV[7], 'made', made,
  'last', string.format('%.0f', last + #entries))
return {first, ARGV[7], made, 0, entries}
