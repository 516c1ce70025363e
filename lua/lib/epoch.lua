-- Whether slots may be given: always, by a gate that trusts its server to lose
-- nothing. A guarded gate has lib/guarded.lua in this place.
local calm = true
