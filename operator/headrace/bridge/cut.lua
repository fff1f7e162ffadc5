-- Take the next cut from the source (preflight.lua, bucket.lua, and take_list.lua or take_stream.lua, stand in front of
-- this), or give back those in flight, unchanged, when they are others than the caller knows.
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
must_be(flying, 'list')
must_be(cuts, 'list')
must_be(state, 'hash')
must_allow(lease, 'SET', lease, '', 'PX', '1')
must_allow(flying, 'RPUSH', flying, '')
must_allow(cuts, 'RPUSH', cuts, '')
must_allow(state, 'HSET', state, 'last', '')
must_count(state, 'last')
-- commit.lua needs them, and what cannot be forgotten would be sent again and again
must_allow(cuts, 'LPOP', cuts)
must_allow(flying, 'LTRIM', flying, '0', '-1')
look(source, state)
if refusal then
  return refusal
end
local most = tonumber(ARGV[3])

-- The broker knows ids above ours: Valkey was set back, or is another one. Lower ids would be dropped unseen.
local last = tonumber(redis.call('HGET', state, 'last') or '0')
local floor = tonumber(ARGV[5])
if last < floor then
  last = floor + tonumber(ARGV[6])
end
if last + most > 2 ^ 53 then
  return redis.error_reply('ERR the sequence ids have come to 2^53, above which Lua cannot count: ' .. state)
end
-- A caller that starts knows of none; one whose last call came late, after its connection was reset, knows too few.
local newest, now = redis.call('LINDEX', cuts, -1), redis.call('TIME')
if (newest and string.match(newest, '^%d+') or '') ~= ARGV[8] then
  local answer = {1, redis.call('LRANGE', cuts, 0, -1), redis.call('LRANGE', flying, 0, -1), 0}
  redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])
  return answer
end
redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])

local allowed, milliseconds = allowance(most)
if allowed == 0 then
  return {0, {}, {}, milliseconds}
end
local entries = take(source, state, allowed, tonumber(ARGV[4]))
if #entries == 0 then
  return {0, {}, {}, 0}
end
milliseconds = spend(#entries, most)
in_steps('RPUSH', flying, entries, 1, #entries)
local row = string.format('%.0f %d %.0f %s', last + 1, #entries, now[1] * 1000 + math.floor(now[2] / 1000), ARGV[7])
redis.call('RPUSH', cuts, row)
redis.call('HSET', state, 'last', string.format('%.0f', last + #entries))
return {0, {row}, entries, milliseconds}
