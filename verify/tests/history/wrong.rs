//! A planted history for each reason of rejection, with the nearest right one.

use verify::history::{History, queue, slots};

use crate::{Slots, acquire, granted, leased, refuted, release, renew, told};

/// One wrong history for each reason, and beside it the nearest right one.
#[test]
fn every_reason_of_rejection_convicts() {
    use slots::Reply::{Cancelled, Lost, Refused, Released};
    let (two, lock) = (slots::Slots::new(2), slots::Slots::lock());
    let renewed = slots::Reply::Renewed { lease: Some(50) };
    let cases: Vec<(&str, slots::Slots, Slots, Slots)> = vec![
        (
            "held all 2",
            two,
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("b", 1, 3, acquire(1), granted(2)),
                ("c", 4, 5, acquire(1), granted(3)),
                ("a", 6, 7, release(1), Released),
            ]),
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("b", 1, 3, acquire(1), granted(2)),
                ("c", 4, 7, acquire(1), granted(3)),
                ("a", 6, 7, release(1), Released),
            ]),
        ),
        (
            "numbers rise",
            two,
            told(&[
                ("a", 1, 2, acquire(1), granted(2)),
                ("b", 3, 4, acquire(1), granted(1)),
            ]),
            told(&[
                ("a", 1, 3, acquire(1), granted(2)),
                ("b", 3, 4, acquire(1), granted(1)),
            ]),
        ),
        (
            "the same fencing number, 7",
            two,
            told(&[
                ("a", 1, 9, acquire(1), granted(7)),
                ("b", 1, 9, acquire(1), granted(7)),
            ]),
            told(&[
                ("a", 1, 9, acquire(1), granted(8)),
                ("b", 1, 9, acquire(1), granted(7)),
            ]),
        ),
        (
            "renewed, which it did not hold",
            two,
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("a", 3, 4, release(1), Released),
                ("a", 5, 6, renew(1), renewed),
            ]),
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("a", 3, 0, release(1), Released),
                ("a", 5, 6, renew(1), renewed),
            ]),
        ),
        (
            "released, which it did not hold",
            two,
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("a", 3, 4, release(1), Released),
                ("a", 5, 6, release(1), Released),
            ]),
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("a", 3, 4, release(1), Released),
                ("a", 5, 6, release(1), Lost),
            ]),
        ),
        (
            "released, which it did not hold",
            two,
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("b", 3, 4, release(1), Released),
            ]),
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("b", 3, 4, release(1), Lost),
            ]),
        ),
        (
            "lost, which nothing",
            two,
            told(&[
                ("a", 10, 20, acquire(1), leased(1, 100)),
                ("a", 50, 60, renew(1), renewed),
                ("a", 80, 99, renew(1), Lost),
            ]),
            told(&[
                ("a", 10, 20, acquire(1), leased(1, 100)),
                ("a", 50, 60, renew(1), renewed),
                ("a", 80, 110, renew(1), Lost),
            ]),
        ),
        (
            // The renewal moved the end of the lease.
            "held all 1",
            lock,
            told(&[
                ("a", 10, 20, acquire(1), leased(1, 60)),
                ("a", 30, 40, renew(1), renewed),
                ("b", 50, 79, acquire(1), granted(2)),
            ]),
            told(&[
                ("a", 10, 20, acquire(1), leased(1, 60)),
                ("a", 30, 40, renew(1), renewed),
                ("b", 50, 80, acquire(1), granted(2)),
            ]),
        ),
        (
            "released, which it did not hold",
            two,
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("a", 3, 4, slots::Op::Cancel { attempt: 1 }, Cancelled),
                ("a", 5, 6, release(1), Released),
            ]),
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("a", 3, 0, slots::Op::Cancel { attempt: 1 }, Cancelled),
                ("a", 5, 6, release(1), Released),
            ]),
        ),
        (
            // A delayed copy ends no later attempt.
            "held all 1",
            lock,
            told(&[
                ("a", 1, 0, slots::Op::Cancel { attempt: 0 }, Cancelled),
                ("a", 2, 3, acquire(1), granted(1)),
                ("b", 4, 5, acquire(1), granted(2)),
            ]),
            told(&[
                ("a", 2, 3, acquire(1), granted(1)),
                ("a", 4, 0, slots::Op::Cancel { attempt: 1 }, Cancelled),
                ("b", 4, 5, acquire(1), granted(2)),
            ]),
        ),
        (
            // Taking over frees no slot for others.
            "held all 1",
            lock,
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("a", 3, 4, acquire(2), granted(2)),
                ("b", 5, 6, acquire(1), granted(3)),
            ]),
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("a", 3, 4, acquire(2), granted(2)),
                ("a", 5, 6, acquire(3), granted(3)),
            ]),
        ),
        (
            "refused though nobody can have held the lock",
            lock,
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("a", 3, 4, release(1), Released),
                ("b", 5, 6, acquire(1), Refused),
            ]),
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                ("a", 3, 5, release(1), Released),
                ("b", 5, 6, acquire(1), Refused),
            ]),
        ),
        (
            "in whatever order",
            lock,
            told(&[
                ("a", 7, 0, acquire(1), granted(1)),
                ("b", 5, 6, acquire(1), Refused),
                (
                    "o",
                    1,
                    2,
                    slots::Op::Resize { capacity: 2 },
                    slots::Reply::Resized,
                ),
            ]),
            told(&[
                ("a", 6, 0, acquire(1), granted(1)),
                ("b", 5, 6, acquire(1), Refused),
                (
                    "o",
                    1,
                    2,
                    slots::Op::Resize { capacity: 2 },
                    slots::Reply::Resized,
                ),
            ]),
        ),
        (
            // Shrunk: two hold, and nobody more comes in.
            "in whatever order",
            two,
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                (
                    "o",
                    3,
                    4,
                    slots::Op::Resize { capacity: 1 },
                    slots::Reply::Resized,
                ),
                ("b", 5, 6, acquire(1), granted(2)),
            ]),
            told(&[
                ("a", 1, 2, acquire(1), granted(1)),
                (
                    "o",
                    3,
                    5,
                    slots::Op::Resize { capacity: 1 },
                    slots::Reply::Resized,
                ),
                ("b", 5, 6, acquire(1), granted(2)),
            ]),
        ),
    ];
    for (words, model, wrong, right) in &cases {
        let conflict = refuted(model, wrong).unwrap_or_else(|| panic!("{words}: {wrong:#?}"));
        assert!(conflict.why.contains(words), "{words}: {}", conflict.why);
        assert!(conflict.is_minimal && conflict.key == "k");
        assert_eq!(refuted(model, right), None, "{words}: {right:#?}");
    }
}

