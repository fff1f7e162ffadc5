-- Queue a batch of messages, all or none, and once however often it is sent. Behind preflight.lua.
-- KEYS: mark of the batch, then one key a command
-- ARGV: seconds that the mark stays, then for each command: its name, the number of its arguments, the arguments
-- Returns 1 when it was queued now, 0 when it had been before.
must_be(KEYS[1], 'string')
if refusal then
  return refusal
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local position, commands = 2, {}
for index = 2, #KEYS do
  local name, count = ARGV[position], tonumber(ARGV[position + 1])
  if name == 'lpush' then
    must_be(KEYS[index], 'list')
  end
  must_allow(KEYS[index], string.upper(name), KEYS[index], ARGV[position + 2])
  commands[index] = { name, position + 2, position + 1 + count }
  position = position + 2 + count
end
must_allow(KEYS[1], 'SET', KEYS[1], '1', 'EX', '1')
if refusal then
  return refusal
end
redis.call('SET', KEYS[1], '1', 'EX', ARGV[1])
for index = 2, #KEYS do
  local name, first, last = commands[index][1], commands[index][2], commands[index][3]
  in_steps(name, KEYS[index], ARGV, first, last)
end
return 1
