-- New messages of a hash: fields, whichever. One that was set again waits until its older value is dealt with.
local function look_at_source()
  look_at_keeping()
  must_allow(SOURCE, 'HRANDFIELD', SOURCE, '1')
  must_allow(SOURCE, 'HGET', SOURCE, '')
  must_allow(SOURCE, 'HDEL', SOURCE, '')
  must_allow(BUSY, 'HEXISTS', BUSY, '')
  must_allow(BUSY, 'HSET', BUSY, '', '1')
end

local function fresh(most, hand, full)
  for _, field in ipairs(redis.call('HRANDFIELD', SOURCE, most)) do
    if full() then
      return
    end
    if redis.call('HEXISTS', BUSY, busy(SOURCE, field)) == 0 then
      local body = redis.call('HGET', SOURCE, field)
      redis.call('HDEL', SOURCE, field)
      redis.call('HSET', BUSY, busy(SOURCE, field), '1')
      hand(keep(field, body), SOURCE, field, body, #body)
    end
  end
end
