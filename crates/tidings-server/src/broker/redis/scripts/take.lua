-- Takes one use of a limit, if one is left: an exact sliding window, as a node has it by itself. The
-- moment of each use is remembered, in microseconds of this server's clock, and a refused try is none.
--
-- KEYS: the subject's uses, by their moment; and, before them all, the longest window that was asked
-- about, so long are they needed. ARGV: limit, window in microseconds, the most uses to remember.
--
-- Answers with whether it is allowed, how many are left, and in how many microseconds there is one more.
local uses, limit, window, uses_max = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local function text(number)
  return string.format('%.0f', number)
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('ZRANGE', uses, -1, -1)[1]) or 0
-- A clock that is set back makes nobody's uses come in another order.
now = math.max(now, last)

local keep = window
local kept = redis.call('ZSCORE', uses, 'keep')
if kept and -tonumber(kept) > keep then
  keep = -tonumber(kept)
end
redis.call('ZREMRANGEBYSCORE', uses, 0, text(now - keep))

local since = '(' .. text(now - window)
local used = redis.call('ZCOUNT', uses, since, '+inf')
local allowed = used < limit
if allowed then
  if redis.call('ZCARD', uses) > uses_max then
    -- One that is in no window, or there would have been none left.
    redis.call('ZREMRANGEBYRANK', uses, 1, 1)
  end
  -- No two at one moment, or they would be one.
  local moment = text(math.max(now, last + 1))
  redis.call('ZADD', uses, moment, moment)
  used = used + 1
end
redis.call('ZADD', uses, text(-keep), 'keep')
redis.call('PEXPIRE', uses, math.ceil(keep / 1000) + 1)

local surplus = math.max(used - limit, 0)
local leaves = redis.call('ZRANGEBYSCORE', uses, since, '+inf', 'LIMIT', surplus, 1)[1]
local reset = leaves and (tonumber(leaves) + window - now) or 0
return { allowed and 1 or 0, math.max(limit - used, 0), reset }
