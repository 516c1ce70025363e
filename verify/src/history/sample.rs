//! Right histories at random, and wrong ones made of them: for testing and
//! measuring checkers.
//!
//! A right history begins as a sequence: clients take turns at a correct gate or
//! queue. Then each operation gets an interval around its moment, as wide as its
//! neighbours in the same client allow, and some lose their answers, whether or
//! not they had taken effect.

use super::{Answer, History, Operation, queue, slots};

/// What a history should look like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Clients; about so many operations overlap.
    pub clients: u32,
    /// Operations.
    pub operations: usize,
    /// Slots; 1 and `judges_refusals`: a lock.
    pub capacity: usize,
    /// Grants carry numbers.
    pub fenced: bool,
    /// Grants and renewals carry leases, and some run out.
    pub leased: bool,
    /// Of 1,000 operations, so many have unknown outcomes.
    pub unknown: u64,
    /// Some acquires do not wait.
    pub refusals: bool,
}

/// Numbers from a seed (SplitMix64, Steele et al. 2014).
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number below `n`, which is not 0.
    pub const fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    /// Whether something of this many chances in 1,000 happens.
    pub const fn chance(&mut self, of_1000: u64) -> bool {
        self.below(1_000) < of_1000
    }
}

/// Moments are so far apart: a millisecond.
const APART: u64 = 1_000_000;

/// A history of slots that is linearizable.
#[must_use]
pub fn slots(seed: u64, shape: Shape) -> History<slots::Op, slots::Reply> {
    use slots::{Op, Reply};
    #[derive(Clone, Copy)]
    struct Held {
        attempt: u64,
        until: u64,
    }
    let mut random = Random(seed);
    let clients = shape.clients as usize;
    let mut held: Vec<Option<Held>> = vec![None; clients];
    let mut attempts = vec![0; clients];
    let mut fence = random.below(100);
    let mut turns = Vec::with_capacity(shape.operations);
    let mut moment = APART * u64::from(shape.clients);
    while turns.len() < shape.operations {
        moment += APART;
        let who = random.below(clients as u64) as usize;
        let taken = held.iter().flatten().count();
        let is_unknown = random.chance(shape.unknown);
        let takes_effect = !is_unknown || random.chance(500);
        // A lease that may have run out has, half of the time.
        for place in &mut held {
            if place.is_some_and(|h| h.until <= moment) && random.chance(500) {
                *place = None;
            }
        }
        let lease = shape.leased.then(|| APART * (1 + random.below(40)));
        let until = lease.map_or(u64::MAX, |lease| moment + lease);
        let attempt = attempts[who];
        let choice = random.below(100);
        let (op, reply) = match held[who] {
            Some(own) if choice < 12 => {
                if takes_effect {
                    held[who] = Some(Held {
                        until: own.until.max(until),
                        ..own
                    });
                }
                (
                    Op::Renew {
                        attempt: own.attempt,
                    },
                    Reply::Renewed { lease },
                )
            }
            Some(own) if choice < 88 => {
                if takes_effect {
                    held[who] = None;
                }
                (
                    Op::Release {
                        attempt: own.attempt,
                    },
                    Reply::Released,
                )
            }
            Some(_) if choice < 94 => {
                if takes_effect {
                    held[who] = None;
                }
                (Op::Cancel { attempt }, Reply::Cancelled)
            }
            None if choice < 8 && attempt > 0 => (Op::Release { attempt }, Reply::Lost),
            // Somebody whose slot is gone without its knowing.
            place if place.is_some() || taken < shape.capacity => {
                attempts[who] += 1;
                let attempt = attempts[who];
                if takes_effect {
                    held[who] = (!is_unknown).then_some(Held { attempt, until });
                    fence += 1 + u64::from(random.chance(100));
                }
                let fence = shape.fenced.then_some(fence);
                (Op::Acquire { attempt }, Reply::Granted { fence, lease })
            }
            _ if shape.refusals && choice < 40 => {
                attempts[who] += 1;
                let attempt = attempts[who];
                (Op::Acquire { attempt }, Reply::Refused)
            }
            _ => continue,
        };
        turns.push((who as u32, moment, op, (!is_unknown).then_some(reply)));
    }
    spread(&mut random, turns, shape.clients)
}

/// A history of a queue that is linearizable. Of `shape`, slots, fences, leases
/// mean nothing; `refusals`: some find the queue empty.
#[must_use]
pub fn queue(seed: u64, shape: Shape) -> History<queue::Op, queue::Reply> {
    use queue::{Op, Reply};
    let mut random = Random(seed);
    let mut values = std::collections::VecDeque::new();
    let mut next = 0;
    let mut turns = Vec::with_capacity(shape.operations);
    let mut moment = APART * u64::from(shape.clients);
    while turns.len() < shape.operations {
        moment += APART;
        let who = random.below(u64::from(shape.clients)) as u32;
        let is_unknown = random.chance(shape.unknown);
        let takes_effect = !is_unknown || random.chance(500);
        let (op, reply) = if random.chance(500) {
            next += 1;
            if takes_effect {
                values.push_back(next);
            }
            (Op::Enqueue { value: next }, Reply::Enqueued)
        } else {
            let taken = if takes_effect {
                values.pop_front()
            } else {
                None
            };
            match taken {
                Some(value) => (Op::Dequeue, Reply::Dequeued { value }),
                None if shape.refusals || is_unknown => (Op::Dequeue, Reply::Empty),
                None => continue,
            }
        };
        turns.push((who, moment, op, (!is_unknown).then_some(reply)));
    }
    spread(&mut random, turns, shape.clients)
}

/// From moments to intervals around them.
fn spread<O: Copy, R: Copy>(
    random: &mut Random,
    turns: Vec<(u32, u64, O, Option<R>)>,
    clients: u32,
) -> History<O, R> {
    let mut history = History::default();
    for client in 0..clients {
        history.clients.number(&format!("c{client}"));
    }
    let key = history.keys.number("k");
    let most = 2 * APART * u64::from(clients);
    // The moment of each client's next operation, from the end backwards.
    let mut next = vec![u64::MAX; clients as usize];
    let mut limits: Vec<u64> = Vec::with_capacity(turns.len());
    for (who, moment, ..) in turns.iter().rev() {
        limits.push(next[*who as usize].min(moment + most));
        next[*who as usize] = *moment;
    }
    limits.reverse();
    let mut free = vec![0; clients as usize];
    for ((who, moment, op, reply), limit) in turns.into_iter().zip(limits) {
        let room = moment - u64::max(free[who as usize], moment.saturating_sub(most));
        let start = moment - random.below(room.max(1));
        let end = moment + random.below((limit - moment).max(1));
        // An unknown outcome is known to be that: the client goes on.
        free[who as usize] = if reply.is_some() { end + 1 } else { moment + 1 };
        history.operations.push(Operation {
            client: who,
            key,
            start,
            op,
            answer: reply.map(|reply| Answer { end, reply }),
        });
    }
    history
}

/// Makes an interval of some operation shorter or shifts it, so that its moment
/// may be outside. Often the history stays linearizable.
pub fn shift<O, R>(random: &mut Random, history: &mut History<O, R>) {
    let at = random.below(history.operations.len() as u64) as usize;
    let operation = &mut history.operations[at];
    let Some(answer) = &mut operation.answer else {
        return;
    };
    let by = APART * random.below(60);
    if random.chance(500) {
        operation.start += by;
        answer.end = answer.end.max(operation.start);
        answer.end += by * random.below(2);
    } else {
        answer.end = answer.end.saturating_sub(by);
        operation.start = operation.start.min(answer.end);
    }
}
