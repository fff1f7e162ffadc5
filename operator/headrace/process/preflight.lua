-- What Valkey would refuse is found out before the first write: a script that fails half-way has done its first half.
-- In front of every script that writes more than once: it says what it needs, and writes only when `refusal` is nil then.
-- A server that is full, read-only or cannot write its disk refuses the first write, so that is not asked here.
local MOST_ARGUMENTS = 7000 -- of one command; Lua's unpack ends near 8000
local refusal -- the error of the first thing that Valkey would refuse

-- Whether the server has a command and its user may run it. Give it all arguments that it needs, of any value where they
-- are neither key nor channel: Valkey 9.1 crashes when it looks for the keys of a command that is too short.
local function may(...)
  local known, allowed = pcall(redis.acl_check_cmd, ...)
  return known and allowed
end

-- *answer*: the error that Valkey gave to the command. It names the command and its subcommand, but no key and no channel.
local function deny(answer, command, object)
  local named = string.match(answer.err, "run the '([^']+)' command")
  local text = 'NOPERM the user of this connection may not run ' .. (named and string.upper(named) or command)
  if not string.find(answer.err, 'permissions to run', 1, true) then
    text = text .. (command == 'PUBLISH' and ' on the channel ' or ' on the key ') .. object
  end
  refusal = redis.error_reply(text)
end

-- *object*: the key or channel that is meant.
local function must_allow(object, command, ...)
  if refusal or may(command, ...) then
    return
  end
  if pcall(redis.acl_check_cmd, command, ...) then
    -- it is refused for sure, so it is run to hear why; ACL LOG knows of it then, too
    deny(redis.pcall(command, ...), command, object)
  else
    refusal = redis.error_reply('NOPERM this Valkey does not have the command ' .. command .. ', which is needed')
  end
end

local function must_be(key, wanted)
  if refusal then
    return
  end
  local answer = redis.pcall('TYPE', key)
  local found = answer.ok
  if answer.err then
    deny(answer, 'TYPE', key)
  elseif found ~= 'none' and found ~= wanted then
    refusal = redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ' and should be a ' .. wanted)
  end
end

-- A field of a hash that is a whole number, or not there.
local function must_count(key, field)
  if refusal then
    return
  end
  local found = redis.call('HGET', key, field)
  if found and not (#found < 19 and string.match(found, '^-?%d+$')) then
    refusal = redis.error_reply('ERR ' .. field .. ' in ' .. key .. ' is no whole number: ' .. string.sub(found, 1, 40))
  end
end

-- Run a command on a key with the elements *first* to *last* of a table, in as many steps as it takes.
local function in_steps(command, key, from, first, last)
  for at = first, last, MOST_ARGUMENTS do
    redis.call(command, key, unpack(from, at, math.min(at + MOST_ARGUMENTS - 1, last)))
  end
end
