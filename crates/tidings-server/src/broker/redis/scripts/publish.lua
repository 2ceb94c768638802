-- Gives each publication the next position and stores it, unless its key was used before. All or
-- nothing of each; nothing of any where the log is not the one that the node knows. The log has them as
-- `append` puts them there.
--
-- KEYS: log, meta, revoked, and then the keys of idempotency.
-- ARGV: epoch, events kept, milliseconds a key is kept, and six for each publication: its kind, its
-- mark, its record, which of the keys of idempotency is its own (0: none), the fingerprint, the index.
-- A revocation has its end, in Unix milliseconds, in place of the fingerprint.
--
-- Answers with the epoch there is, and for each publication its position, or the cursor that its key
-- was answered with before, or -1 where the key was used for something else.
local log, meta, revoked = KEYS[1], KEYS[2], KEYS[3]
local epoch, events_max, window_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local state = redis.call('HMGET', meta, 'epoch', 'position')
if state[1] ~= epoch or redis.call('EXISTS', log) == 0 then
  return { state[1] ~= epoch and state[1] or '' }
end
local position = tonumber(state[2])
local answers = { epoch }
-- As many as Lua can hand on at once, with room to spare.
local FIELDS_MAX = 4000
local fields = {}

local function store()
  if #fields > 0 then
    redis.call('XADD', log, string.format('%.0f-0', position), unpack(fields))
    fields = {}
  end
end

local function append(mark, kind, record)
  if #fields == FIELDS_MAX then
    store()
  end
  position = position + 1
  local filled = #fields
  fields[filled + 1], fields[filled + 2] = 'n', mark
  fields[filled + 3], fields[filled + 4] = kind, record
  return string.format('%.0f', position)
end

for at = 4, #ARGV, 6 do
  local kind, mark, record = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local key, fingerprint, index = tonumber(ARGV[at + 3]), ARGV[at + 4], ARGV[at + 5]
  local answer
  if kind == 'r' then
    append(mark, kind, record)
    redis.call('ZADD', revoked, fingerprint, record)
    answer = position
  elseif key == 0 then
    append(mark, kind, record)
    answer = position
  else
    local name = KEYS[3 + key]
    local used = redis.call('HMGET', name, 'f', index)
    if used[1] and used[1] ~= fingerprint then
      answer = -1
    elseif used[2] then
      answer = used[2]
    else
      local id = append(mark, kind, record)
      redis.call('HSET', name, 'f', fingerprint, index, epoch .. '-' .. id)
      if not used[1] then
        redis.call('PEXPIRE', name, window_ms)
      end
      answer = position
    end
  end
  answers[#answers + 1] = answer
end

if position ~= tonumber(state[2]) then
  store()
  redis.call('HSET', meta, 'position', string.format('%.0f', position))
  if position > events_max then
    redis.call('XTRIM', log, 'MINID', '~', string.format('%.0f', position - events_max + 1))
  end
end
return answers
