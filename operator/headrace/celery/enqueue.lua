-- Queue a batch of messages, all or none, and once however often it is sent.
-- KEYS: mark of the batch, then one key a command
-- ARGV: seconds that the mark stays, then for each command: its name, the number of its arguments, the arguments
-- Returns 1 when it was queued now, 0 when it had been before.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local position, commands = 2, {}
for index = 2, #KEYS do
  local name, count = ARGV[position], tonumber(ARGV[position + 1])
  if name == 'lpush' then
    local kind = redis.call('TYPE', KEYS[index]).ok
    if kind ~= 'list' and kind ~= 'none' then
      return redis.error_reply('WRONGTYPE the queue ' .. KEYS[index] .. ' is a ' .. kind)
    end
  end
  commands[index] = { name, position + 2, position + 1 + count }
  position = position + 2 + count
end
redis.call('SET', KEYS[1], '1', 'EX', ARGV[1])
for index = 2, #KEYS do
  local name, first, last = commands[index][1], commands[index][2], commands[index][3]
  for from = first, last, 1000 do -- Lua's stack has some thousands of places
    redis.call(name, KEYS[index], unpack(ARGV, from, math.min(from + 999, last)))
  end
end
return 1
