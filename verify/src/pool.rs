//! Many runs over all cores, with a result that does not depend on how many
//! there are.
//!
//! Threads exist only around runs, never inside one. Seeds are handed out in
//! order, one interpreter a thread, and results are folded in the order of
//! seeds: "the first seed that …" means the same on one core and on sixty-four.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sluice_sim::redis::Engine;

/// How many threads to use: one a core.
#[must_use]
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Works on every seed of a range; the results in the order of seeds.
///
/// # Panics
/// If the work does.
pub fn each<T: Send>(
    seeds: Range<u64>,
    threads: usize,
    work: impl Fn(&Engine, u64) -> T + Sync,
) -> Vec<T> {
    each_while(seeds, threads, || true, work)
}

/// The same, but no seed is begun any more once `more` says so: the results of
/// the first few seeds, at least of one.
///
/// # Panics
/// If the work does.
pub fn each_while<T: Send>(
    seeds: Range<u64>,
    threads: usize,
    more: impl Fn() -> bool + Sync,
    work: impl Fn(&Engine, u64) -> T + Sync,
) -> Vec<T> {
    let first = seeds.start;
    let next = AtomicU64::new(seeds.start);
    let done = Mutex::new(Vec::new());
    spread(threads, seeds.end - seeds.start.min(seeds.end), |engine| {
        loop {
            // Asked before a seed is taken: none is left out among those done.
            if next.load(Ordering::Relaxed) > first && !more() {
                return;
            }
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let result = work(engine, seed);
            done.lock().expect("no work panics").push((seed, result));
        }
    });
    let mut done = done.into_inner().expect("no work panics");
    done.sort_by_key(|(seed, _)| *seed);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The lowest seed of a range for which the work has a result, and the result.
/// Seeds above one that is known to have one are not begun.
///
/// # Panics
/// If the work does.
pub fn first<T: Send>(
    seeds: Range<u64>,
    threads: usize,
    work: impl Fn(&Engine, u64) -> Option<T> + Sync,
) -> Option<(u64, T)> {
    let next = AtomicU64::new(seeds.start);
    let end = AtomicU64::new(seeds.end);
    let best = Mutex::new(None);
    spread(threads, seeds.end - seeds.start.min(seeds.end), |engine| {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                return;
            }
            let Some(result) = work(engine, seed) else {
                continue;
            };
            end.fetch_min(seed, Ordering::Relaxed);
            let mut best = best.lock().expect("no work panics");
            if best.as_ref().is_none_or(|(known, _)| seed < *known) {
                *best = Some((seed, result));
            }
        }
    });
    best.into_inner().expect("no work panics")
}

/// Runs this on so many threads, at most one a piece of work.
fn spread(threads: usize, pieces: u64, work: impl Fn(&Engine) + Sync) {
    let threads = threads.min(usize::try_from(pieces).unwrap_or(usize::MAX));
    if threads <= 1 {
        return work(&Engine::new());
    }
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&Engine::new()));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_those_of_one_thread() {
        for threads in [1, 2, 7] {
            let squares = each(3..40, threads, |_, seed| seed * seed);
            assert_eq!(squares, (3..40).map(|n| n * n).collect::<Vec<_>>());
            let found = first(3..40, threads, |_, seed| (seed % 10 == 9).then_some(seed));
            assert_eq!(found, Some((9, 9)));
            assert_eq!(first(3..40, threads, |_, _| None::<()>), None);
            assert!(each(4..4, threads, |_, seed| seed).is_empty());
            let begun = AtomicU64::new(0);
            let more = || begun.load(Ordering::Relaxed) < 5;
            let some = each_while(3..40, threads, more, |_, seed| {
                begun.fetch_add(1, Ordering::Relaxed);
                seed
            });
            assert!(some.len() >= 5 && some.len() < 5 + threads);
            assert_eq!(some, (3..3 + some.len() as u64).collect::<Vec<_>>());
            assert_eq!(each_while(3..40, threads, || false, |_, seed| seed)[0], 3);
        }
    }

    /// A late thread with a low seed wins over an early one with a high seed.
    #[test]
    fn the_lowest_seed_wins_however_long_it_takes() {
        let found = first(0..2, 2, |_, seed| {
            if seed == 0 {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Some(seed)
        });
        assert_eq!(found, Some((0, 0)));
    }
}
