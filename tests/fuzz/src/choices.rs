//! Bytes as a row of choices, by which a structured target builds something nearly right.

/// Reads choices from bytes; when they end, every choice is zero.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Chooses by these bytes.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number below `limit`, at least 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// A number, mostly small, sometimes at an edge.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..128 => u64::from(small),
            128..192 => u64::from(self.byte()) << 8 | u64::from(self.byte()),
            192..208 => u64::MAX - u64::from(self.byte()),
            208..224 => u64::from(u32::MAX) + u64::from(self.byte()),
            _ => (0..8).fold(0, |n, _| n << 8 | u64::from(self.byte())),
        }
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u8) -> bool {
        self.byte().is_multiple_of(n)
    }

    /// Something, or nothing.
    pub fn perhaps<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let chosen = self.byte() & 1 == 1;
        chosen.then(|| make(self))
    }

    /// Up to `most` bytes.
    pub fn bytes(&mut self, most: u8) -> Vec<u8> {
        let count = usize::from(self.byte() % (most + 1)).min(self.0.len());
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken.to_vec()
    }

    /// Whether choices are left.
    pub fn more(&self) -> bool {
        !self.0.is_empty()
    }
}
