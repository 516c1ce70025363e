//! The real scripts, and a client, a configuration or a server that is wrong.

use super::Mutant;
use crate::subject::Kind;
use crate::subject::quirk::Quirk;
use crate::subject::variant::{Patch, Variant};

const fn client(quirk: Quirk) -> Kind {
    Kind::Slots(Variant::NONE.with(quirk))
}

/// In the order of classes.
pub(super) const ALL: &[Mutant] = &[
    Mutant::new(
        "B05",
        "new-name-each-time",
        "a join that got no answer is repeated under a new name: two slots or two places",
        &["R1.6"],
        client(Quirk::NewNameEachTime),
    )
    .hard(),
    Mutant::new(
        "B07",
        "no-lease",
        "slots have no lease: a holder that dies keeps its slot for ever",
        &["R1.8"],
        Kind::Slots(Variant::NONE.configured(&[(1, 0), (2, 0)])),
    )
    .hard(),
    Mutant::new(
        "B08",
        "time-of-the-client",
        "leases are judged by the time that the calling client sends along",
        &["R1.8"],
        Kind::Slots(
            Variant::patched(&[Patch {
                file: "lib/now.lua",
                from: "now = now - now % 1\n",
                to: "now = tonumber(ARGV[6]) or now - now % 1\n",
            }])
            .with(Quirk::SendsItsTime),
        ),
    )
    .hard(),
    Mutant::new(
        "B09",
        "never-stops",
        "a holder that was late to renew goes on as if it still held",
        &["R1.1(b)"],
        client(Quirk::NeverStops),
    ),
    Mutant::new(
        "B12",
        "long-token",
        "what the client is told of its lease is twice the lease",
        &["R1.8"],
        client(Quirk::LongToken),
    )
    .hard(),
    Mutant::new(
        "B12",
        "counts-from-the-answer",
        "the client counts its lease from the answer, not from when it asked, and without a margin",
        &["R1.8"],
        client(Quirk::CountsFromTheAnswer),
    )
    .hard(),
    Mutant::new(
        "B25",
        "walks-away",
        "who gives up while joining or waiting drops its client; the place stays behind",
        &["R1.10"],
        client(Quirk::WalksAway),
    )
    .hard(),
    Mutant::new(
        "B28",
        "lease-in-a-second-step",
        "a slot is taken without a lease, which a second command sets: who dies in between keeps it for ever",
        &["R1.8"],
        client(Quirk::LeaseInASecondStep),
    )
    .hard(),
    Mutant::new(
        "B29",
        "shows-no-fence",
        "a holder shows no fencing number to what the gate guards",
        &["R1.1(e)"],
        client(Quirk::ShowsNoFence),
    )
    .hard(),
    Mutant::new(
        "B2A",
        "no-tombstones",
        "endings are not remembered: a delayed copy of a join gets a place for somebody who has left",
        &["R1.6"],
        Kind::Slots(Variant::NONE.configured(&[(13, 0)])),
    )
    .hard(),
    Mutant::new(
        "B40",
        "noscript-means-no",
        "NOSCRIPT after a flush or a restart counts as a denial",
        &["R1.5"],
        client(Quirk::NoScriptMeansDenied),
    ),
    Mutant::new(
        "B41",
        "without-min-replicas",
        "the server that a replica has replaced goes on granting and renewing: nothing told it to stop",
        &["R1.1(b)"],
        Kind::Slots(Variant {
            splits: true,
            ..Variant::GUARDED
        }),
    ),
    Mutant::new(
        "B42",
        "on-a-server-that-evicts",
        "the server's policy is `allkeys-lru`: when memory is short it throws away who is inside",
        &["R1.1(b)"],
        Kind::Slots(Variant {
            evicts: true,
            ..Variant::NONE
        }),
    )
    .hard(),
    Mutant::new(
        "B44",
        "lost-means-no",
        "a request that was cut off counts as denied",
        &["R1.5"],
        client(Quirk::LostMeansDenied),
    )
    .hard(),
    Mutant::new(
        "B45",
        "error-means-no",
        "READONLY, LOADING, BUSY, OOM and the like count as denials",
        &["R1.5"],
        client(Quirk::ErrorMeansDenied),
    )
    .hard(),
    Mutant::new(
        "B46",
        "waits-elsewhere",
        "a grant is believed once WAIT says that a replica has it, but WAIT is said on another connection",
        &["R1.1(b)"],
        client(Quirk::WaitsElsewhere),
    ),
];
