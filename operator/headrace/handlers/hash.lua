-- New messages of a hash: fields, whichever. One that was set again waits until its older value is dealt with.
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
