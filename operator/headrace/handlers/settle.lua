-- Settle messages: record and acknowledgement together, or nothing of one that is not ours any more.
-- KEYS 7...: lists for records
-- ARGV 6...: for each its id; done, retry or back; milliseconds to wait; number of the list or 0; the record
-- Returns for each 1; 0 when another process has it or had it; 2, and nothing done with it, when its record finds no
-- place; and last what Valkey said to the latter, or to one that should go back where it lay, and waits with us instead;
-- when there is nothing to settle, what it would say to a record.
look_at_books()
look_at_forgetting()
if refusal then
  return refusal
end

-- One list that takes nothing must not hold up what has no record for it.
local problems = {}
for number = 7, #KEYS do
  must_be(KEYS[number], 'list')
  must_allow(KEYS[number], 'LPUSH', KEYS[number], '')
  problems[tostring(number - 6)], refusal = refusal, nil
end

local outcome, problem = {}, nil
if #ARGV == 5 then
  -- nothing to settle, but could it be?
  for number = #KEYS - 6, 1, -1 do
    local found = problems[tostring(number)]
    problem = found and found.err or problem
  end
end
for index = 6, #ARGV, 5 do
  local id, kind, wait, list, record = unpack(ARGV, index, index + 4)
  if not mine(id) then
    outcome[#outcome + 1] = 0
  elseif problems[list] then
    problem = problems[list].err
    outcome[#outcome + 1] = 2
  else
    outcome[#outcome + 1] = 1
    if list ~= '0' then
      redis.call('LPUSH', KEYS[6 + list], record)
    end
    redis.call('HDEL', OWNERS, id)
    local gone, refused = kind == 'done', nil
    if kind == 'back' and count_attempt(id, -1) == 0 then
      gone, refused = put_back(id)
      problem = refused or problem
    end
    if gone then
      forget(id)
      release(id)
    else
      rest(id)
      redis.call('ZADD', LEASES, whole(NOW + wait), id)
    end
  end
end
outcome[#outcome + 1] = problem or ''
return outcome