#[test]
fn every_reason_to_reject_a_queue_convicts() {
    use queue::Op::{Dequeue, Enqueue};
    use queue::Reply::{Dequeued, Empty, Enqueued};
    let told = |operations: &[(u64, u64, queue::Op, queue::Reply)]| {
        let mut history = History::default();
        for (at, (start, end, op, reply)) in operations.iter().enumerate() {
            let client = at.to_string();
            if *end == 0 {
                history.begin(&client, "q", *start, *op);
            } else {
                history.push((&client, "q"), (*start, *end), *op, *reply);
            }
        }
        history
    };
    let put = |start, end, value| (start, end, Enqueue { value }, Enqueued);
    let take = |start, end, value| (start, end, Dequeue, Dequeued { value });
    let empty = |start, end| (start, end, Dequeue, Empty);
    let cases = [
        (
            "before anybody",
            vec![take(1, 2, 7), put(3, 4, 7)],
            vec![take(1, 3, 7), put(3, 4, 7)],
        ),
        (
            "twice",
            vec![put(1, 2, 7), take(3, 4, 7), take(3, 4, 7)],
            vec![put(1, 2, 7), take(3, 4, 7), take(3, 0, 7)],
        ),
        (
            "1 was enqueued before 2",
            vec![put(1, 2, 1), put(3, 4, 2), take(5, 6, 2), take(7, 8, 1)],
            vec![put(1, 3, 1), put(3, 4, 2), take(5, 6, 2), take(7, 8, 1)],
        ),
        (
            "1 was enqueued before 2",
            vec![put(1, 2, 1), put(3, 4, 2), take(5, 6, 2), take(7, 0, 1)],
            vec![put(1, 2, 1), put(3, 4, 2), take(5, 6, 2), take(6, 0, 1)],
        ),
        (
            "found the queue empty",
            vec![put(1, 2, 1), put(3, 4, 2), take(5, 6, 1), empty(6, 7)],
            vec![put(1, 2, 1), put(3, 9, 2), take(5, 6, 1), empty(6, 7)],
        ),
        (
            // Which value the unknown one took matters: searched.
            "in whatever order",
            vec![put(1, 2, 1), put(3, 4, 2), take(5, 0, 1), empty(6, 7)],
            vec![
                put(1, 2, 1),
                put(3, 4, 2),
                take(5, 0, 1),
                take(5, 0, 1),
                empty(6, 7),
            ],
        ),
    ];
    for (words, wrong, right) in cases {
        let conflict = refuted(&queue::Queue, &told(&wrong)).expect(words);
        assert!(conflict.why.contains(words), "{words}: {}", conflict.why);
        assert_eq!(refuted(&queue::Queue, &told(&right)), None, "{words}");
    }
}
