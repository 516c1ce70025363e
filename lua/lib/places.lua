-- Places: records of ids, and what a call notes on its way.
--
-- A record is a letter and doubles. q: in line (nonce, order key, joined_at,
-- heard_at). o: offered (the same, fence, claim deadline). h: held (nonce,
-- fence, alive_until, active_until, wait). e: ended (nonce, manner). Records
-- are read at most once per call and written together at its end: false
-- removes one; whoever changes one also puts its id into `dirty`.
local H, O, Q, E = 104, 111, 113, 101
local ENDED = { 'released', 'expired', 'cancelled', 'timed_out', 'abandoned' }
local records, dirty = {}, {}
local tally = {} -- statistics that grew: the fields in order, and by how much
local words -- the answer
local me, me_ended -- the caller's place (acquire, poll), and how it ended on the way
local joiner -- the caller, if it joined in this call
local grew = false -- whether more ids are in line than before
local moved = not known -- whether any place has moved, so that others may follow
local held, left -- places held, when counted; whether promotions are left over
local told = true -- whether the stored flow and capacity are still true
local in_line -- places in line, when counted

local function read(id)
  local record = records[id]
  if record == nil then
    record = call('HGET', GATE, id)
    records[id] = record
  end
  return record
end

-- A statistic that changes rarely: a field of its own, '\2' and its name.
local function count(field, by)
  local sum = tally[field]
  if not sum then tally[#tally + 1] = field end
  tally[field] = (sum or 0) + by
end
