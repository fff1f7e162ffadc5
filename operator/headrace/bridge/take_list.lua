-- How entries leave a list: from its right end. In front of cut.lua.
local function look(source)
  must_be(source, 'list')
  must_allow(source, 'RPOP', source)
  must_allow(source, 'RPUSH', source, '')
end

local function take(source, _, most, most_bytes)
  local entries, bytes = {}, 0
  while #entries < most do
    local entry = redis.call('RPOP', source)
    if not entry then
      break
    end
    if #entries > 0 and bytes + #entry > most_bytes then
      redis.call('RPUSH', source, entry)
      break
    end
    bytes = bytes + #entry
    entries[#entries + 1] = entry
  end
  return entries
end
