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

const HOUSE: &str = "lib/housekeeping.lua";
const ACQUIRE: &str = "slots/acquire.lua";

/// The long way for everybody.
const NO_SHORT_CUT: Patch = patch(
    ACQUIRE,
    "if hot and not ARGV[4] and known_config == ARGV[1] then",
    "if false then",
);

/// A counter beside the sorted set, in a field of its own.
const COUNTED: Patch = patch(
    HOUSE,
    "  local held = call('ZCOUNT', LINE, '-4e15', '(0')\n  local steps = batch",
    "  local held = tonumber(call('HGET', GATE, '\\4') or 0)\n  local steps = batch",
);
const COUNT_UP: Patch = patch(
    HOUSE,
    "      held = held + 1\n",
    "      held = call('HINCRBY', GATE, '\\4', 1)\n",
);
const COUNT_EXPIRED: Patch = patch(
    HOUSE,
    "  local record = read(id) or 'h' .. pack('<ddddd', 0, 0, 0, 0, 0)\n",
    "  local record = read(id) or 'h' .. pack('<ddddd', 0, 0, 0, 0, 0)\n  call('HINCRBY', GATE, '\\4', -1)\n",
);
const COUNT_RELEASED: Patch = patch(
    "slots/release.lua",
    "  words = 'released'\n",
    "  words = 'released'\n  call('HINCRBY', GATE, '\\4', -1)\n",
);
const COUNT_CANCELLED: Patch = patch(
    "slots/cancel.lua",
    "  count(7, 1)\n",
    "  count(7, 1)\n  if sub(record, 1, 1) ~= 'q' then call('HINCRBY', GATE, '\\4', -1) end\n",
);

