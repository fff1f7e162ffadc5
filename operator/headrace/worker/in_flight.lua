#!lua flags=no-writes
-- How many messages the owners hold.
-- KEYS: owners    ARGV: the key of an owner's reservations, without its name
local held = 0
for _, owner in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  held = held + redis.call('HLEN', ARGV[1] .. owner)
end
return held
