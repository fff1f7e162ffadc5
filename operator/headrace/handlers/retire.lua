-- Remove consumers of ours with nothing pending: the one that is named, else those that were silent.
-- KEYS: stream    ARGV: group, consumer or '', milliseconds of silence
-- Returns how many went.
local OURS, WAITING, removed = 'headrace:', 'headrace:waiting', 0
local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if consumers.err and not (string.find(consumers.err, 'no such key', 1, true) or string.find(consumers.err, '^NOGROUP')) then
  return consumers
end
for _, consumer in ipairs(consumers.err and {} or consumers) do
  local facts = {}
  for index = 1, #consumer, 2 do
    facts[consumer[index]] = consumer[index + 1]
  end
  local name = facts['name']
  local silent = ARGV[2] == '' and string.sub(name, 1, #OURS) == OURS and facts['idle'] > tonumber(ARGV[3])
  if facts['pending'] == 0 and name ~= WAITING and (name == ARGV[2] or silent) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
    removed = removed + 1
  end
end
return removed
