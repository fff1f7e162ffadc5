-- Take messages: first those whose lease or wait is over, then new ones.
-- ARGV 6...: most messages, bytes after which no more are taken, where to look for orphans or '', 1 when new ones too
-- Returns the messages (id, attempt, key, what else there is, payload), the ids whose payload somebody deleted,
-- and where to look for orphans next.
local most, room = tonumber(ARGV[6]), tonumber(ARGV[7])
local rows, bytes = {}, 0

look_at_books()
must_allow(LEASES, 'ZRANGEBYSCORE', LEASES, '-inf', '0')
look_at_source()
if refusal then
  return refusal
end

local function full()
  return bytes >= room
end

local function hand(id, key, extra, payload, size)
  local attempt = count_attempt(id, 1)
  redis.call('HSET', OWNERS, id, OWNER)
  redis.call('ZADD', LEASES, whole(NOW + LEASE), id)
  rows[#rows + 1] = {id, attempt, key, extra, payload}
  bytes = bytes + size
end

begin()
local deleted, cursor = {}, ''
if ARGV[8] ~= '' then
  cursor = adopt(ARGV[8])
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', whole(NOW), 'LIMIT', 0, most)) do
  if full() then
    break
  end
  local key, extra, payload, size = fetch(id)
  if key then
    hand(id, key, extra, payload, size)
  else
    deleted[#deleted + 1] = id
    release(id)
  end
end
if ARGV[9] == '1' and #rows < most and not full() then
  fresh(most - #rows, hand, full)
end
return {rows, deleted, cursor}
