//! Each operation in each state it can meet.

use super::*;

fn granted(fence: Fence, ttl_ms: Option<u64>, wait_ms: u64) -> Outcome {
    Outcome::Granted {
        fence,
        ttl_ms,
        wait_ms,
    }
}

#[test]
fn grants_up_to_capacity_then_queues_in_order() {
    let mut gate = Gate::new(plain(2));
    assert_eq!(gate.acquire(0, "a", 1), granted(1, None, 0));
    assert_eq!(gate.acquire(0, "b", 1), granted(2, None, 0));
    assert_eq!(position(gate.acquire(1, "c", 1)), 1);
    assert_eq!(position(gate.acquire(2, "d", 1)), 2);
    assert_eq!(gate.release(7, "a", 1), Outcome::Released);
    assert_eq!(
        gate.events(),
        [Event::Granted {
            id: "c",
            nonce: 1,
            fence: 3,
            wait_ms: 6,
            offer: false
        }]
    );
    assert_eq!(position(gate.poll(8, "d", 1)), 1);
    assert_eq!(
        gate.poll(9, "c", 1),
        granted(3, None, 6),
        "the recorded wait is repeated"
    );
}

#[test]
fn fencing_begins_after_the_first_number() {
    let mut slots = Slots::new(plain(1), 1_700_000_000_000).unwrap();
    let reply = slots.acquire(StoreTime(0), 1u64, 1, Class::ZERO, true);
    assert_eq!(reply.outcome, granted(1_700_000_000_001, None, 0));
    assert!(!reply.more);
    assert_eq!(
        Slots::<u64>::new(plain(1), u64::MAX).unwrap_err(),
        ConfigError::FirstFence
    );
}

#[test]
fn a_repeated_join_finds_its_place() {
    let mut gate = Gate::new(plain(1));
    gate.grant(0, "a", 1);
    assert_eq!(gate.acquire(5, "a", 1), granted(1, None, 0));
    gate.acquire(5, "b", 1);
    gate.acquire(5, "c", 1);
    assert_eq!(position(gate.acquire(6, "b", 1)), 1);
    let status = gate.0.status();
    assert_eq!(
        (status.held, status.waiting, status.stats.processed),
        (1, 2, 1)
    );
}

#[test]
fn a_smaller_nonce_is_stale_in_every_zone() {
    let mut gate = Gate::new(plain(1));
    let stale = Outcome::Stale { nonce: 5 };
    gate.grant(0, "a", 5);
    gate.acquire(0, "b", 5);
    assert_eq!(gate.acquire(0, "a", 4), stale);
    assert_eq!(gate.acquire(0, "b", 4), stale);
    gate.release(0, "a", 1);
    assert_eq!(gate.acquire(0, "a", 4), stale);
    assert_eq!(
        gate.acquire(0, "a", 5),
        stale,
        "the attempt itself has ended"
    );
    assert_eq!(gate.poll(0, "b", 4), stale);
    assert_eq!(gate.poll(0, "b", 6), stale);
    assert_eq!(gate.cancel(0, "b", 4), stale);
}

/// B2A: the delayed copy of a join of one who left is not let in.
#[test]
fn a_delayed_copy_after_the_end_is_stale_until_the_tombstone_goes() {
    let mut gate = Gate::new(plain(1));
    gate.grant(0, "a", 1);
    gate.release(10, "a", 1);
    assert_eq!(gate.acquire(1_009, "a", 1), Outcome::Stale { nonce: 1 });
    assert_eq!(
        gate.acquire(1_010, "a", 1),
        granted(2, None, 0),
        "forgotten by now"
    );
}

#[test]
fn a_newer_attempt_takes_a_held_place_over() {
    let mut gate = Gate::new(Config {
        lease_ms: Some(50),
        ..plain(1)
    });
    gate.grant(0, "a", 1);
    assert_eq!(gate.acquire(30, "a", 2), granted(2, Some(50), 0));
    assert_eq!(
        gate.release(31, "a", 1),
        Outcome::Lost,
        "R1.7: the old fence is over"
    );
    assert_eq!(gate.renew(31, "a", 1, true), Outcome::Lost);
    assert_eq!(gate.stats().processed, 1, "not counted again");
    assert_eq!(gate.release(79, "a", 2), Outcome::Released);
}

