-- Keep what we hold.    ARGV 6...: ids
must_allow(OWNERS, 'HGET', OWNERS, '')
must_allow(LEASES, 'ZADD', LEASES, 'XX', '0', '')
if refusal then
  return refusal
end
for index = 6, #ARGV do
  local id = ARGV[index]
  if mine(id) then
    redis.call('ZADD', LEASES, 'XX', whole(NOW + LEASE), id)
    refresh(id)
  end
end
