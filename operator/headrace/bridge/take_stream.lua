-- How entries leave a stream: read by a group, and at once no longer pending there, as they are in the cut then.
-- In front of cut.lua. ARGV 9...: group, where a new group begins, milliseconds until a pending entry is orphaned
-- An entry becomes a row: its id and the lengths of fields and values, a line break, then these one behind the other.
local CONSUMER, FIRST_READ, MOST_CLAIMED = 'headrace', 16, 100

local function parts(id)
  local milliseconds, number = string.match(id, '^(%d+)-?(%d*)$')
  return tonumber(milliseconds), tonumber(number) or 0
end

local function before(one, other)
  local milliseconds, number = parts(one)
  local others_milliseconds, others_number = parts(other)
  return milliseconds < others_milliseconds or (milliseconds == others_milliseconds and number < others_number)
end

local function last_id(source)
  local newest = redis.call('XREVRANGE', source, '+', '-', 'COUNT', 1)[1]
  return newest and newest[1] or '0-0'
end

-- A group that was there and is gone goes on where it was, unless the stream is another one by now.
local function make_group(source, state, group, initial)
  local read = redis.call('HGET', state, 'read')
  local start = initial
  if read then
    start = before(last_id(source), read) and '0-0' or read
  elseif initial == '$' then
    start = last_id(source)
  end
  redis.call('XGROUP', 'CREATE', source, group, start, 'MKSTREAM')
  redis.call('HSET', state, 'read', start)
end

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

local function take(source, state, most, most_bytes)
  local group, initial, idle = ARGV[9], ARGV[10], ARGV[11]
  local asked = redis.pcall('XPENDING', source, group)
  if asked.err then
    if string.sub(asked.err, 1, 7) ~= 'NOGROUP' then
      return asked
    end
    make_group(source, state, group, initial)
    asked = {0}
  end
  local entries, bytes, newest = {}, 0, nil
  if asked[1] > 0 then
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