#[test]
fn a_newer_attempt_takes_a_waiting_place_over() {
    let mut gate = Gate::new(plain(1));
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    gate.acquire(0, "c", 1);
    assert_eq!(position(gate.acquire(1, "b", 2)), 1);
    assert_eq!(gate.poll(1, "b", 1), Outcome::Stale { nonce: 2 });
    assert_eq!(gate.cancel(1, "b", 1), Outcome::Stale { nonce: 2 });
}

#[test]
fn a_newer_attempt_takes_an_offer_over_and_claims_it() {
    let mut gate = Gate::new(Config {
        presence: Some(PRESENCE),
        ..plain(1)
    });
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    gate.release(1, "a", 1);
    assert_eq!(
        gate.acquire(2, "b", 2),
        granted(3, None, 2),
        "2 was the offer's"
    );
    assert_eq!(gate.stats().processed, 2);
}

/// A delayed copy must not claim what was offered to the newer attempt.
#[test]
fn a_stale_join_claims_nothing() {
    let mut gate = Gate::new(Config {
        presence: Some(PRESENCE),
        ..plain(1)
    });
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 2);
    gate.release(1, "a", 1);
    assert_eq!(gate.acquire(2, "b", 1), Outcome::Stale { nonce: 2 });
    assert_eq!(gate.0.status().offers, 1);
    gate.0.resize(StoreTime(2), 2).unwrap();
    gate.acquire(2, "c", 1);
    gate.acquire(2, "d", 2);
    gate.0.resize(StoreTime(2), 3).unwrap();
    assert_eq!(gate.woken(), ["d"]);
}

#[test]
fn after_an_end_a_newer_attempt_joins_anew() {
    let mut gate = Gate::new(plain(1));
    gate.grant(0, "a", 1);
    gate.release(0, "a", 1);
    assert_eq!(gate.0.status().remembered, 1);
    assert_eq!(gate.acquire(1, "a", 2), granted(2, None, 0));
    assert_eq!(gate.0.status().remembered, 0);
}

#[test]
fn the_queue_has_a_limit_that_free_slots_raise() {
    let mut gate = Gate::new(Config {
        queue_limit: 1,
        ..plain(1)
    });
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    assert_eq!(gate.acquire(0, "c", 1), Outcome::Rejected(Rejected::Full));
    assert_eq!(gate.stats().rejected, 1);
    assert_eq!(gate.poll(0, "c", 1), Outcome::Unknown);
    assert_eq!(
        position(gate.acquire(0, "b", 1)),
        1,
        "a retry is no newcomer"
    );

    let mut none = Gate::new(Config {
        queue_limit: 0,
        ..plain(1)
    });
    none.grant(0, "a", 1);
    assert_eq!(none.acquire(0, "b", 1), Outcome::Rejected(Rejected::Full));
}

#[test]
fn absent_waiters_count_towards_the_limit_if_asked() {
    for (count_absent, full) in [(true, true), (false, false)] {
        let mut gate = Gate::new(Config {
            queue_limit: 1,
            count_absent,
            presence: Some(PRESENCE),
            ..plain(1)
        });
        gate.grant(0, "a", 1);
        gate.acquire(0, "b", 1);
        let outcome = gate.acquire(10, "c", 1);
        assert_eq!(
            outcome == Outcome::Rejected(Rejected::Full),
            full,
            "{outcome:?}"
        );
    }
}

#[test]
fn who_does_not_want_to_wait_is_busy_and_leaves_no_trace() {
    let mut gate = Gate::new(Config {
        queue_limit: 0,
        ..plain(1)
    });
    assert_eq!(gate.try_acquire(0, "a", 1), granted(1, None, 0));
    assert_eq!(
        gate.try_acquire(0, "b", 1),
        Outcome::Rejected(Rejected::Busy)
    );
    assert_eq!(gate.poll(0, "b", 1), Outcome::Unknown);
    let status = gate.0.status();
    assert_eq!(
        (status.waiting, status.remembered, status.stats.rejected),
        (0, 0, 1)
    );
    assert_eq!(status.stats.in_line_max, 0);
}

