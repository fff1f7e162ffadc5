-- New messages of a sorted set: what is due.
local function look_at_source()
  look_at_keeping()
  must_allow(SOURCE, 'ZRANGEBYSCORE', SOURCE, '-inf', '0')
  must_allow(SOURCE, 'ZREM', SOURCE, '')
end

local function fresh(most, hand, full)
  local due = string.format('%.3f', NOW / 1000 * tonumber(ARGV[5]))
  local found = redis.call('ZRANGEBYSCORE', SOURCE, '-inf', due, 'WITHSCORES', 'LIMIT', 0, most)
  for index = 1, #found, 2 do
    if full() then
      return
    end
    local body, score = found[index], found[index + 1]
    redis.call('ZREM', SOURCE, body)
    hand(keep(score, body), SOURCE, score, body, #body)
  end
end