/// In the order of classes.
pub(super) const ALL: &[Mutant] = &[
    Mutant::new(
        "B03",
        "newcomers-first",
        "a newcomer takes a free slot though others wait for it",
        &["R1.3"],
        script(&[patch(
            HOUSE,
            "    local id = rows[1]\n    if not id then break end",
            "    local id = rows[1]\n    if not id then break end\n    \
             if joined_now and sub(read(joined_now) or '', 1, 1) == 'q' then id = joined_now end",
        )]),
    )
    .hard(),
    Mutant::new(
        "B06",
        "expiry-promotes-nobody",
        "a lease that ends frees its slot, and nobody is let in for it",
        &["R1.4"],
        script(&[
            patch(
                HOUSE,
                "-- A deadline in zone held was reached.\n",
                "local reclaimed = false\n",
            ),
            patch(HOUSE, "    count(3, 1)\n", "    count(3, 1)\n    reclaimed = true\n"),
            patch(
                HOUSE,
                "  while held < capacity do",
                "  while held < capacity and not reclaimed do",
            ),
        ]),
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
        "B10",
        "release-by-anybody",
        "a release is not held against the fencing number: a late one ends the next holder's slot",
        &["R1.7"],
        script(&[patch(
            "slots/release.lua",
            "    return known == number and math.min(alive, active) > now and record\n",
            "    return math.min(alive, active) > now and record\n",
        )]),
    )
    .hard(),
    Mutant::new(
        "B10",
        "second-release-raises-the-cap",
        "held is a counter, and a release counts down whether it holds or not",
        &["R1.1(s)"],
        script(&[
            NO_SHORT_CUT,
            COUNTED,
            COUNT_UP,
            COUNT_EXPIRED,
            COUNT_CANCELLED,
            patch(
                "slots/release.lua",
                "local words = 'lost'\n",
                "local words = 'lost'\ncall('HINCRBY', GATE, '\\4', -1)\n",
            ),
        ]),
    )
    .hard(),
    Mutant::new(
        "B11",
        "renewal-resurrects",
        "a renewal looks at the number alone: a lease that is over comes back to life",
        &["R1.7"],
        script(&[
            patch(
                "slots/renew.lua",
                "    return known == number and math.min(alive, active) > now and record\n",
                "    return known == number and record\n",
            ),
            patch(
                "slots/renew.lua",
                "expire()\nlocal words = 'lost'\nlocal record = holder('h')\n",
                "local words = 'lost'\nlocal record = holder('h')\n",
            ),
            patch(
                "slots/renew.lua",
                "return answer(words, promote())",
                "expire()\nreturn answer(words, promote())",
            ),
        ]),
    )
    .hard(),
    Mutant::new(
        "B11",
        "renewal-recreates",
        "a renewal writes the slot whether it is there or not, as ZADD without XX does",
        &["R1.1(s)"],
        script(&[patch(
            "slots/renew.lua",
            "local record = holder('h')\n",
            "local record = holder('h') or 'h' .. pack('<ddddd', 0, number, now, now + active_for, 0)\n",
        )]),
    )
    .hard(),
    Mutant::new(
        "B13",
        "dead-waiter-blocks",
        "the line does not move past a waiter that is not heard of",
        &["R1.4"],
        script(&[
            patch(
                HOUSE,
                "  if next_due <= now then\n    -- Steps may put",
                "  if false then\n    -- Steps may put",
            ),
            patch(
                HOUSE,
                "    if late and tonumber(late) <= now then\n      overdue(id)\n",
                "    if late and tonumber(late) <= now then\n      break\n",
            ),
            patch(
                "lib/answer.lua",
                "(left or next_held <= now or next_due <= now)",
                "(left or next_held <= now)",
            ),
        ]),
    )
    .hard(),
    Mutant::new(
        "B14",
        "promotes-ghosts",
        "a slot is offered to a waiter that is absent",
        &["R1.9"],
        script(&[patch(
            HOUSE,
            "local rows = call('ZRANGEBYSCORE', LINE, '0', '(4e15', 'LIMIT', 0, 2)",
            "local rows = call('ZRANGEBYSCORE', LINE, '0', '+inf', 'LIMIT', 0, 2)",
        )]),
    )
    .hard(),
    Mutant::new(
        "B14",
        "offer-for-a-whole-lease",
        "an offer stands for as long as a lease: a ghost burns a slot for all of it",
        &["R1.9"],
        script(&[patch(
            HOUSE,
            "        hold_until(id, now + claim_within)\n",
            "        hold_until(id, math.min(now + alive_for, NEVER))\n",
        )]),
    )
    .hard(),
    Mutant::new(
        "B15",
        "default-wait-timeout",
        "where no wait timeout was asked for, waiters are thrown out after four seconds",
        &["R1.5"],
        script(&[patch(
            "lib/gate.lua",
            "  c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8]",
            "  c[1], c[2], c[3], c[4] > 0 and c[4] or 4000, c[5], c[6], c[7], c[8]",
        )]),
    ),
    Mutant::new(
        "B16",
        "grants-the-timed-out",
        "a waiter whose time is over, but not worked off yet, is let in",
        &["R1.10"],
        script(&[patch(
            HOUSE,
            "    local late = next_due <= now and call('ZSCORE', DUE, id)\n",
            "    local late = false\n",
        )]),
    )
    .hard(),
    Mutant::new(
        "B16",
        "cancels-no-offer",
        "a cancellation that finds the slot just offered leaves it: nobody will claim it",
        &["R1.10"],
        script(&[patch(
            "slots/cancel.lua",
            "else\n  count(7, 1)\n  if sub(record, 1, 1) == 'o' then offers = offers - 1 end\n",
            "elseif sub(record, 1, 1) ~= 'o' then\n  count(7, 1)\n",
        )]),
    )
    .hard(),
    Mutant::new(
        "B17",
        "cancel-wakes-nobody",
        "a cancellation that frees a slot lets nobody in",
        &["R1.4"],
        script(&[patch(
            "slots/cancel.lua",
            "return answer(words, promote())",
            "return answer(words, call('ZCOUNT', LINE, '-4e15', '(0'))",
        )]),
    )
    .hard(),
    Mutant::new(
        "B17",
        "growing-wakes-nobody",
        "a greater capacity lets nobody in",
        &["R1.4"],
        script(&[patch(
            "slots/resize.lua",
            "return answer(string.format('resized %.0f', from), promote())",
            "return answer(string.format('resized %.0f', from), call('ZCOUNT', LINE, '-4e15', '(0'))",
        )]),
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
                "nonce, (ticket + 4294967297) * 4, now, now)",
                "nonce, now * 4, now, now)",
            ),
        ]),
    ),
    Mutant::new(
        "B19",
        "first-to-poll",
        "a free slot goes to whoever asks first",
        &["R1.2"],
        script(&[patch(
            HOUSE,
            "    local id = rows[1]\n    if not id then break end",
            "    local id = rows[1]\n    if not id then break end\n    \
             if me and me ~= joined_now and sub(read(me) or '', 1, 1) == 'q' then id = me end",
        )]),
    ),
    Mutant::new(
        "B19",
        "last-come-first-served",
        "the line is served from its end",
        &["R3.3"],
        script(&[patch(
            HOUSE,
            "local rows = call('ZRANGEBYSCORE', LINE, '0', '(4e15', 'LIMIT', 0, 2)",
            "local rows = call('ZREVRANGEBYSCORE', LINE, '(4e15', '0', 'LIMIT', 0, 2)",
        )]),
    ),
    Mutant::new(
        "B20",
        "counter-drifts",
        "held is a counter beside the set, and a cancellation while waiting counts down too",
        &["R1.1(s)"],
        script(&[
            NO_SHORT_CUT,
            COUNTED,
            COUNT_UP,
            COUNT_EXPIRED,
            COUNT_RELEASED,
            patch(
                "slots/cancel.lua",
                "  count(7, 1)\n",
                "  count(7, 1)\n  call('HINCRBY', GATE, '\\4', -1)\n",
            ),
        ]),
    )
    .hard(),
    Mutant::new(
        "B21",
        "empty-means-new",
        "a gate with nobody inside counts as never used, and is made anew: who waits is forgotten",
        &["R1.5"],
        script(&[patch(
            "lib/gate.lua",
            "local c = {}\n",
            "if hot and call('ZCOUNT', LINE, '-4e15', '(0') == 0 then call('DEL', LINE, DUE) end\nlocal c = {}\n",
        )]),
    )
    .hard(),
    Mutant::new(
        "B22",
        "shrinking-evicts",
        "a smaller capacity ends the slots that are too many",
        &["R1.11"],
        script(&[patch(
            "slots/resize.lua",
            "capacity, resized = to, to\n",
            "capacity, resized = to, to\n\
             local many = math.max(0, call('ZCOUNT', LINE, '-4e15', '(0') - to)\n\
             for _, id in ipairs(call('ZREVRANGEBYSCORE', LINE, '(0', '-4e15', 'LIMIT', 0, many)) do\n  \
             bury(id, (unpack_('<d', read(id), 2)), 2)\n\
             end\n",
        )]),
    )
    .hard(),
    Mutant::new(
        "B22",
        "shrinking-is-forgotten",
        "slots are granted up to the capacity that clients are configured with, whatever was set since",
        &["R1.11"],
        script(&[patch(
            HOUSE,
            "  while held < capacity do",
            "  while held < math.max(capacity, c_capacity) do",
        )]),
    )
    .hard(),
    Mutant::new(
        "B22",
        "resize-forgets-offers",
        "a resize counts the slots that are claimed, and grants those on offer a second time",
        &["R1.1(s)"],
        script(&[patch(
            "slots/resize.lua",
            "  local held = call('ZCOUNT', LINE, '-4e15', '(0')\n  local steps = batch",
            "  local held = call('ZCOUNT', LINE, '-4e15', '(0') - offers\n  local steps = batch",
        )]),
    )
    .hard(),
    Mutant::new(
        "B24",
        "one-too-many",
        "`<=` for `<` where waiters are let in",
        &["R1.1(s)"],
        script(&[patch(
            HOUSE,
            "  while held < capacity do",
            "  while held <= capacity do",
        )]),
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
        script(&[patch(
            "lib/places.lua",
            "  if next_due < NEVER then call('ZREM', DUE, id) end\n",
            "",
        )]),
    ),
    Mutant::new(
        "B26",
        "key-per-client",
        "every id leaves a key of its own, without an end",
        &["R1.15"],
        script(&[patch(
            ACQUIRE,
            "    ticket = ticket + 1\n",
            "    ticket = ticket + 1\n    call('SET', GATE .. ':' .. id, nonce)\n",
        )]),
    ),
    Mutant::new(
        "B26",
        "endless-line",
        "the limit of the line is not looked at",
        &["R1.15"],
        script(&[
            patch(
                ACQUIRE,
                "    many = waiting + absent + 1 > queue_limit + free\n",
                "",
            ),
            patch("lib/gate.lua", "  full = queue_limit\n", "  full = math.huge\n"),
        ]),
    ),
    Mutant::new(
        "B27",
        "all-at-once",
        "everything that is due is worked off in one call, however much it is",
        &["R1.16"],
        script(&[
            patch(HOUSE, "  local size = 2\n", "  local size = 1000000\n"),
            patch(
                HOUSE,
                "      if deadline > now or steps == 0 then return steps, deadline end\n",
                "      if deadline > now then return math.max(0, steps), deadline end\n",
            ),
        ]),
    )
    .hard(),
];
