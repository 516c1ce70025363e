//! What is told of a history: the smallest part, its picture, or that nobody
//! knows.

use verify::history::drawing::draw;
use verify::history::sample::{self, Shape};
use verify::history::{Budget, History, Model, Verdict, check, queue, slots};

use crate::{Slots, acquire, granted, refuted};

/// Out of 2,000 operations of 12 clients, the few that matter.
#[test]
fn the_smallest_wrong_part_reads_like_this() {
    let shape = Shape {
        clients: 12,
        operations: 2_000,
        capacity: 3,
        fenced: true,
        leased: true,
        unknown: 50,
        refusals: false,
    };
    let mut history = sample::slots(7, shape);
    assert_eq!(
        check(&slots::Slots::new(3), &history, Budget::default()),
        Verdict::Holds
    );
    let Verdict::Violated(conflict) = check(&slots::Slots::new(2), &history, Budget::default())
    else {
        panic!("three held at once somewhere");
    };
    assert!(conflict.is_minimal);
    assert!(refuted(&slots::Slots::new(2), &conflict.window).is_some());
    for part in slots::Slots::new(2).parts(&conflict.window.operations) {
        let mut fewer = conflict.window.clone();
        let mut at = 0;
        fewer.operations.retain(|_| {
            at += 1;
            !part.contains(&(at - 1))
        });
        assert_eq!(
            refuted(&slots::Slots::new(2), &fewer),
            None,
            "{part:?} was not needed"
        );
    }
    let page = format!("{}\n\n{}", conflict.why, draw(&conflict.window));
    assert!(
        page.lines().all(|line| line.chars().count() <= 80),
        "{page}"
    );
    insta::assert_snapshot!("smallest-wrong-part", page);

    // The same, found by the search alone: a resize keeps the fast way out.
    let resize = slots::Op::Resize { capacity: 2 };
    history.operations.truncate(60);
    history.push(("operator", "k"), (0, 1), resize, slots::Reply::Resized);
    let Verdict::Violated(conflict) = check(&slots::Slots::new(3), &history, Budget::default())
    else {
        panic!("three held at once somewhere");
    };
    assert!(
        conflict.is_minimal && conflict.window.operations.len() < 8,
        "{conflict:#?}"
    );
}

/// Wide pictures stay on the page.
#[test]
fn no_picture_is_wider_than_the_page() {
    let shape = Shape {
        clients: 40,
        operations: 300,
        capacity: 9,
        fenced: true,
        leased: true,
        unknown: 200,
        refusals: true,
    };
    for seed in 0..20 {
        let page = draw(&sample::slots(seed, shape));
        assert!(
            page.lines().all(|line| line.chars().count() <= 80),
            "{page}"
        );
        assert!(page.contains("more"), "{page}");
    }
    assert_eq!(draw(&Slots::default()), "\n");
}

#[test]
fn keys_know_nothing_of_each_other() {
    let mut history = Slots::default();
    for key in ["x", "y"] {
        history.push(("a", key), (1, 2), acquire(1), granted(1));
        assert_eq!(
            check(&slots::Slots::lock(), &history, Budget::default()),
            Verdict::Holds
        );
    }
    history.push(("b", "y"), (3, 4), acquire(1), granted(2));
    let Verdict::Violated(conflict) = check(&slots::Slots::lock(), &history, Budget::default())
    else {
        panic!("y was locked twice");
    };
    assert_eq!((&*conflict.key, conflict.window.operations.len()), ("y", 2));
}

#[test]
fn a_search_without_end_is_inconclusive() {
    let mut history = History::default();
    // Every value twice: no fast answer; and a value that nobody has put in.
    for n in 0..24_u64 {
        let op = queue::Op::Enqueue { value: n / 2 };
        history.push((&n.to_string(), "q"), (1, 100), op, queue::Reply::Enqueued);
    }
    let reply = queue::Reply::Dequeued { value: 99 };
    history.push(("z", "q"), (1, 100), queue::Op::Dequeue, reply);
    let budget = Budget {
        configurations: 10_000,
    };
    let verdict = check(&queue::Queue, &history, budget);
    let Verdict::Inconclusive(why) = verdict else {
        panic!("{verdict:?}");
    };
    assert!(why.contains("10000 configurations"), "{why}");
}
