//! What schedules cost: the race between reading a length and writing, tried in
//! random orders beside shuttle, and in all orders beside stateright.
//!
//! Shuttle's program is the same race between threads: a lock is taken to read
//! the length, and again to write. Ours is more: clients with connections and
//! requests against a simulated Redis; where it says `judged`, each step is judged
//! by all properties; in `sluice, script` the cap is a Lua script. Stateright's
//! model is the one that the search is held against in verify's tests.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../verify/tests/stateright/model.rs"]
mod model;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{Gate, Race};
use shuttle::scheduler::RandomScheduler;
use shuttle::sync::{Arc, Mutex};
use shuttle::{Config, Runner, thread};

use sluice_sim::redis::Engine;
use sluice_sim::strategy::Random;
use sluice_sim::strategy::exhaustive::Bounds;
use stateright::{Checker, Model};
use verify::prove::Proof;
use verify::run::Run;
use verify::scenario::Scenario;
use verify::strategy::Strategy;
use verify::{pool, subject};

/// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CAP: usize = 20;
const CLIENTS: usize = 21;
/// Schedules of one call of shuttle, which sets up its threads' stacks once.
const BATCH: u64 = 50;
/// Both sides exhaust so many clients.
const ALL: usize = 8;

/// Who reads less than the cap writes itself in.
fn race_of_threads() {
    let names = Arc::new(Mutex::new(Vec::new()));
    let racer = |name: usize| {
        let names = names.clone();
        thread::spawn(move || {
            let seen = names.lock().expect("nobody panics").len();
            if seen < CAP {
                names.lock().expect("nobody panics").push(name);
            }
        })
    };
    let threads: Vec<_> = (0..CLIENTS).map(racer).collect();
    for thread in threads {
        thread.join().expect("nobody panics");
    }
    black_box(names.lock().expect("nobody panics").len());
}

fn random_schedules(c: &mut Criterion) {
    let mut group = c.benchmark_group("explore/schedules");
    group.throughput(Throughput::Elements(1));
    let engine = Engine::new();
    for (label, name) in [
        ("sluice", "naive"),
        ("sluice, script", "hash-script-unconditional"),
    ] {
        let subject = subject::by_name(name).expect("it is known");
        let rush = Scenario::rush(CAP as u32, CLIENTS as u16);
        let mut seed = 0;
        group.bench_function(format!("{label}, judged"), |b| {
            b.iter(|| {
                seed += 1;
                black_box(Run::new(subject, rush.clone(), seed).go(&engine))
            });
        });
        let built = rush.build(&subject, &mut Strategy::Random.chooser(0));
        group.bench_function(label, |b| {
            b.iter(|| {
                seed += 1;
                let mut world = built.world.clone();
                let mut random = Random::new(seed);
                while world.step(&engine, &mut random).is_some() {}
                black_box(world.digest())
            });
        });
    }
    group.throughput(Throughput::Elements(BATCH));
    let mut seed = 0;
    group.bench_function("shuttle", |b| {
        b.iter(|| {
            seed += 1;
            let scheduler = RandomScheduler::new_from_seed(seed, BATCH as usize);
            Runner::new(scheduler, Config::new()).run(race_of_threads)
        });
    });
    group.finish();
}

/// The same on as many threads as there are cores, ours as `verify find` runs
/// them (one interpreter a thread), shuttle's with a runner on each.
fn on_all_cores(c: &mut Criterion) {
    const EACH: u64 = 2_000;
    let threads = pool::threads() as u64;
    let mut group = c.benchmark_group(format!("explore/schedules on {threads} cores"));
    group.sample_size(10);
    group.throughput(Throughput::Elements(EACH * threads));
    for (label, name) in [
        ("sluice", "naive"),
        ("sluice, script", "hash-script-unconditional"),
    ] {
        let subject = subject::by_name(name).expect("it is known");
        let rush = Scenario::rush(CAP as u32, CLIENTS as u16);
        let mut next = 0;
        group.bench_function(label, |b| {
            b.iter(|| {
                let seeds = next..next + threads;
                next = seeds.end;
                pool::each(seeds, pool::threads(), |engine, thread| {
                    let built = rush.build(&subject, &mut Strategy::Random.chooser(0));
                    for seed in thread * EACH..(thread + 1) * EACH {
                        let mut world = built.world.clone();
                        let mut random = Random::new(seed);
                        while world.step(engine, &mut random).is_some() {}
                        black_box(world.digest());
                    }
                })
            });
        });
    }
    let mut next = 0;
    group.bench_function("shuttle", |b| {
        b.iter(|| {
            let seeds = next..next + threads;
            next = seeds.end;
            std::thread::scope(|scope| {
                for seed in seeds {
                    scope.spawn(move || {
                        let scheduler = RandomScheduler::new_from_seed(seed, EACH as usize);
                        Runner::new(scheduler, Config::new()).run(race_of_threads)
                    });
                }
            });
        });
    });
    group.finish();
}

fn all_schedules(c: &mut Criterion) {
    let mut group = c.benchmark_group("explore/all");
    group.sample_size(10);
    let bounds = Bounds {
        faults: 0,
        clock_steps: 0,
        states: 1_000_000,
    };
    let subject = subject::by_name("naive").expect("it is known");
    let rush = Scenario::rush(ALL as u32, ALL as u16);
    let short = Proof::of(subject, rush, bounds);
    let full = Proof {
        reduced: false,
        sleeping: false,
        ..short.clone()
    };
    for (label, proof) in [("sluice", &full), ("sluice, reduced", &short)] {
        group.bench_function(label, |b| {
            b.iter(|| {
                let shown = proof.go(|_| true);
                assert!(shown.holds());
                shown.certificate.states
            });
        });
    }
    let race = Race {
        gate: Gate::Naive,
        clients: ALL,
        cap: ALL,
    };
    group.bench_function("stateright", |b| {
        b.iter(|| {
            let checker = race.clone().checker().symmetry().spawn_dfs().join();
            assert!(checker.discovery("cap").is_none());
            checker.unique_state_count()
        });
    });
    group.finish();
}

criterion_group!(benches, random_schedules, on_all_cores, all_schedules);
criterion_main!(benches);
