//! The fast checkers and the search say the same of small histories, right and
//! wrong.

use verify::history::sample::{self, Random, Shape};
use verify::history::search::{Found, search};
use verify::history::{Budget, History, Model, queue, slots};

const SMALL: Budget = Budget {
    configurations: 300_000,
};

fn name(client: u32) -> String {
    format!("c{client}")
}

/// What both checkers say: (fast, if it can tell; general, within its budget).
fn both<M: Model>(
    model: &M,
    history: &History<M::Op, M::Reply>,
) -> (Option<Result<(), String>>, Option<bool>) {
    let fast = model.shortcut(&history.operations, &name);
    let general = match search(model, &history.operations, SMALL) {
        Found::Order(order) => {
            assert!(replays(model, history, &order), "the order is none");
            Some(true)
        }
        Found::Nothing => Some(false),
        Found::OutOfBudget => None,
    };
    (fast, general)
}

/// Whether an order that was found respects real time.
fn replays<M: Model>(_: &M, history: &History<M::Op, M::Reply>, order: &[usize]) -> bool {
    let mut latest_start = 0;
    let mut answered = 0;
    for at in order {
        let operation = &history.operations[*at];
        if operation.end() < latest_start {
            return false;
        }
        latest_start = latest_start.max(operation.start);
        answered += usize::from(operation.answer.is_some());
    }
    answered
        == history
            .operations
            .iter()
            .filter(|o| o.answer.is_some())
            .count()
}

#[derive(Default)]
struct Tally {
    right: u32,
    wrong: u32,
    told: u32,
}

impl Tally {
    fn agree<M: Model>(
        &mut self,
        model: &M,
        history: &History<M::Op, M::Reply>,
        seed: u64,
    ) -> Option<bool> {
        let (fast, general) = both(model, history);
        if let (Some(fast), Some(general)) = (&fast, general) {
            assert_eq!(fast.is_ok(), general, "seed {seed}: {fast:?}\n{history:#?}");
            self.told += 1;
        }
        match general {
            Some(true) => self.right += 1,
            Some(false) => self.wrong += 1,
            None => {}
        }
        general
    }

    fn often(&self, what: &str) {
        let Self { right, wrong, told } = self;
        println!("{what}: {right} right, {wrong} wrong, {told} told by the fast checker");
        assert!(
            *right >= 300 && *wrong >= 300,
            "{what}: one verdict is rare"
        );
        assert!(
            *told * 2 >= right + wrong,
            "{what}: the fast checker tells too little"
        );
    }
}

fn shape(random: &mut Random) -> Shape {
    Shape {
        clients: 2 + random.below(4) as u32,
        operations: 4 + random.below(14) as usize,
        capacity: 1 + random.below(3) as usize,
        fenced: random.chance(500),
        leased: random.chance(500),
        unknown: random.below(3) * 80,
        refusals: random.chance(500),
    }
}

const CASES: u64 = 4_000;

#[test]
fn the_checkers_of_slots_agree() {
    let (mut tally, mut lock) = (Tally::default(), Tally::default());
    for seed in 0..CASES {
        let mut random = Random(seed);
        let shape = shape(&mut random);
        let is_lock = shape.capacity == 1 && random.chance(700);
        let (model, tally) = if is_lock {
            (slots::Slots::lock(), &mut lock)
        } else {
            (slots::Slots::new(shape.capacity as u32), &mut tally)
        };
        let mut history = sample::slots(seed, shape);
        assert_ne!(
            tally.agree(&model, &history, seed),
            Some(false),
            "seed {seed}"
        );
        for _ in 0..2 {
            spoil_slots(&mut random, &mut history);
            tally.agree(&model, &history, seed);
        }
    }
    tally.often("slots");
    lock.often("lock");
}

#[test]
fn the_checkers_of_queues_agree() {
    let mut tally = Tally::default();
    for seed in 0..CASES {
        let mut random = Random(seed);
        let mut shape = shape(&mut random);
        shape.refusals = random.chance(300);
        let mut history = sample::queue(seed, shape);
        assert_ne!(
            tally.agree(&queue::Queue, &history, seed),
            Some(false),
            "seed {seed}"
        );
        for _ in 0..2 {
            spoil_queue(&mut random, &mut history);
            tally.agree(&queue::Queue, &history, seed);
        }
    }
    tally.often("queue");
}

/// One change that may make it wrong.
fn spoil_slots(random: &mut Random, history: &mut History<slots::Op, slots::Reply>) {
    use slots::Reply;
    if random.chance(500) {
        return sample::shift(random, history);
    }
    let at = random.below(history.operations.len() as u64) as usize;
    let Some(answer) = &mut history.operations[at].answer else {
        return;
    };
    match &mut answer.reply {
        Reply::Granted {
            fence: Some(fence), ..
        } => *fence = (*fence + random.below(7)).saturating_sub(3),
        Reply::Granted { .. } if random.chance(300) => answer.reply = Reply::Refused,
        Reply::Renewed { lease } | Reply::Granted { lease, .. } => *lease = None,
        Reply::Released => answer.reply = Reply::Lost,
        Reply::Lost => answer.reply = Reply::Released,
        Reply::Refused | Reply::Cancelled | Reply::Resized => {}
    }
}

fn spoil_queue(random: &mut Random, history: &mut History<queue::Op, queue::Reply>) {
    use queue::Reply;
    if random.chance(500) {
        return sample::shift(random, history);
    }
    let at = random.below(history.operations.len() as u64) as usize;
    let Some(answer) = &mut history.operations[at].answer else {
        return;
    };
    match &mut answer.reply {
        Reply::Dequeued { .. } if random.chance(300) => answer.reply = Reply::Empty,
        Reply::Dequeued { value } => *value = (*value + random.below(5)).saturating_sub(2),
        Reply::Enqueued | Reply::Empty => {}
    }
}
