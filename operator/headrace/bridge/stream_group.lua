-- The group that reads a stream. Behind preflight.lua and stream_id.lua, in front of take_stream.lua and of stream.lua.
local function last_id(source)
  local newest = redis.call('XREVRANGE', source, '+', '-', 'COUNT', 1)[1]
  return newest and newest[1] or '0-0'
end

-- A group that was there and is gone goes on where it was, unless the stream is another one by now.
-- Returns where it begins. Nothing is written.
local function beginning_of_group(source, state, group, initial)
  must_allow(source, 'XGROUP', 'CREATE', source, group, '0', 'MKSTREAM')
  must_allow(state, 'HSET', state, 'read', '')
  if refusal then
    return
  end
  local read = redis.call('HGET', state, 'read')
  if not read then
    return initial == '$' and last_id(source) or initial
  end
  if not parts(read) then
    refusal = redis.error_reply('ERR read in ' .. state .. ' is no id of a stream: ' .. string.sub(read, 1, 40))
    return
  end
  return before(last_id(source), read) and '0-0' or read
end

local function make_group(source, state, group, start)
  redis.call('XGROUP', 'CREATE', source, group, start, 'MKSTREAM')
  redis.call('HSET', state, 'read', start)
end
