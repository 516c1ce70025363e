//! HyperLogLogs: strings that estimate how many different things were added.
//!
//! The bytes are Redis's own, for clients `GET` and `SET` them: sixteen of a
//! header (`HYLL`, the encoding, the last estimate), and 16,384 registers. Dense,
//! each has six bits. Sparse, they are runs: so many zeros, or up to four times
//! the same value; which runs there are depends on what was added in which order,
//! so they are split and joined exactly as Redis does it. The estimate is Ertl's
//! (<https://arxiv.org/abs/1702.01284>).

/// Bytes before the registers.
const HEADER: usize = 16;
const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 14;
/// Bits of a hash that are not the index; no run of zeros is longer.
const RUN_BITS: u32 = 64 - INDEX_BITS;
const DENSE: usize = HEADER + REGISTERS * 6 / 8;
/// A run of zeros of one byte is not longer, one of two as long as can be.
const ZEROS_MAX: usize = 64;
/// What a run of values can say.
const VALUE_MAX: u8 = 32;
const VALUES_MAX: usize = 4;

/// A string that is not what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Corrupted;

/// A run in the sparse encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    value: u8,
    len: usize,
    /// How many bytes it takes.
    bytes: usize,
}

impl Run {
    fn read(bytes: &[u8]) -> Result<Self, Corrupted> {
        let run = |value, len, bytes| Self { value, len, bytes };
        match *bytes {
            [first, ..] if first & 0x80 != 0 => {
                Ok(run((first >> 2 & 0x1f) + 1, usize::from(first & 3) + 1, 1))
            }
            [first, ..] if first & 0x40 == 0 => Ok(run(0, usize::from(first) + 1, 1)),
            [first, second, ..] => {
                let len = usize::from(first & 0x3f) << 8 | usize::from(second);
                Ok(run(0, len + 1, 2))
            }
            _ => Err(Corrupted),
        }
    }

    /// Appends a run of zeros, in two bytes if it does not fit in one.
    fn zeros(out: &mut Vec<u8>, len: usize) {
        if len > ZEROS_MAX {
            out.extend([0x40 | ((len - 1) >> 8) as u8, (len - 1) as u8]);
        } else if len > 0 {
            out.push((len - 1) as u8);
        }
    }

    const fn values(value: u8, len: usize) -> u8 {
        0x80 | (value - 1) << 2 | (len - 1) as u8
    }

    fn push_values(out: &mut Vec<u8>, value: u8, len: usize) {
        if len > 0 {
            out.push(Self::values(value, len));
        }
    }
}

/// All registers, one by one.
#[derive(Clone)]
pub(super) struct Registers(Box<[u8; REGISTERS]>);

impl Default for Registers {
    fn default() -> Self {
        Self(Box::new([0; REGISTERS]))
    }
}

impl Registers {
    pub(super) fn iter(&self) -> impl Iterator<Item = u8> {
        self.0.iter().copied()
    }

    /// How many different things there were, as far as can be told.
    pub(super) fn estimate(&self) -> u64 {
        let mut histogram = [0u32; 64];
        for register in self.iter() {
            histogram[usize::from(register & 63)] += 1;
        }
        const ALPHA: f64 = 0.721_347_520_444_481_7;
        let all = REGISTERS as f64;
        let full = f64::from(histogram[RUN_BITS as usize + 1]);
        let mut z = all * tau((all - full) / all);
        for count in histogram[1..=RUN_BITS as usize].iter().rev() {
            z = (z + f64::from(*count)) * 0.5;
        }
        z += all * sigma(f64::from(histogram[0]) / all);
        (ALPHA * all * all / z).round() as u64
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        let before = z;
        x *= x;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        let before = z;
        x = x.sqrt();
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// A string that is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HyperLogLog {
    bytes: Vec<u8>,
    /// More than this many bytes (`hll-sparse-max-bytes`) it is dense.
    sparse_max: usize,
}

impl HyperLogLog {
    /// Nothing was added.
    pub(super) fn new(sparse_max: usize) -> Self {
        let mut bytes = b"HYLL\x01".to_vec();
        bytes.resize(HEADER, 0);
        Run::zeros(&mut bytes, REGISTERS);
        Self { bytes, sparse_max }
    }

