-- The parts of a row: their lengths, a line feed, and the parts themselves.
local function parts_of(row)
  local found, head = {}, string.find(row, '\n', 1, true)
  local at = head + 1
  for length in string.gmatch(string.sub(row, 1, head), '%d+') do
    found[#found + 1] = string.sub(row, at, at + length - 1)
    at = at + length
  end
  return found
end
