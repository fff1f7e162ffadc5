-- Messages that were moved out of a list, a sorted set or a hash.
-- ARGV 3...: the kind, what new ids begin with, units of a score in a second
local KIND, PREFIX = ARGV[3], ARGV[4]
local number = 0

local function check()
  return wrong_type(KIND)
end

local function keep(extra, body)
  number = number + 1
  local id = PREFIX .. number
  redis.call('HSET', MESSAGES, id, cmsgpack.pack({KIND, SOURCE, extra, body}))
  return id
end

local function unpacked(id)
  local packed = redis.call('HGET', MESSAGES, id)
  return packed and cmsgpack.unpack(packed)
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

-- Nothing was done with it: it lies again where it lay, unless something newer lies there.
local function put_back(id)
  local kind, key, extra, body = unpack(unpacked(id))
  if kind == 'list' then
    return type(redis.pcall('RPUSH', key, body)) == 'number'
  elseif kind == 'zset' then
    return redis.pcall('ZADD', key, 'NX', extra, body) == 1
  end
  return redis.pcall('HSETNX', key, extra, body) == 1
end

local function rest()
end

local function refresh()
end

local function adopt()
  return ''
end
