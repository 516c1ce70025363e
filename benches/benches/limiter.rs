//! The in-process limiter beside `tokio::sync::Semaphore`, doing the same
//! work: acquire asynchronously, drop.
//!
//! The peer is tokio's *owned* permit, because ours owns its limiter, too
//! (`'static`, so that it can go where the request goes); its borrowed permit,
//! which saves counting a reference, is shown beside it.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sluice_gate::limiter::{FIELD_WAIT_TIMEOUT, Limiter};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

const TASKS: u64 = 1_000;
const ROUNDS: u64 = 10;
const PERMITS: usize = 10;

fn limiter(permits: usize) -> Limiter {
    Limiter::new(permits as u32).expect("the capacity is in range")
}

/// One caller, a free slot: the price of a permit.
fn uncontended(c: &mut Criterion) {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let mut group = c.benchmark_group("limiter/uncontended");
    group.throughput(Throughput::Elements(1));

    let ours = limiter(PERMITS);
    group.bench_function("sluice", |b| {
        b.to_async(&runtime)
            .iter(|| async { black_box(ours.acquire().await) });
    });
    let ours = Limiter::builder(PERMITS as u32)
        .wait_timeout(FIELD_WAIT_TIMEOUT)
        .build()
        .expect("the timeout is in range");
    group.bench_function("sluice, 300 s timeout", |b| {
        b.to_async(&runtime)
            .iter(|| async { black_box(ours.acquire().await) });
    });
    let tokios = Arc::new(Semaphore::new(PERMITS));
    group.bench_function("tokio, owned", |b| {
        b.to_async(&runtime)
            .iter(|| async { black_box(Arc::clone(&tokios).acquire_owned().await) });
    });
    group.bench_function("tokio, borrowed", |b| {
        b.to_async(&runtime).iter(|| async {
            drop(black_box(tokios.acquire().await));
        });
    });
    group.finish();
}

/// 1,000 tasks, ten permits each in turn, on ten slots, one yield inside: the
/// price of waiting one's turn. Time per permit.
fn contended(c: &mut Criterion) {
    let one = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let two = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    let mut group = c.benchmark_group("limiter/1000-on-10");
    group.throughput(Throughput::Elements(TASKS * ROUNDS));
    for (threads, runtime) in [("1 thread", &one), ("2 threads", &two)] {
        let ours = limiter(PERMITS);
        group.bench_function(BenchmarkId::new("sluice", threads), |b| {
            let ours = ours.clone();
            crowd(b, runtime, move || {
                let ours = ours.clone();
                async move {
                    let _permit = ours.acquire().await;
                    tokio::task::yield_now().await;
                }
            });
        });
        let tokios = Arc::new(Semaphore::new(PERMITS));
        group.bench_function(BenchmarkId::new("tokio, owned", threads), |b| {
            let tokios = Arc::clone(&tokios);
            crowd(b, runtime, move || {
                let tokios = Arc::clone(&tokios);
                async move {
                    let _permit = tokios.acquire_owned().await;
                    tokio::task::yield_now().await;
                }
            });
        });
    }
    group.finish();
}

/// Runs `round` in every task, [`ROUNDS`] times.
fn crowd<F, Fut>(b: &mut criterion::Bencher<'_>, runtime: &Runtime, round: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
    F: Clone + Send + 'static,
{
    b.to_async(runtime).iter(|| async {
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let round = round.clone();
                tokio::spawn(async move {
                    for _ in 0..ROUNDS {
                        round().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no task panics");
        }
    });
}

criterion_group!(benches, uncontended, contended);
criterion_main!(benches);
