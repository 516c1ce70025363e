use super::*;
use alloc::collections::BTreeMap;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Append,
    Insert(u64),
    PopFirst,
    RemoveNth(u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Append),
        6 => (0u64..200_000).prop_map(Op::Insert),
        4 => Just(Op::PopFirst),
        3 => any::<u32>().prop_map(Op::RemoveNth),
    ]
}

fn agree(ops: &[Op], base: u64, every: usize) {
    let mut line = Line::default();
    let mut plain: BTreeMap<u64, Slot> = BTreeMap::new();
    let mut last = base;
    for (step, &op) in ops.iter().enumerate() {
        match op {
            Op::Append => {
                last += 3;
                line.insert(last, step as Slot);
                plain.insert(last, step as Slot);
            }
            Op::Insert(key) if plain.contains_key(&key) => {}
            Op::Insert(key) => {
                last = last.max(key);
                line.insert(key, step as Slot);
                plain.insert(key, step as Slot);
            }
            Op::PopFirst => {
                if let Some((key, slot)) = plain.pop_first() {
                    assert_eq!(line.first(), Some((key, slot)));
                    assert_eq!(line.remove(key), slot);
                }
            }
            Op::RemoveNth(n) if !plain.is_empty() => {
                let n = n % plain.len() as u32;
                let (key, slot) = plain.iter().nth(n as usize).map(|(&k, &s)| (k, s)).unwrap();
                assert_eq!(line.nth(n), Some((key, slot)));
                assert_eq!(line.rank(key), n);
                assert_eq!(line.rank(key + 1), n + 1);
                assert_eq!(line.remove(key), slot);
                plain.remove(&key);
            }
            Op::RemoveNth(_) => {}
        }
        assert_eq!(line.len() as usize, plain.len());
        assert_eq!(line.first(), plain.first_key_value().map(|(&k, &s)| (k, s)));
        if step % every == 0 {
            line.check();
        }
    }
    line.check();
    assert!(line.iter().eq(plain.iter().map(|(&k, &s)| (k, s))));
}

proptest! {
    #[test]
    fn agrees_with_a_btree_map(ops in prop::collection::vec(op(), 1..500), base in 0u64..300_000) {
        agree(&ops, base, 1);
    }
}

/// Long enough for three levels, in the four ways a line can be filled, and
/// drained from the front, the back, the middle.
#[test]
fn grows_to_several_levels_and_drains_to_nothing() {
    let n: u64 = 70_000;
    let orders: [fn(u64) -> u64; 4] = [
        |i| i,
        |i| 70_000 - i,
        |i| i * 48_271 % 70_001,
        |i| if i % 2 == 0 { i } else { 140_000 - i },
    ];
    for (which, order) in orders.iter().enumerate() {
        let mut line = Line::default();
        for i in 1..n {
            line.insert(order(i), i as Slot);
        }
        assert!(line.height >= 2);
        line.check();
        for step in 0..u64::from(line.len()) {
            let rank = match which {
                0 => 0,
                1 => line.len() - 1,
                _ => (step * 7_919 % u64::from(line.len())) as u32,
            };
            let (key, _) = line.nth(rank).unwrap();
            line.remove(key);
            if step % 9_973 == 0 {
                line.check();
            }
        }
        line.check();
        assert!(line.is_empty());
        assert_eq!(line.height, 0);
    }
}

/// R1.15: a line that is joined and left for ever stays as large as it was.
#[test]
fn a_moving_queue_does_not_grow() {
    let mut line = Line::default();
    for key in 0..1_000 {
        line.insert(key, 0);
    }
    let nodes = line.leaves.len() + line.inners.len();
    for key in 1_000..200_000 {
        line.insert(key, 0);
        let (first, _) = line.first().unwrap();
        line.remove(first);
    }
    assert!(line.leaves.len() + line.inners.len() <= nodes + 4);
    line.check();
}
