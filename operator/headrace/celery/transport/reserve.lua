#!lua flags=allow-oom
-- Settle what is done, then take messages off the lists and write down who holds them, in one step.
-- allow-oom: a Valkey that is full must still be drained.
-- KEYS: owners, the owner's reservations, its staged records, deliveries, then the lists: step by step, each step's
--   queues in their order
-- ARGV: owner, lease in ms, most messages, number of the first, queues of a step, 1 to share among them,
--   seconds to remember deliveries, and how many of each follow:
--   a: numbers that are done
--   p: number, list, record, mark, window in seconds of those that are done and leave a record
--   b: numbers that go to the back of their lists, counted as a delivery
--   r: numbers that return to the front of their lists, not counted
-- Returns -1 alone when the owner's lease ran out and its messages were given to others; else how many of a and p were
-- not the owner's any more, then for each message: its list's place in KEYS, former deliveries, the message.
local owners, unacked, staged, deliveries = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local owner, lease, most, first = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local queues, share, remember = tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expiry = redis.call('ZSCORE', owners, owner)
if not expiry then
  return {-1}
end
if tonumber(expiry) < now + lease * 0.6 then
  redis.call('ZADD', owners, now + lease, owner)
end

local counted = redis.call('EXISTS', deliveries) == 1
local lost = 0

local function cut(text)
  local colon = string.find(text, ':', 1, true)
  local size = tonumber(string.sub(text, 1, colon - 1))
  return string.sub(text, colon + 1, colon + size), string.sub(text, colon + size + 1)
end

local function push(list, record, mark, window)
  if mark == '' or redis.call('SET', mark, '1', 'NX', 'EX', window) then
    redis.call('LPUSH', list, record)
  end
end

local function finish(number)
  if counted then
    local held = redis.call('HGET', unacked, number)
    if held then
      local _, raw = cut(held)
      redis.call('HDEL', deliveries, redis.sha1hex(raw))
    end
  end
  if redis.call('HDEL', unacked, number) == 0 then
    lost = lost + 1
    return false
  end
  return true
end

-- Put a message that is still the owner's back on its list, at one end of it; returns the message.
local function give(number, push_to)
  local held = redis.call('HGET', unacked, number)
  if not held then
    return nil
  end
  local list, raw = cut(held)
  redis.call(push_to, list, raw)
  redis.call('HDEL', unacked, number)
  redis.call('HDEL', staged, number)
  return raw
end

local at = 12
local stop = at + tonumber(ARGV[8])
if stop > at then
  if counted or redis.call('EXISTS', staged) == 1 then
    while at < stop do
      local number = ARGV[at]
      local record = redis.call('HGET', staged, number)
      if finish(number) and record then
        local list, mark, window
        list, record = cut(record)
        mark, record = cut(record)
        window, record = cut(record)
        push(list, record, mark, window)
      end
      redis.call('HDEL', staged, number)
      at = at + 1
    end
  else
    while at < stop do
      local last = math.min(at + 999, stop - 1)
      lost = lost + (last - at + 1) - redis.call('HDEL', unacked, unpack(ARGV, at, last))
      at = last + 1
    end
  end
end
stop = at + 5 * tonumber(ARGV[9])
while at < stop do
  if finish(ARGV[at]) then
    push(ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
  end
  redis.call('HDEL', staged, ARGV[at])
  at = at + 5
end
stop = at + tonumber(ARGV[10])
while at < stop do
  local raw = give(ARGV[at], 'LPUSH')
  if raw then
    redis.call('HINCRBY', deliveries, redis.sha1hex(raw), 1)
    redis.call('EXPIRE', deliveries, remember)
    counted = true
  end
  at = at + 1
end
stop = at + tonumber(ARGV[11])
while at < stop do
  give(ARGV[at], 'RPUSH')
  at = at + 1
end

local found = {lost}
local number = first
local writes = {}
local function take(key, count)
  local list = KEYS[key]
  local raws = redis.call('RPOP', list, count)
  if not raws then
    return 0
  end
  local head = #list .. ':' .. list
  for _, raw in ipairs(raws) do
    local times = 0
    if counted then
      times = tonumber(redis.call('HGET', deliveries, redis.sha1hex(raw)) or 0)
    end
    writes[#writes + 1] = number
    writes[#writes + 1] = head .. raw
    found[#found + 1] = key
    found[#found + 1] = times
    found[#found + 1] = raw
    number = number + 1
  end
  return #raws
end

local left = most
local key = 5
while left > 0 and key <= #KEYS do
  local full = {}
  for place = 0, queues - 1 do
    if left == 0 then
      break
    end
    local wanted = left
    if share then
      wanted = math.ceil(left / (queues - place))
    end
    local got = take(key + place, wanted)
    left = left - got
    if got == wanted then
      full[#full + 1] = key + place
    end
  end
  if share and queues > 1 then
    for _, again in ipairs(full) do
      if left == 0 then
        break
      end
      left = left - take(again, left)
    end
  end
  key = key + queues
end
if #writes > 0 then
  redis.call('HSET', unacked, unpack(writes))
end
return found
