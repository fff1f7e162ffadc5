-- What an owner holds, and how it goes back. Behind preflight.lua.
-- A message is kept as "<length of the list's name>:<the list's name><message>".
-- Returns the two; nil for what is none of ours.
local function cut(text)
  local colon = string.find(text, ':', 1, true)
  local size = colon and tonumber(string.sub(text, 1, colon - 1))
  if size then
    return string.sub(text, colon + 1, colon + size), string.sub(text, colon + size + 1)
  end
end

local known = {}

-- Why Valkey would not run *command* on a list, or false. One that takes nothing must not hold up the others.
local function problem_of(list, command)
  local about = command .. list
  if known[about] == nil then
    must_be(list, 'list')
    must_allow(list, command, list, '')
    known[about], refusal = refusal and refusal.err or false, nil
  end
  return known[about]
end

-- Give back to the front of their lists what the hash *unacked* holds, but for the fields in *keep*; the oldest comes out
-- first. *given* is called with the field and the message of each.
-- Returns how many went back, how many found no place, and why not.
local function give_back(unacked, keep, given)
  local held = redis.call('HGETALL', unacked)
  local numbers, values = {}, {}
  for place = 1, #held, 2 do
    local number = tonumber(held[place])
    if number and not keep[held[place]] then
      numbers[#numbers + 1] = number
      values[number] = held[place + 1]
    end
  end
  table.sort(numbers, function(a, b) return a > b end)
  local done, stuck, why = 0, 0, ''
  for _, number in ipairs(numbers) do
    local list, raw = cut(values[number])
    local problem = list and problem_of(list, 'RPUSH')
    if not list or problem then
      stuck, why = stuck + 1, problem or 'ERR what ' .. unacked .. ' holds is no message'
    else
      redis.call('RPUSH', list, raw)
      redis.call('HDEL', unacked, number)
      given(number, raw)
      done = done + 1
    end
  end
  return done, stuck, why
end
