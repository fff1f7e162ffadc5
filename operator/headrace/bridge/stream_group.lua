-- Ids of a stream, and the group that reads it. In front of take_stream.lua and of stream.lua.
local function parts(id)
  local milliseconds, number = string.match(id, '^(%d+)-?(%d*)$')
  return tonumber(milliseconds), tonumber(number) or 0
end

local function before(one, other)
  local milliseconds, number = parts(one)
  local others_milliseconds, others_number = parts(other)
  return milliseconds < others_milliseconds or (milliseconds == others_milliseconds and number < others_number)
end

local function last_id(source)
  local newest = redis.call('XREVRANGE', source, '+', '-', 'COUNT', 1)[1]
  return newest and newest[1] or '0-0'
end

-- A group that was there and is gone goes on where it was, unless the stream is another one by now.
local function make_group(source, state, group, initial)
  local read = redis.call('HGET', state, 'read')
  local start = initial
  if read then
    start = before(last_id(source), read) and '0-0' or read
  elseif initial == '$' then
    start = last_id(source)
  end
  redis.call('XGROUP', 'CREATE', source, group, start, 'MKSTREAM')
  redis.call('HSET', state, 'read', start)
end
