-- Takes a seat for a user and for an address, if all nodes together leave one of each.
--
-- KEYS: nodes, the lease's seats. ARGV: lease, what the names of seats begin with, milliseconds a lease
-- is good, and two for each subject: its name, how many it may have (0: any number).
--
-- Answers with which subject has no seat left, or 0.
local nodes, seats = KEYS[1], KEYS[2]
local lease, prefix, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = string.format('(%.0f', now - lease_ms)
local alive = redis.call('ZRANGEBYSCORE', nodes, since, '+inf')
local holders = { seats }
for _, member in ipairs(alive) do
  if member ~= lease then
    holders[#holders + 1] = prefix .. member
  end
end
for at = 4, #ARGV, 2 do
  local most = tonumber(ARGV[at + 1])
  if most > 0 then
    local taken = 0
    for _, holder in ipairs(holders) do
      taken = taken + (tonumber(redis.call('HGET', holder, ARGV[at])) or 0)
    end
    if taken >= most then
      return (at - 2) / 2
    end
  end
end
for at = 4, #ARGV, 2 do
  redis.call('HINCRBY', seats, ARGV[at], 1)
end
redis.call('PEXPIRE', seats, lease_ms)
return 0
