-- In front of a script that only the holder of the lease may run.    KEYS 2: owner    ARGV 1: token
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return redis.error_reply('FENCED another replica holds the lease')
end