#[test]
fn a_rejected_join_puts_the_tombstone_back() {
    let mut gate = Gate::new(Config {
        queue_limit: 0,
        ..plain(1)
    });
    gate.grant(0, "x", 1);
    gate.cancel(3, "a", 1);
    let before: Vec<_> = gate
        .0
        .ended()
        .map(|(&id, nonce, how, at)| (id, nonce, how, at))
        .collect();
    assert_eq!(before, [("a", 1, Ended::Cancelled, StoreTime(1_003))]);
    assert_eq!(gate.acquire(5, "a", 2), Outcome::Rejected(Rejected::Full));
    assert_eq!(
        gate.try_acquire(6, "a", 2),
        Outcome::Rejected(Rejected::Busy)
    );
    let after: Vec<_> = gate
        .0
        .ended()
        .map(|(&id, nonce, how, at)| (id, nonce, how, at))
        .collect();
    assert_eq!(before, after);
    assert_eq!(gate.acquire(7, "a", 1), Outcome::Stale { nonce: 1 });
}

#[test]
fn poll_answers_by_zone() {
    let mut gate = Gate::new(plain(1));
    assert_eq!(gate.poll(0, "a", 1), Outcome::Unknown);
    gate.grant(0, "a", 1);
    assert_eq!(gate.poll(0, "a", 1), granted(1, None, 0));
    gate.acquire(0, "b", 1);
    assert_eq!(position(gate.poll(0, "b", 1)), 1);
    gate.cancel(0, "b", 1);
    assert_eq!(gate.poll(0, "b", 1), Outcome::Ended(Ended::Cancelled));
    gate.release(0, "a", 1);
    assert_eq!(gate.poll(0, "a", 1), Outcome::Ended(Ended::Released));
}

#[test]
fn only_the_holder_of_the_current_fence_releases() {
    let mut gate = Gate::new(plain(1));
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    for (id, fence) in [("a", 2), ("b", 1), ("b", 0), ("c", 1)] {
        assert_eq!(gate.release(0, id, fence), Outcome::Lost);
    }
    assert_eq!(gate.release(0, "a", 1), Outcome::Released);
    assert_eq!(
        gate.release(0, "a", 1),
        Outcome::Lost,
        "B10: a second release"
    );
    assert_eq!(gate.0.status().held, 1);
    assert_eq!(gate.stats().released, 1);
}

#[test]
fn renewal_moves_the_alive_deadline_and_touch_the_active_one() {
    let mut gate = Gate::new(Config {
        lease_ms: Some(50),
        idle_ms: Some(120),
        ..plain(1)
    });
    assert_eq!(gate.acquire(0, "a", 1), granted(1, Some(50), 0));
    assert_eq!(
        gate.renew(40, "a", 1, false),
        Outcome::Renewed { ttl_ms: Some(50) }
    );
    assert_eq!(
        gate.renew(80, "a", 1, false),
        Outcome::Renewed { ttl_ms: Some(40) }
    );
    assert_eq!(gate.0.deadline(), Some((StoreTime(120), Reason::Idle)));
    assert_eq!(
        gate.renew(110, "a", 1, true),
        Outcome::Renewed { ttl_ms: Some(50) }
    );
    assert_eq!(gate.renew(111, "a", 2, true), Outcome::Lost);
    assert_eq!(gate.renew(111, "z", 1, true), Outcome::Lost);
    assert_eq!(gate.0.deadline(), Some((StoreTime(160), Reason::Lease)));
    assert_eq!(
        gate.renew(160, "a", 1, true),
        Outcome::Lost,
        "B11: no resurrection"
    );
}

