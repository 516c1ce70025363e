//! Expiry, presence, promotion in batches: what happens to those who do not act.

use super::*;

#[test]
fn a_lease_ends_at_its_deadline_and_wakes_the_next() {
    let mut gate = Gate::new(Config {
        lease_ms: Some(50),
        ..plain(1)
    });
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    gate.sweep(49);
    assert_eq!(gate.woken(), [""; 0]);
    assert_eq!(gate.0.deadline(), Some((StoreTime(50), Reason::Lease)));
    gate.sweep(50);
    assert_eq!(
        gate.events(),
        [
            Event::Ended {
                id: "a",
                nonce: 1,
                how: Ended::Expired
            },
            Event::Granted {
                id: "b",
                nonce: 1,
                fence: 2,
                wait_ms: 50,
                offer: false
            },
        ]
    );
    assert_eq!(gate.stats().reclaimed, 1);
    assert_eq!(gate.poll(51, "a", 1), Outcome::Ended(Ended::Expired));
    assert_eq!(
        gate.release(51, "a", 1),
        Outcome::Lost,
        "R1.7: late release"
    );
}

/// An open tab that only beats is idle.
#[test]
fn idle_time_runs_out_under_heartbeats() {
    let mut gate = Gate::new(Config {
        lease_ms: Some(50),
        idle_ms: Some(100),
        ..plain(1)
    });
    gate.grant(0, "a", 1);
    gate.renew(40, "a", 1, false);
    gate.renew(80, "a", 1, false);
    assert_eq!(gate.renew(100, "a", 1, true), Outcome::Lost);
    assert_eq!(gate.poll(100, "a", 1), Outcome::Ended(Ended::Expired));
}

#[test]
fn a_waiter_times_out_and_does_not_eat_a_slot() {
    let mut gate = Gate::new(Config {
        wait_timeout_ms: Some(30),
        ..plain(1)
    });
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    gate.acquire(10, "c", 1);
    assert_eq!(
        gate.0.deadline(),
        Some((StoreTime(30), Reason::WaitTimeout))
    );
    gate.release(30, "a", 1);
    assert_eq!(
        gate.events(),
        [
            Event::Ended {
                id: "b",
                nonce: 1,
                how: Ended::TimedOut
            },
            Event::Granted {
                id: "c",
                nonce: 1,
                fence: 2,
                wait_ms: 20,
                offer: false
            },
        ]
    );
    assert_eq!(gate.stats().timed_out, 1);
    assert_eq!(gate.poll(31, "b", 1), Outcome::Ended(Ended::TimedOut));
}

#[test]
fn silence_makes_a_waiter_absent_then_abandoned() {
    let mut gate = Gate::new(Config {
        presence: Some(PRESENCE),
        ..plain(1)
    });
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    gate.acquire(9, "c", 1);
    assert_eq!(gate.0.deadline(), Some((StoreTime(10), Reason::Absent)));
    gate.release(10, "a", 1);
    assert_eq!(gate.woken(), ["c"], "B13: an absent head does not block");
    assert_eq!(gate.0.deadline(), Some((StoreTime(15), Reason::Claim)));
    gate.poll(11, "c", 1);
    assert_eq!(gate.0.deadline(), Some((StoreTime(100), Reason::Abandon)));
    gate.sweep(100);
    assert_eq!(
        gate.events(),
        [Event::Ended {
            id: "b",
            nonce: 1,
            how: Ended::Abandoned
        }]
    );
    assert_eq!(gate.stats().abandoned, 1);
}

#[test]
fn an_absent_waiter_returns_to_its_old_place() {
    let mut gate = Gate::new(Config {
        presence: Some(PRESENCE),
        ..plain(1)
    });
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    gate.acquire(9, "c", 1);
    gate.sweep(12);
    assert_eq!(gate.0.status().absent, 1);
    assert_eq!(position(gate.poll(13, "b", 1)), 1);
    assert_eq!(gate.0.status().absent, 0);
    gate.release(14, "a", 1);
    assert_eq!(gate.woken(), ["b"]);
}

