-- Which id of a stream comes first. As text: its two numbers have up to 20 digits, of which Lua knows 15.
local function parts(id)
  local milliseconds, number = string.match(id, '^(%d+)-?(%d*)$')
  return milliseconds, number == '' and '0' or number
end

local function less(one, other)
  if #one ~= #other then
    return #one < #other
  end
  return one < other
end

local function before(one, other)
  local milliseconds, number = parts(one)
  local others_milliseconds, others_number = parts(other)
  if milliseconds ~= others_milliseconds then
    return less(milliseconds, others_milliseconds)
  end
  return less(number, others_number)
end