#[test]
fn an_offer_is_not_renewed_but_can_be_given_back() {
    let mut gate = Gate::new(Config {
        presence: Some(PRESENCE),
        ..plain(1)
    });
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    gate.release(0, "a", 1);
    assert_eq!(gate.renew(1, "b", 2, true), Outcome::Lost);
    assert_eq!(gate.release(1, "b", 2), Outcome::Released);
    assert_eq!(gate.0.status().held, 0);
}

#[test]
fn cancel_ends_every_kind_of_place_and_wakes_the_next() {
    let mut gate = Gate::new(plain(1));
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    gate.acquire(0, "c", 1);
    assert_eq!(
        gate.cancel(0, "b", 3),
        Outcome::Cancelled,
        "a newer nonce covers the older"
    );
    assert_eq!(gate.acquire(0, "b", 2), Outcome::Stale { nonce: 3 });
    assert_eq!(gate.cancel(0, "a", 1), Outcome::Cancelled);
    assert_eq!(gate.woken(), ["c"], "R1.10: b does not eat the slot");
    assert_eq!(
        gate.cancel(0, "a", 2),
        Outcome::Cancelled,
        "again, with a newer nonce"
    );
    assert_eq!(gate.poll(0, "a", 2), Outcome::Ended(Ended::Cancelled));
    assert_eq!(gate.stats().cancelled, 2, "only live places are counted");
}

#[test]
fn cancel_before_the_join_arrives_turns_it_away() {
    let mut gate = Gate::new(plain(1));
    assert_eq!(gate.cancel(0, "a", 1), Outcome::Cancelled);
    assert_eq!(gate.acquire(0, "a", 1), Outcome::Stale { nonce: 1 });
    assert_eq!(gate.stats().cancelled, 0);
}

#[test]
fn without_tombstones_nothing_is_left_behind() {
    let mut gate = Gate::new(Config::limiter(1, None));
    gate.grant(0, "a", 1);
    gate.release(0, "a", 1);
    gate.cancel(0, "a", 1);
    gate.grant(0, "a", 1);
    gate.cancel(0, "a", 1);
    assert_eq!(gate.poll(0, "a", 1), Outcome::Unknown);
    assert_eq!(gate.0.places.len(), 0);
}

#[test]
fn the_oldest_tombstones_make_room() {
    let mut gate = Gate::new(Config {
        tombstones_max: 2,
        ..plain(1)
    });
    for (now, id) in [(0, "a"), (1, "b"), (2, "c")] {
        gate.cancel(now, id, 1);
    }
    let left: Vec<_> = gate.0.ended().map(|(&id, ..)| id).collect();
    assert_eq!(left, ["b", "c"]);
}

#[test]
fn resizing_evicts_nobody_and_growing_promotes() {
    let mut gate = Gate::new(plain(2));
    let a = gate.grant(0, "a", 1);
    let b = gate.grant(0, "b", 1);
    gate.acquire(0, "c", 1);
    gate.acquire(0, "d", 1);
    assert_eq!(gate.resize(1, 1), Outcome::Resized { from: 2 });
    assert_eq!(gate.0.status().held, 2);
    gate.release(2, "a", a);
    assert_eq!(gate.woken(), [""; 0], "still at the new cap");
    gate.release(2, "b", b);
    assert_eq!(gate.woken(), ["c"]);
    assert_eq!(gate.resize(3, 3), Outcome::Resized { from: 1 });
    assert_eq!(gate.woken(), ["d"]);
    assert_eq!(gate.0.resize(StoreTime(3), 0), Err(ConfigError::Capacity));
    assert_eq!(gate.0.config().capacity, 3);
}

#[test]
fn a_class_moves_ahead_by_its_boost_and_no_further() {
    let mut gate = Gate::new(Config {
        boosts: [0, 2, 0, 0],
        ..plain(1)
    });
    gate.grant(0, "x", 1);
    for id in ["a", "b", "c"] {
        gate.acquire(0, id, 1);
    }
    let vip = Class::new(1).unwrap();
    // Ticket 5 − 2 = 3, level with b (tickets 2, 3, 4): behind b, its class
    // number breaking the tie, and ahead of c.
    let reply = gate.0.acquire(StoreTime(0), "vip", 1, vip, true);
    assert_eq!(position(reply.outcome), 3);
    let order: Vec<_> = gate.0.waiting().map(|w| *w.id).collect();
    assert_eq!(order, ["a", "b", "vip", "c"]);
    gate.0.check();
}

