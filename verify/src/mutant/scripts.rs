//! The scripts with a passage replaced.

use super::Mutant;
use crate::subject::Kind;
use crate::subject::variant::{Patch, Variant};

const fn script(patches: &'static [Patch]) -> Kind {
    Kind::Slots(Variant::patched(patches))
}

const fn patch(file: &'static str, from: &'static str, to: &'static str) -> Patch {
    Patch { file, from, to }
}

/// Of a gate that says that it survives failover.
const fn guarded(patches: &'static [Patch]) -> Kind {
    Kind::Slots(Variant {
        patches,
        ..Variant::GUARDED
    })
}

const GUARDED: &str = "lib/guarded.lua";
const EXPIRE: &str = "lib/expire.lua";
const STEP: &str = "lib/step.lua";
const PROMOTE: &str = "lib/promote.lua";
const RELEASE: &str = "slots/release.lua";
const CANCEL: &str = "slots/cancel.lua";
const RENEW: &str = "slots/renew.lua";
const RESIZE: &str = "slots/resize.lua";
const ACQUIRE: &str = "slots/acquire.lua";

/// The long way for everybody.
const NO_SHORT_CUT: Patch = patch(
    ACQUIRE,
    "if calm and base and ARGV[3] and not ARGV[4] and",
    "if false and base and ARGV[3] and not ARGV[4] and",
);

/// A counter beside the sorted set, in a field of its own.
const COUNTED: Patch = patch(
    PROMOTE,
    "  held = held or call('ZCOUNT', LINE, '-4e15', '(0')\n  local steps = calm and batch or 0",
    "  held = tonumber(call('HGET', GATE, '\\5') or 0)\n  local steps = batch",
);
const COUNT_UP: Patch = patch(
    PROMOTE,
    "      held = held + 1\n",
    "      held = call('HINCRBY', GATE, '\\5', 1)\n",
);
const COUNT_EXPIRED: Patch = patch(
    STEP,
    "if zone == 1 then\n  if record",
    "if zone == 1 then\n  call('HINCRBY', GATE, '\\5', -1)\n  if record",
);
const COUNT_RELEASED: Patch = patch(
    RELEASE,
    "  words, moved = 'released', true\n",
    "  words, moved = 'released', true\n  call('HINCRBY', GATE, '\\5', -1)\n",
);
const COUNT_CANCELLED: Patch = patch(
    CANCEL,
    "    count('\\2cancelled', 1)\n",
    "    count('\\2cancelled', 1)\n    if byte(record) ~= Q then call('HINCRBY', GATE, '\\5', -1) end\n",
);
/// Renewals and releases look at the number, and not at the time.
const WHATEVER_THE_TIME: &str = "  holds = fenced == number\n";
const IN_TIME: &str = "  holds = fenced == number and math.min(alive, active) > now\n";

/// Where the configuration has just been read.
const CONFIGURED: &str = "tombstones_max, retain = unpack(c)\n";

