//! What it costs to judge histories of concurrent operations: long ones by the
//! checkers that take O(n log n), shorter ones by the general search too.
//!
//! Histories are made up right (`verify::history::sample`), so that nothing is
//! found early. Before it measures, it says how wide they are and what memory a
//! long one takes.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use verify::history::search::{Found, search};
use verify::history::slots::{Op, Reply, Slots};
use verify::history::{Budget, History, Verdict, check, queue, sample};

/// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LONG: usize = 100_000;
const SHORT: usize = 1_000;

/// Slots with fencing numbers and leases, and one outcome of 20 unknown.
const fn shape(operations: usize, capacity: usize) -> sample::Shape {
    sample::Shape {
        clients: 48,
        operations,
        capacity,
        fenced: true,
        leased: true,
        unknown: 50,
        refusals: false,
    }
}

/// How many operations are under way at the start of one, on average; those of
/// unknown outcome, which stay under way for ever, left out.
fn width(history: &History<Op, Reply>) -> f64 {
    let answered = || {
        history
            .operations
            .iter()
            .filter_map(|o| Some((o.start, o.answer?.end)))
    };
    let mut events: Vec<(u64, i64)> = answered()
        .flat_map(|(start, end)| [(start, 1), (end + 1, -1)])
        .collect();
    events.sort_unstable();
    let (mut now, mut sum, mut starts) = (0, 0, 0);
    for (_, change) in events {
        now += change;
        if change > 0 {
            sum += now;
            starts += 1;
        }
    }
    sum as f64 / f64::from(starts)
}

/// Most memory this process has had so far, in MB, where the system tells.
fn peak_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kb: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kb / 1_024)
}

fn holds<O, R>(verdict: &Verdict<O, R>) {
    assert!(matches!(verdict, Verdict::Holds), "it was made up right");
}

fn histories(c: &mut Criterion) {
    let budget = Budget::default();
    let mut group = c.benchmark_group("history");
    group.sample_size(10);
    let gate = Slots::new(20);

    let long = sample::slots(1, shape(LONG, 20));
    let before = peak_mb();
    holds(&check(&gate, &long, budget));
    println!(
        "slots, {LONG} operations: {:.1} at a time; memory {before:?} MB before the check, {:?} after",
        width(&long),
        peak_mb()
    );
    group.throughput(Throughput::Elements(LONG as u64));
    group.bench_function("slots/100,000", |b| {
        b.iter(|| holds(black_box(&check(&gate, &long, budget))));
    });
    let locks = sample::slots(2, shape(LONG, 1));
    group.bench_function("lock/100,000", |b| {
        b.iter(|| holds(black_box(&check(&Slots::lock(), &locks, budget))));
    });
    let values = sample::queue(
        3,
        sample::Shape {
            unknown: 0,
            ..shape(LONG, 0)
        },
    );
    group.bench_function("queue/100,000", |b| {
        b.iter(|| holds(black_box(&check(&queue::Queue, &values, budget))));
    });

    let short = sample::slots(4, shape(SHORT, 20));
    println!("slots, {SHORT} operations: {:.1} at a time", width(&short));
    group.throughput(Throughput::Elements(SHORT as u64));
    group.bench_function("slots/1,000", |b| {
        b.iter(|| holds(black_box(&check(&gate, &short, budget))));
    });
    // The general search manages half as many clients, without leases to run out.
    let plain = sample::slots(
        5,
        sample::Shape {
            clients: 26,
            leased: false,
            ..shape(SHORT, 20)
        },
    );
    println!("without leases: {:.1} at a time", width(&plain));
    group.bench_function("slots/1,000, no leases, general search", |b| {
        b.iter(|| {
            let found = search(&gate, &plain.operations, budget);
            assert!(matches!(found, Found::Order(_)));
            black_box(found)
        });
    });
    group.finish();
}

criterion_group!(benches, histories);
criterion_main!(benches);
