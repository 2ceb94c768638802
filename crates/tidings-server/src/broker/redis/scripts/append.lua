-- Gives publications that need nothing but a place the next positions, in one piece: all are stored, or
-- none where the log is not the one that the node knows.
--
-- An entry of the log has what was published at once, four fields for each: 'n', its mark, its kind, its
-- record. Its id is the position of the last of them.
--
-- KEYS: log, meta. ARGV: epoch, events kept, and four for each publication, as the entry has them.
--
-- Answers with the epoch there is, and the position of the first.
local log, meta = KEYS[1], KEYS[2]
local epoch, events_max = ARGV[1], tonumber(ARGV[2])
local state = redis.call('HMGET', meta, 'epoch', 'position')
if state[1] ~= epoch or redis.call('EXISTS', log) == 0 then
  return { state[1] ~= epoch and state[1] or '' }
end
local before = tonumber(state[2])
local position = before
-- As many as Lua can hand on at once, with room to spare.
local FIELDS_MAX = 4000
local at = 3
while at <= #ARGV do
  local last = math.min(at + FIELDS_MAX - 1, #ARGV)
  position = position + (last - at + 1) / 4
  redis.call('XADD', log, string.format('%.0f-0', position), unpack(ARGV, at, last))
  at = last + 1
end
redis.call('HSET', meta, 'position', string.format('%.0f', position))
if position > events_max then
  redis.call('XTRIM', log, 'MINID', '~', string.format('%.0f', position - events_max + 1))
end
return { epoch, before + 1 }
