#!lua flags=allow-oom
-- Give back what the owner holds, as if it had never been taken; some of it may be kept.
-- KEYS: owners, the owner's reservations, its staged records    ARGV: owner, 1 when it ends, numbers to keep
-- Returns how many were given back.
local keep = {}
for place = 3, #ARGV do
  keep[ARGV[place]] = true
end
local held = redis.call('HGETALL', KEYS[2])
local numbers, values = {}, {}
for place = 1, #held, 2 do
  if not keep[held[place]] then
    local number = tonumber(held[place])
    numbers[#numbers + 1] = number
    values[number] = held[place + 1]
  end
end
table.sort(numbers, function(a, b) return a > b end) -- so that the oldest comes out first
for _, number in ipairs(numbers) do
  local value = values[number]
  local colon = string.find(value, ':', 1, true)
  local size = tonumber(string.sub(value, 1, colon - 1))
  redis.call('RPUSH', string.sub(value, colon + 1, colon + size), string.sub(value, colon + size + 1))
  redis.call('HDEL', KEYS[2], number)
  redis.call('HDEL', KEYS[3], number)
end
if ARGV[2] == '1' then
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return #numbers
