//! What an admission costs in `core`, and how that grows with the queue.
//!
//! One iteration is one acquire and one release. With an empty queue the caller
//! is granted at once. With n waiting, the newcomer joins behind n others, the
//! release promotes the first of them, and the event is drained: the queue stays
//! as long as it was.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sluice_core::slots::{Class, Config, Event, Fence, Outcome, Slots};
use sluice_core::time::StoreTime;

const CAPACITY: u32 = 10;

fn unbounded(config: Config) -> Config {
    Config {
        queue_limit: u32::MAX,
        ..config
    }
}

/// A gate that is full, with `waiting` in line; who was granted last.
struct Queue {
    slots: Slots<u64>,
    now: StoreTime,
    next: u64,
    /// Holders, oldest first.
    holders: std::collections::VecDeque<(u64, Fence)>,
}

impl Queue {
    fn new(config: Config, waiting: u64) -> Self {
        let mut queue = Self {
            slots: Slots::new(config, 0).expect("valid"),
            now: StoreTime(0),
            next: 0,
            holders: Default::default(),
        };
        for _ in 0..u64::from(CAPACITY) + waiting {
            queue.join();
        }
        // Once around, so that everything is as large as it gets.
        for _ in 0..=waiting.min(100_000) {
            queue.turn();
        }
        queue
    }

    fn join(&mut self) {
        self.next += 1;
        let reply = self
            .slots
            .acquire(self.now, self.next, 1, Class::ZERO, true);
        if let Outcome::Granted { fence, .. } = reply.outcome {
            self.holders.push_back((self.next, fence));
        }
    }

    fn turn(&mut self) {
        self.join();
        let (id, fence) = self.holders.pop_front().expect("the gate is full");
        self.slots.release(self.now, &id, fence);
        while let Some(event) = self.slots.poll_event() {
            if let Event::Granted { id, fence, .. } = event {
                self.holders.push_back((id, fence));
            }
        }
    }
}

fn empty(c: &mut Criterion) {
    let mut group = c.benchmark_group("core/empty");
    group.bench_function("limiter", |b| {
        let mut slots = Slots::new(Config::limiter(CAPACITY, None), 0).expect("valid");
        let mut id = 0u64;
        b.iter(|| {
            id += 1;
            let now = black_box(StoreTime(1));
            let reply = slots.acquire(now, id, 1, Class::ZERO, true);
            let Outcome::Granted { fence, .. } = reply.outcome else {
                unreachable!("the gate is empty")
            };
            slots.release(now, &id, fence)
        });
    });
    group.bench_function("semaphore", |b| {
        let config = Config::semaphore(CAPACITY, 60_000, 300_000);
        let mut slots = Slots::new(config, 0).expect("valid");
        let (mut id, mut now) = (0u64, 0);
        b.iter(|| {
            id += 1;
            now += 1;
            let now = black_box(StoreTime(now));
            let reply = slots.acquire(now, id, 1, Class::ZERO, true);
            let Outcome::Granted { fence, .. } = reply.outcome else {
                unreachable!("the gate is empty")
            };
            slots.release(now, &id, fence)
        });
    });
    group.bench_function("limiter/string ids", |b| {
        let ids: Vec<String> = (0..1024).map(|n| format!("session:{n:032}")).collect();
        let mut slots = Slots::new(Config::limiter(CAPACITY, None), 0).expect("valid");
        let mut n = 0;
        b.iter(|| {
            n = (n + 1) % ids.len();
            let now = black_box(StoreTime(1));
            let reply = slots.acquire(now, ids[n].as_str(), 1, Class::ZERO, true);
            let Outcome::Granted { fence, .. } = reply.outcome else {
                unreachable!("the gate is empty")
            };
            slots.release(now, &ids[n].as_str(), fence)
        });
    });
    group.finish();
}

fn queued(c: &mut Criterion) {
    let faces = [
        ("limiter", Config::limiter(CAPACITY, None)),
        (
            "limiter with timeout",
            Config::limiter(CAPACITY, Some(300_000)),
        ),
    ];
    for (name, config) in faces {
        let mut group = c.benchmark_group(format!("core/queued/{name}"));
        for waiting in [10, 1_000, 100_000, 1_000_000] {
            group.bench_function(BenchmarkId::from_parameter(waiting), |b| {
                let mut queue = Queue::new(unbounded(config), waiting);
                b.iter(|| queue.turn());
            });
        }
        group.finish();
    }
}

fn position(c: &mut Criterion) {
    let mut group = c.benchmark_group("core/position");
    for waiting in [10, 1_000, 100_000, 1_000_000] {
        group.bench_function(BenchmarkId::from_parameter(waiting), |b| {
            let queue = Queue::new(unbounded(Config::limiter(CAPACITY, None)), waiting);
            let first = queue.next - waiting;
            let mut n = 0;
            b.iter(|| {
                n = (n + 7_919) % waiting;
                queue.slots.position(black_box(&(first + 1 + n)))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, empty, queued, position);
criterion_main!(benches);
