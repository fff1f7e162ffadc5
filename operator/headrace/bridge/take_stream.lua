-- How entries leave a stream: read by a group, and at once no longer pending there, as they are in the cut then.
-- Behind stream_group.lua, in front of cut.lua. ARGV 9...: group, where a new group begins, milliseconds until a pending entry is orphaned
-- An entry becomes a row: its id and the lengths of fields and values, a line break, then these one behind the other.
local CONSUMER, FIRST_READ, MOST_CLAIMED = 'headrace', 16, 100

local function encoded(entry)
  local head, parts = {entry[1]}, entry[2]
  for index, part in ipairs(parts) do
    head[index + 1] = #part
  end
  return table.concat(head, ' ') .. '\n' .. table.concat(parts)
end

local function read(source, group, count)
  local answer = redis.call('XREADGROUP', 'GROUP', group, CONSUMER, 'COUNT', count, 'NOACK', 'STREAMS', source, '>')
  return answer and answer[1][2] or {}
end

-- What another consumer of the group took and never acknowledged.
local function claim(source, group, idle, entries)
  local found = redis.call('XAUTOCLAIM', source, group, CONSUMER, idle, '0-0', 'COUNT', MOST_CLAIMED)[2]
  for _, entry in ipairs(found) do
    redis.call('XACK', source, group, entry[1])
    entries[#entries + 1] = encoded(entry)
  end
end

local pending, start = 0, nil

local function look(source, state)
  local group, initial, idle = ARGV[9], ARGV[10], ARGV[11]
  must_be(source, 'stream')
  must_be(state, 'hash')
  must_allow(source, 'XREADGROUP', 'GROUP', group, CONSUMER, 'STREAMS', source, '>')
  must_allow(state, 'HSET', state, 'read', '')
  if refusal then
    return
  end
  local asked = redis.pcall('XPENDING', source, group)
  if not asked.err then
    pending = asked[1]
  elseif string.sub(asked.err, 1, 7) == 'NOGROUP' then
    start = beginning_of_group(source, state, group, initial)
  else
    refusal = asked
  end
  if pending > 0 then
    must_allow(source, 'XAUTOCLAIM', source, group, CONSUMER, idle, '0-0')
    must_allow(source, 'XACK', source, group, '0-0')
  end
end

local function take(source, state, most, most_bytes)
  local group, idle = ARGV[9], ARGV[11]
  if start then
    make_group(source, state, group, start)
  end
  local entries, bytes, newest = {}, 0, nil
  if pending > 0 then
    claim(source, group, idle, entries)
    for _, entry in ipairs(entries) do
      bytes = bytes + #entry
    end
  end
  local count = FIRST_READ
  while #entries < most and bytes < most_bytes do
    local found = read(source, group, math.min(count, most - #entries))
    for _, entry in ipairs(found) do
      local row = encoded(entry)
      bytes = bytes + #row
      entries[#entries + 1] = row
      newest = entry[1]
    end
    if #found == 0 then
      break
    end
    -- as many as will fit, going by those so far
    count = math.max(1, math.floor((most_bytes - bytes) * #entries / bytes))
  end
  if newest then
    redis.call('HSET', state, 'read', newest)
  end
  return entries
end