    /// The string as one; `None` if its header is not that of one.
    pub(super) fn read(text: &[u8], sparse_max: usize) -> Option<Self> {
        let valid = match text {
            [b'H', b'Y', b'L', b'L', 0, ..] => text.len() == DENSE,
            [b'H', b'Y', b'L', b'L', 1, ..] => text.len() >= HEADER,
            _ => false,
        };
        let bytes = valid.then(|| text.to_vec())?;
        Some(Self { bytes, sparse_max })
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn is_dense(&self) -> bool {
        self.bytes[4] == 0
    }

    /// Adds something; whether that changed it.
    pub(super) fn add(&mut self, element: &[u8]) -> Result<bool, Corrupted> {
        let hash = murmur(element);
        let index = hash as usize & (REGISTERS - 1);
        let run = (hash >> INDEX_BITS | 1 << RUN_BITS).trailing_zeros() + 1;
        self.raise(index, run as u8)
    }

    /// The last estimate, if nothing was added since.
    pub(super) fn known(&self) -> Option<u64> {
        let card = u64::from_le_bytes(self.bytes[8..16].try_into().ok()?);
        (card >> 63 == 0).then_some(card)
    }

    pub(super) fn know(&mut self, estimate: u64) {
        self.bytes[8..16].copy_from_slice(&estimate.to_le_bytes());
    }

    /// The estimate is another one now.
    pub(super) fn forget(&mut self) {
        self.bytes[15] |= 0x80;
    }

    /// Raises each of these to what it is here.
    pub(super) fn merge_into(&self, registers: &mut Registers) -> Result<(), Corrupted> {
        if self.is_dense() {
            for (index, most) in registers.0.iter_mut().enumerate() {
                *most = (*most).max(self.dense(index));
            }
            return Ok(());
        }
        let (mut at, mut index) = (HEADER, 0);
        while at < self.bytes.len() {
            let run = Run::read(&self.bytes[at..])?;
            let covered = registers.0.get_mut(index..index + run.len);
            for most in covered.ok_or(Corrupted)? {
                *most = (*most).max(run.value);
            }
            at += run.bytes;
            index += run.len;
        }
        (index == REGISTERS).then_some(()).ok_or(Corrupted)
    }

    pub(super) fn registers(&self) -> Result<Registers, Corrupted> {
        let mut registers = Registers::default();
        self.merge_into(&mut registers)?;
        Ok(registers)
    }

    /// Raises registers to these.
    pub(super) fn raise_to(&mut self, registers: &Registers) -> Result<(), Corrupted> {
        for (index, value) in registers.iter().enumerate().filter(|(_, value)| *value > 0) {
            self.raise(index, value)?;
        }
        Ok(())
    }

    /// The sparse runs in the words of `PFDEBUG DECODE`.
    pub(super) fn decoded(&self) -> Result<String, Corrupted> {
        let mut words = Vec::new();
        let mut at = HEADER;
        while at < self.bytes.len() {
            let run = Run::read(&self.bytes[at..])?;
            words.push(match (run.value, run.bytes) {
                (0, 1) => format!("z:{}", run.len),
                (0, _) => format!("Z:{}", run.len),
                (value, _) => format!("v:{value},{}", run.len),
            });
            at += run.bytes;
        }
        Ok(words.join(" "))
    }

    pub(super) fn make_dense(&mut self) -> Result<(), Corrupted> {
        if self.is_dense() {
            return Ok(());
        }
        let registers = self.registers()?;
        self.bytes.truncate(HEADER);
        self.bytes.resize(DENSE, 0);
        self.bytes[4] = 0;
        for (index, value) in registers.iter().enumerate() {
            self.set_dense(index, value);
        }
        Ok(())
    }

    fn dense(&self, index: usize) -> u8 {
        let (at, bit) = (HEADER + index * 6 / 8, index * 6 % 8);
        let byte = |at: usize| u16::from(self.bytes.get(at).copied().unwrap_or(0));
        ((byte(at) | byte(at + 1) << 8) >> bit) as u8 & 63
    }

    fn set_dense(&mut self, index: usize, value: u8) {
        let (at, bit) = (HEADER + index * 6 / 8, index * 6 % 8);
        let (mask, value) = (63u16 << bit, u16::from(value) << bit);
        for (byte, shift) in [(at, 0), (at + 1, 8)] {
            if let Some(byte) = self.bytes.get_mut(byte) {
                *byte = *byte & !((mask >> shift) as u8) | (value >> shift) as u8;
            }
        }
    }

    /// Raises a register; whether it was less before.
    fn raise(&mut self, index: usize, value: u8) -> Result<bool, Corrupted> {
        if !self.is_dense() {
            if value <= VALUE_MAX
                && let Some(changed) = self.raise_sparse(index, value)?
            {
                if changed {
                    self.forget();
                }
                return Ok(changed);
            }
            self.make_dense()?;
        }
        let raises = self.dense(index) < value;
        if raises {
            self.set_dense(index, value);
        }
        Ok(raises)
    }

    /// The same in the sparse encoding; `None` if it would become too long.
    fn raise_sparse(&mut self, index: usize, value: u8) -> Result<Option<bool>, Corrupted> {
        let (mut at, mut first, mut before) = (HEADER, 0, None);
        let run = loop {
            if at >= self.bytes.len() {
                return Err(Corrupted);
            }
            let run = Run::read(&self.bytes[at..])?;
            if index < first + run.len {
                break run;
            }
            before = Some(at);
            at += run.bytes;
            first += run.len;
        };
        if run.value >= value {
            return Ok(Some(false));
        }
        // What stood there, cut in two, with the register between.
        let mut split = Vec::with_capacity(5);
        let (left, right) = (index - first, first + run.len - 1 - index);
        let rest = |out: &mut Vec<u8>, len: usize| match run.value {
            0 => Run::zeros(out, len),
            value => Run::push_values(out, value, len),
        };
        rest(&mut split, left);
        Run::push_values(&mut split, value, 1);
        rest(&mut split, right);
        let grows = split.len() > run.bytes;
        if grows && self.bytes.len() + split.len() - run.bytes > self.sparse_max {
            return Ok(None);
        }
        self.bytes.splice(at..at + run.bytes, split);
        self.join(before.unwrap_or(HEADER));
        Ok(Some(true))
    }

    /// Joins equal values that stand side by side, in five steps from here. Does
    /// not mind a broken run at the end.
    fn join(&mut self, mut at: usize) {
        for _ in 0..5 {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let Ok(run) = Run::read(rest) else { return };
            if run.value > 0
                && let Ok(next) = Run::read(&rest[1..])
            {
                let len = run.len + next.len;
                if next.value == run.value && len <= VALUES_MAX {
                    self.bytes[at + 1] = Run::values(run.value, len);
                    self.bytes.remove(at);
                    continue;
                }
            }
            at += run.bytes;
        }
    }
}

/// `MurmurHash2` in 64 bits, from Redis's seed.
fn murmur(data: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const SEED: u64 = 0xadc8_3b19;
    let mut hash = SEED ^ (data.len() as u64).wrapping_mul(M);
    let (words, rest) = data.as_chunks::<8>();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 47;
        hash = (hash ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        hash = (hash ^ rest.iter().rev().fold(0, add)).wrapping_mul(M);
    }
    hash ^= hash >> 47;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 47
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Sparse and dense say the same, whatever was added.
        #[test]
        fn both_encodings_agree(elements in prop::collection::vec(any::<u32>(), 0..2000)) {
            let (mut sparse, mut dense) = (HyperLogLog::new(3_000), HyperLogLog::new(0));
            dense.make_dense().expect("it is new");
            for element in &elements {
                let bytes = element.to_le_bytes();
                let both = (sparse.add(&bytes), dense.add(&bytes));
                prop_assert_eq!(both.0, both.1);
            }
            let of = |one: &HyperLogLog| one.registers().expect("it is whole").0;
            prop_assert_eq!(of(&sparse), of(&dense));
            let kept = HyperLogLog::read(&sparse.bytes, 3_000);
            prop_assert_eq!(kept, Some(sparse));
        }

        /// Nonsense behind a good header is refused, and does no harm.
        #[test]
        fn nonsense_does_no_harm(rest in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut text = HyperLogLog::new(3_000).into_bytes();
            text.truncate(HEADER);
            text.extend(rest);
            let mut one = HyperLogLog::read(&text, 3_000).expect("its header is good");
            for element in 0..50u8 {
                let _ = one.add(&[element]);
            }
            let _ = (one.registers().is_ok(), one.decoded(), one.make_dense());
        }
    }
}
