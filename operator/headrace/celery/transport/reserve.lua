-- Settle what is done, then take messages off the lists and write down who holds them, in one step. Behind holding.lua.
-- A Valkey that is full must still be drained, so it runs there too.
-- KEYS: owners, the owner's reservations, its staged records, deliveries, then the lists: step by step, each step's
--   queues in their order
-- ARGV: owner, lease in ms, most messages, number of the first, queues of a step, 1 to share among them,
--   seconds to remember deliveries, and how many of each follow:
--   a: numbers that are done
--   p: number, list, record, mark, window in seconds of those that are done and leave a record
--   b: numbers that go to the back of their lists, counted as a delivery
--   r: numbers that return to the front of their lists, not counted
-- Returns -1 alone when the owner's lease ran out and its messages were given to others; else how many of a and p were
-- not the owner's any more, the numbers of those that could not be settled because a list takes nothing (they are still
-- the owner's), why a list takes or gives nothing, then for each message: its list's place in KEYS, former deliveries, the
-- message.
local owners, unacked, staged, deliveries = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local owner, lease, most, first = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local queues, share, remember = tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7]
local done, pushed, back, returned = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expiry = redis.call('ZSCORE', owners, owner)
if not expiry then
  return {-1}
end
local late = tonumber(expiry) < now + lease * 0.6
local counted = redis.call('EXISTS', deliveries) == 1
local has_staged = redis.call('EXISTS', staged) == 1
local singly = counted or has_staged or pushed + back + returned > 0

must_be(unacked, 'hash')
if late then
  must_allow(owners, 'ZADD', owners, '0', '')
end
if most > 0 then
  must_allow(unacked, 'HSET', unacked, '', '')
end
if done + pushed + back + returned > 0 then
  must_allow(unacked, 'HDEL', unacked, '')
end
if singly then
  must_allow(unacked, 'HGET', unacked, '')
  must_be(staged, 'hash')
  must_allow(staged, 'HGET', staged, '')
  must_allow(staged, 'HDEL', staged, '')
end
if counted or back > 0 then
  must_be(deliveries, 'hash')
  must_allow(deliveries, 'HGET', deliveries, '')
  must_allow(deliveries, 'HDEL', deliveries, '')
  must_allow(deliveries, 'HSET', deliveries, '', '')
  must_allow(deliveries, 'EXPIRE', deliveries, '1')
end
if refusal then
  return refusal
end
if late then
  redis.call('ZADD', owners, now + lease, owner)
end

local lost, unsettled, why = 0, {}, ''

local function refuse(number, problem)
  unsettled[#unsettled + 1], why = number, problem
end

local function finish(number)
  if counted then
    local held = redis.call('HGET', unacked, number)
    local _, raw = cut(held or '')
    if raw then
      redis.call('HDEL', deliveries, redis.sha1hex(raw))
    end
  end
  redis.call('HDEL', staged, number)
  if redis.call('HDEL', unacked, number) == 0 then
    lost = lost + 1
    return false
  end
  return true
end

-- Settle a message with its record, which is pushed unless its mark stands: both or neither.
local function leave(number, list, record, mark, window)
  local problem = problem_of(list, 'LPUSH')
  if not problem and mark ~= '' then
    must_be(mark, 'string')
    must_allow(mark, 'SET', mark, '1', 'NX', 'EX', '1')
    problem, refusal = refusal and refusal.err, nil
  end
  if problem then
    refuse(number, problem)
  elseif finish(number) and (mark == '' or redis.call('SET', mark, '1', 'NX', 'EX', window)) then
    redis.call('LPUSH', list, record)
  end
end

-- Put a message that is still the owner's back on its list, at one end of it; returns the message.
local function give(number, push_to)
  local list, raw = cut(redis.call('HGET', unacked, number) or '')
  if not list then
    return nil
  end
  local problem = problem_of(list, push_to)
  if problem then
    refuse(number, problem)
    return nil
  end
  redis.call(push_to, list, raw)
  redis.call('HDEL', unacked, number)
  redis.call('HDEL', staged, number)
  return raw
end

local at = 12
local stop = at + done
if not (counted or has_staged) then
  while at < stop do
    local last = math.min(at + 999, stop - 1)
    lost = lost + (last - at + 1) - redis.call('HDEL', unacked, unpack(ARGV, at, last))
    at = last + 1
  end
end
while at < stop do
  local number = ARGV[at]
  local record = redis.call('HGET', staged, number)
  if record then
    local list, mark, window
    list, record = cut(record)
    mark, record = cut(record)
    window, record = cut(record)
    leave(number, list, record, mark, window)
  else
    finish(number)
  end
  at = at + 1
end
stop = at + 5 * pushed
while at < stop do
  leave(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
  at = at + 5
end
stop = at + back
while at < stop do
  local raw = give(ARGV[at], 'LPUSH')
  if raw then
    local digest = redis.sha1hex(raw)
    redis.call('HSET', deliveries, digest, (tonumber(redis.call('HGET', deliveries, digest)) or 0) + 1)
    redis.call('EXPIRE', deliveries, remember)
    counted = true
  end
  at = at + 1
end
stop = at + returned
while at < stop do
  give(ARGV[at], 'RPUSH')
  at = at + 1
end

local found = {lost, unsettled, why}
local number = first
local writes = {}
local function take(key, count)
  local list = KEYS[key]
  local raws = redis.pcall('RPOP', list, count) -- an error of one list must not hold up the others
  if raws and raws.err then
    why = list .. ': ' .. raws.err
    return 0
  elseif not raws then
    return 0
  end
  local head = #list .. ':' .. list
  for _, raw in ipairs(raws) do
    local times = 0
    if counted then
      times = tonumber(redis.call('HGET', deliveries, redis.sha1hex(raw)) or 0) or 0
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
in_steps('HSET', unacked, writes, 1, #writes)
found[3] = why
return found
