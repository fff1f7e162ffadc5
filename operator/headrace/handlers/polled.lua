-- Messages that were moved out of a list, a sorted set or a hash.
-- ARGV 3...: the kind, what new ids begin with, units of a score in a second
local KIND, PREFIX = ARGV[3], ARGV[4]
local number = 0

local function look_at_forgetting()
  must_allow(MESSAGES, 'HDEL', MESSAGES, '')
  must_allow(BUSY, 'HDEL', BUSY, '')
end

local function look_at_keeping()
  must_be(SOURCE, KIND)
  must_allow(MESSAGES, 'HSET', MESSAGES, '', '')
end

local function keep(extra, body)
  number = number + 1
  local id = PREFIX .. number
  redis.call('HSET', MESSAGES, id, cmsgpack.pack({KIND, SOURCE, extra, body}))
  return id
end

-- nil for what was deleted, or is none of ours
local function unpacked(id)
  local packed = redis.call('HGET', MESSAGES, id)
  local readable, message = pcall(cmsgpack.unpack, packed or '')
  return readable and type(message) == 'table' and #message == 4 and message or nil
end

local function fetch(id)
  local message = unpacked(id)
  if message then
    return message[2], message[3], message[4], #message[4]
  end
end

local function busy(key, field)
  return #key .. ':' .. key .. field
end

local function forget(id)
  local message = unpacked(id)
  if message and message[1] == 'hash' then
    redis.call('HDEL', BUSY, busy(message[2], message[3]))
  end
  redis.call('HDEL', MESSAGES, id)
end

-- Nothing was done with it: it lies again where it lay, unless something newer lies there. Returns whether it does, and
-- Valkey's error when it takes nothing there now.
local function put_back(id)
  local message = unpacked(id)
  if not message then
    return true
  end
  local kind, key, extra, body = unpack(message)
  local answer
  if kind == 'list' then
    answer = redis.pcall('RPUSH', key, body)
  elseif kind == 'zset' then
    answer = redis.pcall('ZADD', key, 'NX', extra, body)
  else
    answer = redis.pcall('HSETNX', key, extra, body)
  end
  if type(answer) == 'table' then
    return false, answer.err
  end
  return answer > 0
end

local function rest()
end

local function refresh()
end

local function begin()
end

local function adopt()
  return ''
end