#[test]
fn status_and_iterators_tell_the_whole_state() {
    let mut gate = Gate::new(Config {
        presence: Some(PRESENCE),
        lease_ms: Some(50),
        ..plain(2)
    });
    gate.grant(0, "b", 1);
    gate.grant(0, "a", 1);
    gate.acquire(0, "c", 1);
    gate.acquire(4, "d", 1);
    gate.sweep(10);
    let status = gate.0.status();
    assert_eq!(
        (status.held, status.offers, status.waiting, status.absent),
        (2, 0, 1, 1)
    );
    assert_eq!((status.stats.held_max, status.stats.in_line_max), (2, 2));
    let held: Vec<_> = gate
        .0
        .held()
        .map(|h| (*h.id, h.fence, h.deadline))
        .collect();
    assert_eq!(
        held,
        [("a", 2, Some(StoreTime(50))), ("b", 1, Some(StoreTime(50)))]
    );
    assert_eq!(gate.0.waiting().map(|w| *w.id).collect::<Vec<_>>(), ["d"]);
    assert_eq!(gate.0.absent().map(|w| *w.id).collect::<Vec<_>>(), ["c"]);
    assert_eq!(gate.0.position(&"c"), Some(1));
    assert_eq!(gate.0.position(&"d"), Some(2), "absent places count");
    assert_eq!((gate.0.position(&"a"), gate.0.position(&"z")), (None, None));
}

/// The flow counts gaps between promotions while the queue was never empty.
#[test]
fn the_flow_counts_gaps_only_while_someone_waits() {
    let mut gate = Gate::new(plain(1));
    let mut fence = gate.grant(0, "a", 1);
    for id in ["b", "c", "d"] {
        gate.acquire(0, id, 1);
    }
    assert_eq!(gate.0.status().flow.gaps, 0);
    for (now, id) in [(10, "a"), (30, "b"), (40, "c")] {
        gate.release(now, id, fence);
        fence += 1;
    }
    let flow = gate.0.status().flow;
    assert_eq!((flow.gaps, flow.gap_mean_ms), (2, 15.0), "gaps 20 and 10");
    gate.acquire(41, "e", 1);
    gate.release(90, "d", fence);
    assert_eq!(gate.0.status().flow.gaps, 2, "the queue had been empty");
    gate.resize(90, 2);
    assert_eq!(gate.0.status().flow.gap_mean_ms, 7.5);
}

/// Both ways in which an empty queue ends a measurement: the promotion that
/// empties it (an absent waiter may return without joining), and the join that
/// finds it empty (the last one may have left without being promoted).
#[test]
fn a_gap_over_an_empty_queue_is_no_gap() {
    let mut gate = Gate::new(Config {
        presence: Some(PRESENCE),
        ..plain(1)
    });
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    gate.acquire(9, "c", 1);
    gate.release(10, "a", 1);
    assert_eq!(
        gate.woken(),
        ["c"],
        "b is absent, and nobody is waiting now"
    );
    gate.poll(11, "c", 1);
    gate.poll(12, "b", 1);
    gate.release(13, "c", 2);
    assert_eq!(gate.woken(), ["b"]);
    assert_eq!(gate.0.status().flow.gaps, 0);

    let mut gate = Gate::new(plain(1));
    gate.grant(0, "a", 1);
    gate.acquire(0, "b", 1);
    gate.acquire(0, "c", 1);
    gate.release(1, "a", 1);
    gate.cancel(2, "c", 1);
    gate.acquire(3, "d", 1);
    gate.release(4, "b", 2);
    assert_eq!(gate.woken(), ["d"]);
    assert_eq!(gate.0.status().flow.gaps, 0);
}
