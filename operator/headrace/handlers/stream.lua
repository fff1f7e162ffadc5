-- Entries of a stream. They stay in it, pending in the group, so a message is only its id. Behind stream_group.lua.
-- ARGV 3...: group, consumer, where a new group begins
local GROUP, CONSUMER, INITIAL = ARGV[3], ARGV[4], ARGV[5]
local WAITING, PAGE = 'headrace:waiting', 100
local missing -- where the group begins that is to be made

local function look_at_source()
  must_be(SOURCE, 'stream')
  must_allow(SOURCE, 'XREADGROUP', 'GROUP', GROUP, CONSUMER, 'STREAMS', SOURCE, '>')
  must_allow(SOURCE, 'XCLAIM', SOURCE, GROUP, CONSUMER, '0', '0-0')
  must_allow(SOURCE, 'XPENDING', SOURCE, GROUP)
  must_allow(LEASES, 'ZSCORE', LEASES, '')
  must_allow(ATTEMPTS, 'HSETNX', ATTEMPTS, '', '')
  must_allow(MESSAGES, 'HSET', MESSAGES, 'read', '')
  if refusal then
    return
  end
  local asked = redis.pcall('XPENDING', SOURCE, GROUP)
  if asked.err and string.sub(asked.err, 1, 7) == 'NOGROUP' then
    missing = beginning_of_group(SOURCE, MESSAGES, GROUP, INITIAL)
  elseif asked.err then
    refusal = asked
  end
end

local function look_at_forgetting()
  must_allow(SOURCE, 'XACK', SOURCE, GROUP, '0-0')
  must_allow(SOURCE, 'XCLAIM', SOURCE, GROUP, WAITING, '0', '0-0', 'JUSTID')
end

local function size_of(fields)
  local size = 0
  for _, part in ipairs(fields) do
    size = size + #part
  end
  return size
end

-- FORCE: also what a group that was destroyed had pending, for our own list of leases still has it.
local function fetch(id)
  local found = redis.pcall('XCLAIM', SOURCE, GROUP, CONSUMER, 0, id, 'FORCE')[1] -- an error for what is no id
  if found then
    return SOURCE, '', found[2], size_of(found[2])
  end
end

local function fresh(most, hand, full)
  local count = math.min(most, 16)
  while most > 0 and not full() do
    local answer = redis.call('XREADGROUP', 'GROUP', GROUP, CONSUMER, 'COUNT', count, 'STREAMS', SOURCE, '>')
    local found = answer and answer[1][2] or {}
    for _, entry in ipairs(found) do
      hand(entry[1], SOURCE, '', entry[2], size_of(entry[2]))
      redis.call('HSET', MESSAGES, 'read', entry[1])
    end
    if #found < count then
      return
    end
    most = most - #found
    count = math.min(most, 16)
  end
end

local function begin()
  if missing then
    make_group(SOURCE, MESSAGES, GROUP, missing)
  end
end

-- What a consumer took that is none of ours, or whose lease nobody knows: due at once.
local function adopt(start)
  local found = redis.call('XPENDING', SOURCE, GROUP, 'IDLE', LEASE, start, '+', PAGE)
  for _, entry in ipairs(found) do
    if not redis.call('ZSCORE', LEASES, entry[1]) then
      redis.call('HSETNX', ATTEMPTS, entry[1], entry[4])
      redis.call('ZADD', LEASES, whole(NOW), entry[1])
    end
  end
  return #found == PAGE and '(' .. found[PAGE][1] or '-'
end

local function forget(id)
  redis.pcall('XACK', SOURCE, GROUP, id)
end

local function put_back()
  return false
end

-- It waits under the name of a consumer that is never removed.
local function rest(id)
  redis.pcall('XCLAIM', SOURCE, GROUP, WAITING, 0, id, 'JUSTID')
end

local function refresh(id)
  redis.pcall('XCLAIM', SOURCE, GROUP, CONSUMER, 0, id, 'JUSTID')
end
