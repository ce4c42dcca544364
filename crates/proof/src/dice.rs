//! Seeded choices: small, and the same on every machine, so that a failing seed makes the same choices again.

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The dice of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Other dice for another part of the run, whose choices do not depend on how often these are thrown.
    #[must_use]
    pub fn part(&self, name: &str) -> Self {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let mut part = Self(name.bytes().fold(self.0 ^ 0xcbf2_9ce4_8422_2325, step));
        part.number();
        part
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.number() % n as u64).expect("BUG: below a usize")
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.number() % u64::try_from(high - low + 1).unwrap_or(1)).unwrap_or(0)
    }

    /// `true` in so many of a hundred cases.
    pub fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    /// One of several; `None` if there are none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.below(of.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_choices_again_and_parts_are_independent() {
        let (mut a, mut b) = (Dice::new(7), Dice::new(7));
        assert_eq!((0..9).map(|_| a.number()).collect::<Vec<_>>(), (0..9).map(|_| b.number()).collect::<Vec<_>>());
        let fresh = Dice::new(7);
        let mut thrown = Dice::new(7);
        assert_eq!(fresh.part("load").number(), Dice::new(7).part("load").number());
        thrown.number();
        assert_ne!(fresh.part("load").number(), fresh.part("faults").number());
    }
}