/// In the order of classes.
pub(super) const ALL: &[Mutant] = &[
    Mutant::new(
        "B03",
        "newcomers-first",
        "a newcomer takes a free slot though others wait for it",
        &["R1.3"],
        script(&[patch(PROMOTE, "    local id = rows[1]\n    if not id then break end",
 "    local id = rows[1]\n    if not id then break end\n    if joiner and byte(read(joiner) or '') == Q then id = joiner end")]),
    )
    .hard(),
    Mutant::new(
        "B06",
        "expiry-promotes-nobody",
        "a lease that ends frees its slot, and nobody is let in for it",
        &["R1.4"],
        script(&[patch(EXPIRE, "  moved = true\n  local steps = batch\n", "  local steps = batch\n")]),
    )
    .hard(),
    Mutant::new(
        "B07",
        "beating-is-use",
        "a heartbeat counts as real use: a session that only beats is never idle",
        &["R3.4"],
        script(&[patch(
            "slots/renew.lua",
            "if ARGV[4] == '1' then active = now + active_for end",
            "active = now + active_for",
        )]),
    )
    .hard(),
    Mutant::new(
        "B07",
        "idleness-comes-late",
        "sessions may be idle for nearly twice as long as was asked for",
        &["R3.4"],
        script(&[patch("lib/gate.lua", CONFIGURED, "tombstones_max, retain = unpack(c)\n  idle = idle * 1.9\n")]),
    )
    .hard(),
    Mutant::new(
        "B10",
        "release-by-anybody",
        "a release is not held against the fencing number: a late one ends the next holder's slot",
        &["R1.7"],
        script(&[patch(RELEASE, IN_TIME, "  holds = math.min(alive, active) > now\n")]),
    )
    .hard(),
    Mutant::new(
        "B10",
        "renewal-by-anybody",
        "a renewal is not held against the fencing number: a late one keeps the next holder's slot alive",
        &["R1.7"],
        script(&[patch(RENEW, IN_TIME, "  holds, number = math.min(alive, active) > now, fenced\n")]),
    )
    .hard(),
    Mutant::new(
        "B10",
        "lost-before-its-time",
        "a renewal in the second half of a lease is told that the slot is lost, though it is held",
        &["R1.7"],
        script(&[patch(RENEW, IN_TIME,
 "  holds = fenced == number and math.min(alive, active) > now + (lease > 0 and lease / 2 or 0)\n")]),
    )
    .hard(),
    Mutant::new(
        "B10",
        "second-release-raises-the-cap",
        "held is a counter, and a release counts down whether it holds or not",
        &["R1.1(s)"],
        script(&[NO_SHORT_CUT, COUNTED, COUNT_UP, COUNT_EXPIRED, COUNT_CANCELLED,
 patch(RELEASE, "words = 'lost'\n", "words = 'lost'\ncall('HINCRBY', GATE, '\\5', -1)\n")]),
    )
    .hard(),
    Mutant::new(
        "B11",
        "renewal-resurrects",
        "a renewal looks at the number alone: a lease that is over comes back to life",
        &["R1.7"],
        script(&[patch(RENEW, IN_TIME, WHATEVER_THE_TIME),
 patch(RENEW, "if next_held <= now or next_due <= now or next_ended <= now then\n", "if false then\n")]),
    )
    .hard(),
    Mutant::new(
        "B11",
        "renewal-recreates",
        "a renewal writes the slot whether it is there or not, as ZADD without XX does",
        &["R1.1(s)"],
        script(&[patch(RENEW, "words = 'lost'\n",
 "words = 'lost'\nif not holds then kind, holds, nonce, active, waited = H, true, 0, now + active_for, 0 end\n")]),
    )
    .hard(),
    Mutant::new(
        "B13",
        "dead-waiter-blocks",
        "the line does not move past a waiter that is not heard of",
        &["R1.4"],
        script(&[patch(EXPIRE, "    if bound <= now then\n", "    if bound <= now and zone ~= 2 then\n"),
 patch(PROMOTE, "    if late and tonumber(late) <= now then\n", "    if late and tonumber(late) <= now then break end\n    if false then\n"),
 patch("lib/answer.lua", "(left or next_held <= now or next_due <= now)", "(left or next_held <= now)")]),
    )
    .hard(),
    Mutant::new(
        "B14",
        "promotes-ghosts",
        "a slot is offered to a waiter that is absent",
        &["R1.9"],
        script(&[patch(PROMOTE, "call('ZRANGEBYSCORE', LINE, '0', '(4e15', 'LIMIT', '0', '2')", "call('ZRANGEBYSCORE', LINE, '0', '+inf', 'LIMIT', '0', '2')")]),
    )
    .hard(),
    Mutant::new(
        "B14",
        "offer-for-a-whole-lease",
        "an offer stands for as long as a lease: a ghost burns a slot for all of it",
        &["R1.9"],
        script(&[patch(PROMOTE, "        local deadline = now + claim_within\n", "        local deadline = math.min(now + alive_for, NEVER)\n")]),
    )
    .hard(),
    Mutant::new(
        "B15",
        "default-wait-timeout",
        "where no wait timeout was asked for, waiters are thrown out after four seconds",
        &["R1.5"],
        script(&[patch("lib/gate.lua", CONFIGURED, "tombstones_max, retain = unpack(c)\n  if timeout == 0 then timeout = 4000 end\n")]),
    ),
    Mutant::new(
        "B15",
        "cancelled-by-nobody",
        "who cancels takes the first of the line along",
        &["R1.5"],
        script(&[patch(CANCEL, "if moved then\n  held = held or",
 "local other = call('ZRANGEBYSCORE', LINE, '0', '(4e15', 'LIMIT', '0', '1')[1]\n\
if moved and tombstone > 0 and other and other ~= id then\n  \
local at = now + tombstone\n  \
call('ZADD', LINE, format('%d', at - 8e15), other)\n  \
if next_due < NEVER then call('ZREM', DUE, other) end\n  \
records[other], dirty[#dirty + 1] = pack('<Bdd', E, (unpack_('<d', read(other), 2)), 3), other\n  \
remembered = remembered + 1\n  \
if at < next_ended then next_ended = at end\n\
end\n\
if moved then\n  held = held or")]),
    )
    .hard(),
    Mutant::new(
        "B16",
        "grants-the-timed-out",
        "a waiter whose time is over, but not worked off yet, is let in",
        &["R1.10"],
        script(&[patch(PROMOTE, "    local late = next_due <= now and call('ZSCORE', DUE, id)\n", "    local late = false\n")]),
    )
    .hard(),
    Mutant::new(
        "B16",
        "never-times-out",
        "the wait timeout that was asked for is not looked at",
        &["R1.10"],
        script(&[patch("lib/gate.lua", CONFIGURED, "tombstones_max, retain = unpack(c)\n  timeout = 0\n")]),
    )
    .hard(),
    Mutant::new(
        "B16",
        "cancels-no-offer",
        "a cancellation that finds the slot just offered leaves it: nobody will claim it",
        &["R1.10"],
        script(&[patch(CANCEL, "else\n  local how = 3\n", "elseif not record or byte(record) ~= O then\n  local how = 3\n")]),
    )
    .hard(),
    Mutant::new(
        "B17",
        "cancel-wakes-nobody",
        "a cancellation that frees a slot lets nobody in",
        &["R1.4"],
        script(&[patch(CANCEL, "if moved then\n  held = held or", "if false then\n  held = held or")]),
    )
    .hard(),
    Mutant::new(
        "B17",
        "growing-wakes-nobody",
        "a greater capacity lets nobody in",
        &["R1.4"],
        script(&[patch(RESIZE, "if moved then\n  held = held or", "if false then\n  held = held or")]),
    )
    .hard(),
    Mutant::new(
        "B18",
        "order-by-the-clock",
        "the line is ordered by milliseconds: ties go by name, and a step of the clock inverts it",
        &["R1.2"],
        script(&[
            patch(
                ACQUIRE,
                "    local key = (ticket - boost + 4294967296) * 4 + class\n",
                "    local key = now * 4 + class\n",
            ),
            patch(
                ACQUIRE,
                "format('%d', (ticket + 4294967297) * 4), id) == 1 then",
                "format('%d', now * 4), id) == 1 then",
            ),
            patch(
                ACQUIRE,
                "nonce, (ticket + 4294967296) * 4, now, now)",
                "nonce, now * 4, now, now)",
            ),
        ]),
    ),
    Mutant::new(
        "B19",
        "first-to-poll",
        "a free slot goes to whoever asks first",
        &["R1.2"],
        script(&[patch(PROMOTE, "    local id = rows[1]\n    if not id then break end",
 "    local id = rows[1]\n    if not id then break end\n    if me and me ~= joiner and byte(read(me) or '') == Q then id = me end")]),
    ),
    Mutant::new(
        "B19",
        "last-come-first-served",
        "the line is served from its end",
        &["R3.3"],
        script(&[patch(PROMOTE, "call('ZRANGEBYSCORE', LINE, '0', '(4e15', 'LIMIT', '0', '2')", "call('ZREVRANGEBYSCORE', LINE, '(4e15', '0', 'LIMIT', '0', '2')")]),
    ),
    Mutant::new(
        "B20",
        "counter-drifts",
        "held is a counter beside the set, and a cancellation while waiting counts down too",
        &["R1.1(s)"],
        script(&[NO_SHORT_CUT, COUNTED, COUNT_UP, COUNT_EXPIRED, COUNT_RELEASED,
 patch(CANCEL, "    count('\\2cancelled', 1)\n", "    count('\\2cancelled', 1)\n    call('HINCRBY', GATE, '\\5', -1)\n")]),
    )
    .hard(),
    Mutant::new(
        "B21",
        "empty-means-new",
        "a gate with nobody inside counts as never used, and is made anew: who waits is forgotten",
        &["R1.5"],
        script(&[patch("lib/gate.lua", "if not known then\n  local c, whole", "if hot and call('ZCOUNT', LINE, '-4e15', '(0') == 0 then call('DEL', LINE, DUE) end\nif not known then\n  local c, whole")]),
    )
    .hard(),
    Mutant::new(
        "B21",
        "forgotten-in-use",
        "a gate that is named after its work is forgotten while somebody is in it",
        &["R1.8"],
        script(&[patch("lib/gate.lua", "  if retain > 0 then retain = math.max(retain, lease, timeout, abandon_after, tombstone) end\n", "")]),
    )
    .hard(),
    Mutant::new(
        "B21",
        "numbers-begin-anew",
        "a gate that was forgotten and is born again counts its fencing numbers from 1",
        &["R1.7"],
        script(&[patch("lib/gate.lua", "high_held, high_queue = now * 1000, 0,", "high_held, high_queue = 0, 0,")]),
    )
    .hard(),
    Mutant::new(
        "B22",
        "shrinking-evicts",
        "a smaller capacity ends the slots that are too many",
        &["R1.11"],
        script(&[patch(RESIZE, "capacity, resized = to, to\n",
 "capacity, resized = to, to\n\
local many = math.max(0, call('ZCOUNT', LINE, '-4e15', '(0') - to)\n\
for _, id in ipairs(call('ZREVRANGEBYSCORE', LINE, '(0', '-4e15', 'LIMIT', 0, many)) do\n  \
local at = now + math.max(tombstone, 1)\n  \
call('ZADD', LINE, format('%d', at - 8e15), id)\n  \
records[id], dirty[#dirty + 1] = pack('<Bdd', E, (unpack_('<d', read(id), 2)), 2), id\n  \
if at < next_ended then next_ended = at end\n\
end\n")]),
    )
    .hard(),
    Mutant::new(
        "B22",
        "shrinking-is-forgotten",
        "slots are granted up to the capacity that clients are configured with, whatever was set since",
        &["R1.11"],
        script(&[patch(PROMOTE, "  while held < capacity do", "  while held < math.max(capacity, c_capacity) do")]),
    )
    .hard(),
    Mutant::new(
        "B22",
        "stores-one-more",
        "a resize stores one slot more than it was asked for",
        &["R1.11"],
        script(&[patch(RESIZE, "capacity, resized = to, to\n", "capacity, resized = to + 1, to + 1\n")]),
    )
    .hard(),
    Mutant::new(
        "B22",
        "resize-forgets-offers",
        "a resize counts the slots that are claimed, and grants those on offer a second time",
        &["R1.1(s)"],
        script(&[patch(RESIZE, "  held = held or call('ZCOUNT', LINE, '-4e15', '(0')\n  local steps = calm and batch or 0", "  held = call('ZCOUNT', LINE, '-4e15', '(0') - offers\n  local steps = calm and batch or 0")]),
    )
    .hard(),
    Mutant::new(
        "B24",
        "one-too-many",
        "`<=` for `<` where waiters are let in",
        &["R1.1(s)"],
        script(&[patch(PROMOTE, "  while held < capacity do", "  while held <= capacity do")]),
    ),
    Mutant::new(
        "B24",
        "one-too-many-at-the-door",
        "`<=` for `<` in the short cut for newcomers",
        &["R3.2"],
        script(&[patch(
            ACQUIRE,
            "    if held < capacity then\n",
            "    if held <= capacity then\n",
        )]),
    ),
    Mutant::new(
        "B26",
        "deadlines-stay",
        "the deadline of a waiter that is gone stays in the store",
        &["R1.15"],
        script(&[patch(PROMOTE, "      if next_due < NEVER then call('ZREM', DUE, id) end\n", "")]),
    ),
    Mutant::new(
        "B26",
        "key-per-client",
        "every id leaves a key of its own, without an end",
        &["R1.15"],
        script(&[patch(ACQUIRE, "    ticket = ticket + 1\n    local key", "    ticket = ticket + 1\n    call('SET', GATE .. ':' .. id, nonce)\n    local key")]),
    ),
    Mutant::new(
        "B26",
        "statistic-per-id",
        "how often each id has joined is counted, and never forgotten",
        &["R1.15"],
        script(&[patch(ACQUIRE, "    ticket = ticket + 1\n    local key", "    ticket = ticket + 1\n    count('\\2joins:' .. id, 1)\n    local key")]),
    ),
    Mutant::new(
        "B26",
        "endless-line",
        "the limit of the line is not looked at",
        &["R1.15"],
        script(&[patch(ACQUIRE, "    many = waiting + absent + 1 > queue_limit + math.max(0, capacity - held)\n", ""),
 patch("lib/gate.lua", "  full = queue_limit\n", "  full = math.huge\n")]),
    ),
    Mutant::new(
        "B27",
        "all-at-once",
        "everything that is due is worked off in one call, however much it is",
        &["R1.16"],
        script(&[patch(EXPIRE, "      local size, first = 2, nil\n", "      local size, first = 1000000, nil\n"),
 patch(EXPIRE, "          if deadline > now or steps == 0 then\n", "          if deadline > now then\n")]),
    )
    .hard(),
    Mutant::new(
        "B41",
        "trusts-the-replica",
        "a replica that took over gives the slots that it does not know to be taken",
        &["R1.1(b)"],
        guarded(&[patch(GUARDED, "if epoch ~= run then\n", "if not epoch then\n")]),
    ),
    Mutant::new(
        "B41",
        "waits-part-of-a-lease",
        "a new epoch gives slots while leases of the old one may still be believed in",
        &["R1.1(b)"],
        guarded(&[patch(GUARDED, "calm_at = now + longest\n", "calm_at = now + math.floor(longest / 8)\n")]),
    ),
    Mutant::new(
        "B41",
        "numbers-again",
        "the replica goes on counting where it is: fencing numbers that were lost are given again",
        &["R1.7"],
        guarded(&[patch(GUARDED, "math.max(struct.unpack('<d', hot), now * 1000)", "(struct.unpack('<d', hot))")]),
    ),
    Mutant::new(
        "B41",
        "takes-over-what-was-left",
        "in a new epoch a newer attempt takes over a slot that the older one had given back",
        &["R1.1(b)"],
        guarded(&[patch(ACQUIRE, "(calm or kind == Q or nonce == known_nonce)", "true")]),
    ),
    Mutant::new(
        "B43",
        "keys-built-inside",
        "whom it wakes is noted under a key that the script makes up: in a cluster that is on another node",
        &["R1.5"],
        script(&[patch(PROMOTE, "      if id ~= me then call('PUBLISH', LINE .. ':wake', id) end",
 "      if id ~= me then\n        call('SET', 'woken:' .. id, '1', 'PX', 1000)\n        call('PUBLISH', LINE .. ':wake', id)\n      end")]),
    )
    .hard(),
];
