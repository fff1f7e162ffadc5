-- Push a batch from Pulsar to its target, drop what was pushed before, remember how far it went: all or nothing.
-- KEYS: target (of a channel any key), watermark hash, dead-letter list, hash of the epochs and witnesses (remembered.py)
-- ARGV: limit of the target (0 = none) or its channel, fields in the watermark,
--       then (partition, expected, new, epoch, witness or '') for each partition of the batch,
--       then the number of messages, window of the deduplication in seconds, time to live of the cache in seconds,
--       a deduplication key and a cache key by which a right that was taken away is told from a message's bad key, '' for
--       those that no message has,
--       then the width: 1 when each message is only an entry for the target, else 5:
--            entry for the target or '', dead letter or '', deduplication key or '', cache key or '', cache value
-- With no message at all nothing is written, and what Valkey would refuse is told; see DeliveryStore.prove.
-- preflight.lua, bucket.lua, ordered.lua or spread.lua, and one of target_*.lua, stand in front of it and say what else
-- there is.
-- Returns {1, places in the batch (from 0) of what the deduplication dropped, dead-lettered, heard by nobody},
--      or {0, room, 1 when it is the rate limit that holds} and nothing done when there is no room for the batch,
--      or {-3, places, reasons, texts} and nothing done when Valkey would refuse the messages at these places (from 0),
--      or {-2, …} and nothing done when some of it was pushed before: see spread.lua,
--      or {-1} and nothing done when a watermark or an epoch is another one than expected.
local watermark, dead, memory, fields = KEYS[2], KEYS[3], KEYS[4], tonumber(ARGV[2])
look_at_target()
must_be(watermark, 'hash')
must_be(dead, 'list')
must_be(memory, 'hash')
must_allow(dead, 'LPUSH', dead, '')
look_at_memory(fields)
if fields > 0 then
  must_allow(memory, 'HSET', memory, '', '')
end
if refusal then
  return refusal
end
local at = 3
for _ = 1, fields do
  local epoch = string.match(redis.call('HGET', memory, ARGV[at]) or '0', '^%d+')
  if (redis.call('HGET', watermark, ARGV[at]) or '') ~= ARGV[at + 1] or epoch ~= ARGV[at + 3] then
    return {-1}
  end
  at = at + 5
end
local count, window, ttl, width = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], ARGV[at + 5]
local witnesses = {ARGV[at + 3], ARGV[at + 4]}
at = at + 6
if count == 0 then
  -- nothing to push, but could it be?
  for which, witness in ipairs(witnesses) do
    if witness ~= '' then
      must_allow(witness, 'SET', witness, '')
      must_allow(witness, 'TYPE', witness)
      if which == 1 then
        must_allow(witness, 'EXISTS', witness)
      end
    end
  end
  return refusal or {1, {}, 0, 0}
end
local tail = at + count * tonumber(width)
local again = pushed_before(fields, tail)
if #again > 0 then
  return {-2, again}
end

-- What Valkey would refuse for one message alone.
local refused, reasons, texts, denied, granted, ours = {}, {}, {}, {}, {}, {}
for _, key in ipairs(KEYS) do
  ours[key] = true
end

local function refuse(place, reason, text)
  refused[#refused + 1], reasons[#reasons + 1], texts[#texts + 1] = place, reason, text
end

-- Whether a key of one message can become a string; if not, the message is refused.
local allowed_to = redis.acl_check_cmd
local function can_be_written(place, which, name, key)
  if not allowed_to('SET', key, '') then
    denied[which] = denied[which] or key
    refuse(place, 'NotPermitted', 'the user may not write the ' .. name .. ' ' .. key .. '.')
    return false
  end
  granted[which] = true
  return true
end

-- Its type, 'none' or 'string'; nil when it is another one, and the message is refused.
local function type_of(place, name, key)
  local found = redis.call('TYPE', key).ok
  if found == 'none' and not ours[key] or found == 'string' then
    return found
  end
  local text = found == 'none' and ' is the name of a key of the bridge.' or ' is a ' .. found .. ' and should be a string.'
  refuse(place, 'WrongType', 'the ' .. name .. ' ' .. key .. text)
  return nil
end

local entries, letters, marks, cached, seen, met = {}, {}, {}, {}, {}, {}
local last = width == '1' and at - 1 or tail - 1
for base = at + 2, last, 5 do
  if ARGV[base] ~= '' then
    marks[#marks + 1] = ARGV[base]
  end
end
local nothing_seen = true
for from = 1, #marks, MOST_ARGUMENTS do
  local to = math.min(from + MOST_ARGUMENTS - 1, #marks)
  nothing_seen = nothing_seen and redis.call('EXISTS', unpack(marks, from, to)) == 0
end
marks = {}
for base = at, last, 5 do
  local place, once, key = (base - at) / 5, ARGV[base + 2], ARGV[base + 3]
  local known = once == '' and 'none' or met[once]
  if not known and can_be_written(place, 1, 'deduplication key', once) then
    known = nothing_seen and 'none' or type_of(place, 'deduplication key', once)
  end
  if known == 'string' then
    seen[#seen + 1] = place
  elseif
    known and (key == '' or (can_be_written(place, 2, 'cache key', key) and type_of(place, 'cache key', key)))
  then
    if once ~= '' then
      met[once] = 'string'
      marks[#marks + 1] = once
    end
    if ARGV[base] ~= '' then
      entries[#entries + 1] = ARGV[base]
    end
    if ARGV[base + 1] ~= '' then
      letters[#letters + 1] = ARGV[base + 1]
    end
    if key ~= '' then
      cached[#cached + 1] = base + 3
    end
  end
end
for which, key in pairs(denied) do
  if not granted[which] and not may('SET', witnesses[which], '') then
    return redis.error_reply('NOPERM the user of this connection may not run SET on the key ' .. key)
  end
end
if #refused > 0 then
  return {-3, refused, reasons, texts}
end
local left = math.max(math.min(count, room() or count), 0)
local allowed = allowance(left)
if allowed < left then
  hold(allowed)
end
if allowed < count then
  return {0, allowed, allowed < left and 1 or 0}
end

local function keep_books()
  remember(fields, tail)
  for _, once in ipairs(marks) do
    redis.call('SET', once, '1', 'EX', window)
  end
  for _, place in ipairs(cached) do
    redis.call('SET', ARGV[place], ARGV[place + 1], 'EX', ttl)
  end
  in_steps('LPUSH', dead, letters, 1, #letters)
  spend(count, count)
end

if keep_books_first then
  keep_books()
end
local unheard = 0
if width == '1' then
  unheard = write(ARGV, at, at + count - 1)
elseif #entries > 0 then
  unheard = write(entries, 1, #entries)
end
if type(unheard) == 'table' then
  return unheard
end
if not keep_books_first then
  keep_books()
end
return {1, seen, #letters, unheard}
