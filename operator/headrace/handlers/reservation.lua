-- What all scripts of reservations know. Behind preflight.lua; behind it comes one of list, zset, hash (with polled in
-- front) and stream, which say what they need and how to fetch, put_back, forget, rest and refresh a message; then take,
-- settle or renew.
-- KEYS: source, owners, attempts, leases, messages (of a stream: its state), busy fields
-- ARGV 1...: token of the process, milliseconds of a lease, three of the source's own
local SOURCE, OWNERS, ATTEMPTS, LEASES, MESSAGES, BUSY = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local OWNER, LEASE = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)
must_be(OWNERS, 'hash')
must_be(ATTEMPTS, 'hash')
must_be(LEASES, 'zset')
must_be(MESSAGES, 'hash')
must_be(BUSY, 'hash')

local function whole(number)
  return string.format('%.0f', number)
end

local function mine(id)
  return redis.call('HGET', OWNERS, id) == OWNER
end

-- What take and settle do with every message.
local function look_at_books()
  for _, hash in ipairs({OWNERS, ATTEMPTS}) do
    must_allow(hash, 'HGET', hash, '')
    must_allow(hash, 'HSET', hash, '', '')
    must_allow(hash, 'HDEL', hash, '')
  end
  must_allow(LEASES, 'ZADD', LEASES, '0', '')
  must_allow(LEASES, 'ZREM', LEASES, '')
  must_allow(MESSAGES, 'HGET', MESSAGES, '')
end

local function release(id)
  redis.call('HDEL', OWNERS, id)
  redis.call('HDEL', ATTEMPTS, id)
  redis.call('ZREM', LEASES, id)
end

-- Not HINCRBY, which refuses what is no number.
local function count_attempt(id, more)
  local attempt = (tonumber(redis.call('HGET', ATTEMPTS, id)) or 0) + more
  redis.call('HSET', ATTEMPTS, id, whole(attempt))
  return attempt
end
