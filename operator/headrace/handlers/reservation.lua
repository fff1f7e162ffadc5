-- What all scripts of reservations know. Behind it comes one of list, zset, hash (with polled in front) and stream,
-- which say how to fetch, put_back, forget, rest and refresh a message; then take, settle or renew.
-- KEYS: source, owners, attempts, leases, messages (of a stream: its state), busy fields
-- ARGV 1...: token of the process, milliseconds of a lease, three of the source's own
local SOURCE, OWNERS, ATTEMPTS, LEASES, MESSAGES, BUSY = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local OWNER, LEASE = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

local function mine(id)
  return redis.call('HGET', OWNERS, id) == OWNER
end

local function release(id)
  redis.call('HDEL', OWNERS, id)
  redis.call('HDEL', ATTEMPTS, id)
  redis.call('ZREM', LEASES, id)
end

-- A script that fails halfway keeps what it did, so the type is looked at before anything is done.
local function wrong_type(wanted)
  local found = redis.call('TYPE', SOURCE).ok
  if found ~= 'none' and found ~= wanted then
    return 'WRONGTYPE ' .. SOURCE .. ' is a ' .. found .. ', not a ' .. wanted
  end
end
