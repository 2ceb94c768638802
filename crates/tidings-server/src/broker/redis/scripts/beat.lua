-- A node is alive: its lease and its seats are good for another while. Gives seats back that were left,
-- and drops what the node keeps no more.
--
-- KEYS: log, meta, nodes, the lease's seats, revoked. ARGV: epoch, lease, milliseconds a lease is good, the
-- position before the oldest event that the node keeps ('': nothing is dropped), whether it should have
-- seats, and two for each subject that seats were left of: its name, how many.
--
-- Answers with the epoch, and whether the node's seats are still counted.
local log, meta, nodes, seats, revoked = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local epoch, lease, lease_ms, kept_after = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local there = redis.call('HGET', meta, 'epoch') or ''
if there ~= epoch then
  return { there, 0 }
end
local counted = redis.call('EXISTS', seats)
redis.call('ZADD', nodes, string.format('%.0f', now), lease)
redis.call('ZREMRANGEBYSCORE', nodes, '-inf', string.format('(%.0f', now - 100 * lease_ms))
for at = 6, #ARGV, 2 do
  if redis.call('HINCRBY', seats, ARGV[at], -ARGV[at + 1]) <= 0 then
    redis.call('HDEL', seats, ARGV[at])
  end
end
redis.call('PEXPIRE', seats, lease_ms)
if kept_after ~= '' then
  redis.call('XTRIM', log, 'MINID', '~', string.format('%.0f', tonumber(kept_after) + 1))
  redis.call('ZREMRANGEBYSCORE', revoked, '-inf', string.format('%.0f', now))
end
return { there, (counted == 1 or ARGV[5] == '0') and 1 or 0 }