/// B14: a slot offered to a ghost comes back after `claim_within`.
#[test]
fn an_offer_lapses_and_the_next_in_line_gets_it() {
    let mut gate = Gate::new(Config {
        presence: Some(PRESENCE),
        ..plain(1)
    });
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    gate.acquire(1, "c", 1);
    gate.release(1, "a", 1);
    assert_eq!(gate.woken(), ["b"]);
    gate.poll(5, "c", 1);
    gate.sweep(6);
    assert_eq!(gate.woken(), ["c"]);
    let status = gate.0.status();
    assert_eq!(
        (status.stats.lapsed, status.absent, status.offers),
        (1, 1, 1)
    );
    assert_eq!(
        status.stats.processed, 1,
        "an offer is not counted as processed"
    );
    assert_eq!(
        position(gate.poll(7, "b", 1)),
        1,
        "b kept its place in line"
    );
}

#[test]
fn housekeeping_stops_after_a_batch_and_says_so() {
    let mut gate = Gate::new(Config {
        lease_ms: Some(10),
        batch: 2,
        ..plain(5)
    });
    for id in ["a", "b", "c", "d", "e"] {
        gate.grant(0, id, 1);
    }
    assert!(gate.sweep(10), "5 leases, 2 steps");
    assert_eq!(gate.0.status().held, 3);
    // R1.7: c's lease is over although housekeeping has not come to it.
    assert!(gate.sweep(10));
    assert_eq!(gate.0.status().held, 1);
    assert!(!gate.sweep(10));
    let left: Vec<_> = gate.0.held().map(|h| *h.id).collect();
    assert_eq!(left, [""; 0]);
    assert_eq!(gate.stats().reclaimed, 5);
}

#[test]
fn a_left_over_lease_is_neither_renewed_nor_released() {
    let mut gate = Gate::new(Config {
        lease_ms: Some(10),
        batch: 1,
        ..plain(3)
    });
    for id in ["a", "b", "c"] {
        gate.grant(0, id, 1);
    }
    assert_eq!(gate.renew(10, "c", 3, true), Outcome::Lost);
    assert_eq!(gate.release(10, "c", 3), Outcome::Lost);
    assert_eq!(gate.0.status().held, 1);
}

/// R1.3: nobody overtakes while promotion work is left over.
#[test]
fn a_newcomer_queues_behind_left_over_promotions() {
    let mut gate = Gate::new(Config {
        batch: 1,
        ..plain(1)
    });
    gate.grant(0, "x", 1);
    for id in ["a", "b", "c"] {
        gate.acquire(0, id, 1);
    }
    let reply = gate.0.resize(StoreTime(1), 5).unwrap();
    assert!(reply.more);
    assert_eq!(gate.0.deadline(), Some((StoreTime(0), Reason::More)));
    assert_eq!(gate.woken(), ["a"]);
    assert_eq!(position(gate.acquire(1, "n", 1)), 2);
    assert_eq!(gate.woken(), ["b"]);
    assert_eq!(
        gate.try_acquire(1, "m", 1),
        Outcome::Rejected(Rejected::Busy)
    );
    assert_eq!(gate.woken(), ["c"]);
    assert!(!gate.sweep(1));
    assert_eq!(gate.woken(), ["n"]);
}

/// Deadlines of one moment are met in the order of ids.
#[test]
fn equal_deadlines_are_met_in_the_order_of_ids() {
    let mut gate = Gate::new(Config {
        lease_ms: Some(10),
        batch: 1,
        ..plain(3)
    });
    for id in ["c", "a", "b"] {
        gate.grant(0, id, 1);
    }
    for expected in ["a", "b", "c"] {
        gate.sweep(10);
        assert!(matches!(gate.events()[0], Event::Ended { id, .. } if id == expected));
    }
}

/// With the batch used up, the caller itself can be found timed out while it is
/// promoted; it is told so, and no slot is spent on it.
#[test]
fn a_caller_whose_wait_is_over_is_told_in_the_same_call() {
    for tombstone_ms in [0, 1_000] {
        let mut gate = Gate::new(Config {
            wait_timeout_ms: Some(10),
            lease_ms: Some(10),
            batch: 2,
            tombstone_ms,
            ..plain(2)
        });
        gate.grant(0, "a", 1);
        gate.grant(0, "b", 1);
        gate.acquire(0, "c", 1);
        assert_eq!(gate.acquire(10, "c", 1), Outcome::Ended(Ended::TimedOut));
        assert_eq!(gate.stats().timed_out, 1);
        assert_eq!(gate.0.status().held, 0);
    }
}

#[test]
fn events_that_were_not_drained_are_dropped_by_the_next_call() {
    let mut gate = Gate::new(plain(1));
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    gate.release(0, "a", 1);
    gate.sweep(0);
    assert_eq!(gate.events(), []);
}
