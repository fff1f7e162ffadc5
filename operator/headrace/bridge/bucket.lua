-- A token bucket: each message that is taken costs a token. Behind preflight.lua, in front of a script that takes messages.
-- The last of KEYS: the bucket, a hash. The last two of ARGV: tokens that come a second (0: no limit), most of them.
local bucket, rate, burst = KEYS[#KEYS], tonumber(ARGV[#ARGV - 1]), tonumber(ARGV[#ARGV])
local PATIENCE = 0.05 -- seconds' worth of tokens that an empty bucket collects, so that few calls move many messages
local tokens, now, known
if rate > 0 then
  must_be(bucket, 'hash')
  must_allow(bucket, 'HSET', bucket, 'tokens', '')
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
  known = refusal or redis.call('HMGET', bucket, 'tokens', 'at')
end

-- The limit holds messages back while *left* tokens are there. Returns in how many milliseconds to ask again.
local function hold(left)
  redis.call('HSET', bucket, 'held', string.format('%.0f', now / 1000))
  local enough = math.max(1, math.min(burst, rate * PATIENCE))
  return math.max(1, math.ceil((enough - left) * 1000 / rate))
end

local function keep(left)
  redis.call('HSET', bucket, 'tokens', string.format('%.6f', left), 'at', string.format('%.0f', now))
end

-- How many of *wanted* messages may be taken now, and in how many milliseconds to ask again when it is none.
local function allowance(wanted)
  if rate == 0 then
    return wanted, 0
  end
  tokens = burst
  if tonumber(known[1]) and tonumber(known[2]) then
    -- a clock that was set back brings nothing, and goes on from there
    local passed = math.max(0, now - tonumber(known[2]))
    tokens = math.min(burst, tonumber(known[1]) + passed * rate / 1000000)
  end
  if tokens >= 1 then
    return math.min(wanted, math.floor(tokens)), 0
  end
  keep(tokens)
  return 0, hold(tokens)
end

-- *number* messages were taken: as many as were allowed, or more; then the next ones wait for it.
-- Returns in how many milliseconds to ask again; 0 when fewer came than were allowed, or than were *wanted*.
local function spend(number, wanted)
  if rate == 0 then
    return 0
  end
  keep(tokens - number)
  if number < wanted and number >= math.floor(tokens) then
    return hold(tokens - number)
  end
  return 0
end
