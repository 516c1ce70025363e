//! Whole runs under observation: PER-002's fifth scenario (60 simulated
//! seconds), its largest burst, a swarm of faults; every property judged at
//! every step.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sluice_sim::redis::Engine;
use verify::run::Run;
use verify::scenario::Scenario;
use verify::subject;

/// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn runs(c: &mut Criterion) {
    let slots = subject::by_name("slots").expect("it is known");
    let mut group = c.benchmark_group("run");
    let scenarios = [
        Scenario::sustained(),
        Scenario::burst(200),
        Scenario::swarm(),
    ];
    for scenario in scenarios {
        let engine = Engine::new();
        let run = Run::new(slots, scenario, 0);
        group.bench_function(&run.scenario.name, |b| {
            b.iter(|| black_box(run.go(&engine)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = runs
}
criterion_main!(benches);
