-- Take the next cut from the source (bucket.lua, and take_list.lua or take_stream.lua, stand in front of this), or give
-- back those in flight, unchanged, when they are others than the caller knows.
-- KEYS: source, entries in flight, state hash, owner, lease, cuts in flight, bucket
-- ARGV: token, lease milliseconds, most messages, most bytes, floor, margin, routing,
--       first id of the newest cut that the caller knows to be in flight, or ''; more for take; more for the bucket
-- Returns {1 when these were in flight before, rows, entries, in how many milliseconds the bucket has more or 0}:
-- the oldest first, a row for each cut:
-- "<first id> <number of entries> <milliseconds since the epoch when it was cut> <routing>".
-- Sequence ids are given here and stored with the cut, so that whoever replays it sends the very same frames.
local source, flying, state, owner, lease, cuts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
if redis.call('GET', owner) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])

-- A caller that starts knows of none; one whose last call came late, after its connection was reset, knows too few.
local newest = redis.call('LINDEX', cuts, -1)
if (newest and string.match(newest, '^%d+') or '') ~= ARGV[8] then
  return {1, redis.call('LRANGE', cuts, 0, -1), redis.call('LRANGE', flying, 0, -1), 0}
end

local most = tonumber(ARGV[3])
local allowed, milliseconds = allowance(most)
if allowed == 0 then
  return {0, {}, {}, milliseconds}
end
local entries = take(source, state, allowed, tonumber(ARGV[4]))
if entries.err then
  return entries
end
if #entries == 0 then
  return {0, {}, {}, 0}
end
milliseconds = spend(#entries, most)
redis.call('RPUSH', flying, unpack(entries))

-- The broker knows ids above ours: Valkey was set back, or is another one. Lower ids would be dropped unseen.
local last = tonumber(redis.call('HGET', state, 'last') or '0')
local floor = tonumber(ARGV[5])
if last < floor then
  last = floor + tonumber(ARGV[6])
end
local now = redis.call('TIME')
local row = string.format('%.0f %d %.0f %s', last + 1, #entries, now[1] * 1000 + math.floor(now[2] / 1000), ARGV[7])
redis.call('RPUSH', cuts, row)
redis.call('HSET', state, 'last', string.format('%.0f', last + #entries))
return {0, {row}, entries, milliseconds}
