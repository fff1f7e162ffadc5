-- Give back what the owner holds, as if it had never been taken; some of it may be kept. Behind holding.lua.
-- KEYS: owners, the owner's reservations, its staged records    ARGV: owner, 1 when it ends, numbers to keep
-- Returns how many were given back, how many found no place (the owner does not end then), and why not.
local owners, unacked, staged = KEYS[1], KEYS[2], KEYS[3]
must_be(unacked, 'hash')
must_be(staged, 'hash')
must_allow(unacked, 'HDEL', unacked, '')
must_allow(staged, 'HDEL', staged, '')
if ARGV[2] == '1' then
  must_be(owners, 'zset')
  must_allow(owners, 'ZREM', owners, '')
end
if refusal then
  return refusal
end
local keep = {}
for place = 3, #ARGV do
  keep[ARGV[place]] = true
end
local done, stuck, why = give_back(unacked, keep, function(number)
  redis.call('HDEL', staged, number)
end)
if ARGV[2] == '1' and stuck == 0 then
  redis.call('ZREM', owners, ARGV[1])
end
return {done, stuck, why}
