-- Push a batch from Pulsar to its target, drop what was pushed before, remember how far it went: all or nothing.
-- KEYS: target, watermark hash, dead-letter list
-- ARGV: limit of the target (0 = none), fields in the watermark,
--       then (partition, expected, new) for each partition of the batch,
--       then the number of messages, window of the deduplication in seconds, time to live of the cache in seconds,
--       then the width: 1 when each message is only an entry for the target, else 5:
--            entry for the target or '', dead letter or '', deduplication key or '', cache key or '', cache value
-- bucket.lua, ordered.lua or spread.lua, and one of target_*.lua, stand in front of it and say what else there is.
-- Returns {1, places in the batch (from 0) of what the deduplication dropped, dead-lettered, heard by nobody},
--      or {0, room, 1 when it is the rate limit that holds} and nothing done when there is no room for the batch,
--      or {-3, places, texts} and nothing done when Valkey would refuse the messages at these places (from 0),
--      or {-2, …} and nothing done when some of it was pushed before: see spread.lua,
--      or {-1, field, value, ...} and nothing done when the watermark is another one than expected.
local target, watermark, dead = KEYS[1], KEYS[2], KEYS[3]
-- a script that fails half-way has done its first half: so look before the first write
for key, wanted in pairs({[target] = kind, [watermark] = 'hash', [dead] = 'list'}) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= wanted then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ' and should be a ' .. wanted)
  end
end
local limit, fields = tonumber(ARGV[1]), tonumber(ARGV[2])
local at = 3
for _ = 1, fields do
  if (redis.call('HGET', watermark, ARGV[at]) or '') ~= ARGV[at + 1] then
    local all = redis.call('HGETALL', watermark)
    return {-1, unpack(all)}
  end
  at = at + 3
end
local count, window, ttl, width = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
at = at + 4
local tail = at + count * tonumber(width)
local again = pushed_before(fields, tail)
if #again > 0 then
  return {-2, again}
end
-- What Valkey would refuse for one message alone; all or nothing, so it is looked for before the first write.
local refused, texts = {}, {}
for i = 0, width == '1' and -1 or count - 1 do
  local key, once = ARGV[at + i * 5 + 3], ARGV[at + i * 5 + 2]
  if key ~= '' and (once == '' or redis.call('EXISTS', once) == 0) then
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'none' and kind ~= 'string' then
      refused[#refused + 1] = i
      texts[#texts + 1] = 'the cache key ' .. key .. ' is a ' .. kind .. ' and should be a string.'
    end
  end
end
if #refused > 0 then
  return {-3, refused, texts}
end
local left = math.max(math.min(count, room(target, limit) or count), 0)
local allowed = allowance(left)
if allowed < left then
  hold(allowed)
end
if allowed < count then
  return {0, allowed, allowed < left and 1 or 0}
end
spend(count, count)

-- a batch is at most some thousand messages: Lua's unpack ends at about 8000
local entries, letters, seen, unheard = {}, {}, {}, 0
if width == '1' then
  unheard = write(target, limit, ARGV, at, at + count - 1)
  count = 0
end
for i = 0, count - 1 do
  local base = at + i * 5
  local fresh = true
  if ARGV[base + 2] ~= '' then
    fresh = redis.call('SET', ARGV[base + 2], '1', 'NX', 'EX', window)
  end
  if fresh then
    if ARGV[base] ~= '' then
      entries[#entries + 1] = ARGV[base]
    end
    if ARGV[base + 1] ~= '' then
      letters[#letters + 1] = ARGV[base + 1]
    end
    if ARGV[base + 3] ~= '' then
      redis.call('SET', ARGV[base + 3], ARGV[base + 4], 'EX', ttl)
    end
  else
    seen[#seen + 1] = i
  end
end
if #entries > 0 then
  unheard = write(target, limit, entries, 1, #entries)
end
if #letters > 0 then
  redis.call('LPUSH', dead, unpack(letters))
end
remember(fields, tail)
return {1, seen, #letters, unheard}
