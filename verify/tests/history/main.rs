//! Histories: recorded, judged, and shown.

mod agree;
mod recorded;
mod shown;
mod simulated;
mod wrong;

use verify::history::search::{Found, search};
use verify::history::{Budget, Conflict, History, Model, Verdict, check, slots};

type Slots = History<slots::Op, slots::Reply>;
type Refuted<O, R> = Box<Conflict<O, R>>;
const fn acquire(attempt: u64) -> slots::Op {
    slots::Op::Acquire { attempt }
}

const fn release(attempt: u64) -> slots::Op {
    slots::Op::Release { attempt }
}

const fn renew(attempt: u64) -> slots::Op {
    slots::Op::Renew { attempt }
}

const fn granted(fence: u64) -> slots::Reply {
    slots::Reply::Granted {
        fence: Some(fence),
        lease: None,
    }
}

const fn leased(fence: u64, lease: u64) -> slots::Reply {
    slots::Reply::Granted {
        fence: Some(fence),
        lease: Some(lease),
    }
}

/// `(client, start, end, op, reply)`; an end of 0: no answer.
fn told(operations: &[(&str, u64, u64, slots::Op, slots::Reply)]) -> Slots {
    let mut history = Slots::default();
    for (client, start, end, op, reply) in operations {
        if *end == 0 {
            history.begin(client, "k", *start, *op);
        } else {
            history.push((client, "k"), (*start, *end), *op, *reply);
        }
    }
    history
}

/// Judged as a whole, and by the search alone, which must agree.
fn refuted<M: Model>(
    model: &M,
    history: &History<M::Op, M::Reply>,
) -> Option<Refuted<M::Op, M::Reply>> {
    let by_search = search(model, &history.operations, Budget::default());
    match check(model, history, Budget::default()) {
        Verdict::Violated(conflict) => {
            assert_eq!(by_search, Found::Nothing);
            Some(conflict)
        }
        Verdict::Holds => {
            assert!(matches!(by_search, Found::Order(_)));
            None
        }
        Verdict::Inconclusive(why) => panic!("{why}"),
    }
}
