-- Settle messages: record and acknowledgement together, or nothing of one that is not ours any more.
-- KEYS 7...: lists for records
-- ARGV 6...: for each its id; done, retry or back; milliseconds to wait; number of the list or 0; the record
-- Returns for each 1, or 0 when another process has it or had it.
local outcome = {}
for index = 6, #ARGV, 5 do
  local id, kind, wait, list, record = unpack(ARGV, index, index + 4)
  local ours = mine(id)
  outcome[#outcome + 1] = ours and 1 or 0
  if ours then
    if list ~= '0' then
      redis.call('LPUSH', KEYS[6 + list], record)
    end
    redis.call('HDEL', OWNERS, id)
    local tried = kind == 'back' and redis.call('HINCRBY', ATTEMPTS, id, -1)
    if kind == 'done' or (tried == 0 and put_back(id)) then
      forget(id)
      release(id)
    else
      rest(id)
      redis.call('ZADD', LEASES, whole(NOW + wait), id)
    end
  end
end
return outcome
