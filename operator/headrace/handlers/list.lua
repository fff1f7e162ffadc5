-- New messages from the right end of a list.
local function look_at_source()
  look_at_keeping()
  must_allow(SOURCE, 'RPOP', SOURCE)
end

local function fresh(most, hand, full)
  for _ = 1, most do
    local body = not full() and redis.call('RPOP', SOURCE)
    if not body then
      return
    end
    hand(keep('', body), SOURCE, '', body, #body)
  end
end
