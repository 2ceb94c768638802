-- A node has connected. Finds out whether this is still the log that the nodes know, and begins another
-- if it is not, or cannot be shown to be.
--
-- A log is known by the run id of the server that holds it. Under another one (restarted, failed over,
-- moved) it may have lost what was acknowledged last. So each node that was alive then vouches for the
-- newest event that it has seen or was told to be stored; when all have found theirs, nothing is lost and
-- the epoch stays. When one has not, or does not come in time, there is a new one.
--
-- KEYS: log, meta, nodes, vouched. ARGV: node, lease, what the names of seats begin with, run id, the
-- epoch that the node knows, the position and the mark of the newest event it has seen in it, an epoch to
-- begin with, milliseconds a lease is good, milliseconds to wait for the others.
--
-- Answers with 'joined' or 'begun', epoch and position; or with 'wait'.
local log, meta, nodes, vouched = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local node, lease, seats, run = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local known, claimed, mark, fresh = ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]
local lease_ms, patience_ms = tonumber(ARGV[9]), tonumber(ARGV[10])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function node_of(member)
  return string.match(member, '^(.*)%.%d+$')
end

local function join(word, epoch, position)
  -- What this node held before it holds no more.
  for _, member in ipairs(redis.call('ZRANGE', nodes, 0, -1)) do
    if node_of(member) == node then
      redis.call('ZREM', nodes, member)
      redis.call('UNLINK', seats .. member)
    end
  end
  redis.call('ZADD', nodes, string.format('%.0f', now), lease)
  return { word, epoch, position }
end

local function begin()
  redis.call('UNLINK', log, meta, vouched)
  redis.call('HSET', meta, 'epoch', fresh, 'position', '1', 'run', run)
  redis.call('XADD', log, '1-0', 'n', '', 'b', fresh)
  return join('begun', fresh, '1')
end

local state = redis.call('HMGET', meta, 'epoch', 'position', 'run')
local epoch, position = state[1], state[2]
if not epoch or redis.call('EXISTS', log) == 0 then
  return begin()
end
local info = redis.call('XINFO', 'STREAM', log)
for at = 1, #info, 2 do
  if info[at] == 'last-generated-id' and info[at + 1] ~= position .. '-0' then
    return begin()
  end
end

local vouches = known == epoch and claimed > 0
if vouches then
  if claimed > tonumber(position) then
    return begin()
  end
  -- The entry that has this position, if it was not trimmed: the log has gone on since.
  local found = redis.call('XRANGE', log, string.format('%.0f-0', claimed), '+', 'COUNT', 1)[1]
  if found then
    local last, fields = tonumber(string.match(found[1], '^%d+')), found[2]
    local number = #fields / 4 - (last - claimed)
    if number >= 1 and fields[4 * (number - 1) + 2] ~= mark then
      return begin()
    end
  end
end
if state[3] == run then
  return join('joined', epoch, position)
end

if redis.call('HGET', vouched, 'run') ~= run then
  redis.call('UNLINK', vouched)
  redis.call('HSET', vouched, 'run', run, 'since', string.format('%.0f', now))
end
redis.call('PEXPIRE', vouched, 10 * patience_ms)
if vouches then
  redis.call('HSET', vouched, 'node:' .. node, '1')
end
local some, all = false, true
local newest = redis.call('ZRANGE', nodes, -1, -1, 'WITHSCORES')[2]
local alive = {}
if newest then
  local since = string.format('(%.0f', tonumber(newest) - lease_ms)
  alive = redis.call('ZRANGEBYSCORE', nodes, since, '+inf')
end
for _, member in ipairs(alive) do
  if redis.call('HEXISTS', vouched, 'node:' .. node_of(member)) == 1 then
    some = true
  else
    all = false
  end
end
if all and (some or vouches) then
  redis.call('HSET', meta, 'run', run)
  redis.call('UNLINK', vouched)
  return join('joined', epoch, position)
end
local waited_ms = now - tonumber(redis.call('HGET', vouched, 'since'))
if #alive == 0 or waited_ms < 0 or waited_ms >= patience_ms then
  return begin()
end
return { 'wait' }
