//! Chance, by seed: the same seed, the same numbers (SplitMix64).

use std::sync::{Mutex, PoisonError};

/// A stream of numbers that follows from its seed alone.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins the stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Begins a stream of its own for a part of the run, whatever the others draw.
    pub fn of(seed: u64, part: &str) -> Self {
        let folded = part.bytes().fold(seed, |state, byte| {
            mixed(state.wrapping_add(u64::from(byte)).wrapping_mul(GOLDEN))
        });
        Self(folded)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mixed(self.0)
    }

    /// A number from `least` to `most`, both included.
    pub fn within(&mut self, least: u64, most: u64) -> u64 {
        let span = most.saturating_sub(least).saturating_add(1).max(1);
        least.saturating_add(self.draw() % span)
    }

    /// True in `of` of a hundred cases.
    pub fn percent(&mut self, of: u64) -> bool {
        self.draw() % 100 < of
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mixed(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// A stream that several hands draw from.
#[derive(Debug)]
pub struct Shared(Mutex<Random>);

impl Shared {
    /// Shares a stream.
    pub fn new(random: Random) -> Self {
        Self(Mutex::new(random))
    }

    /// The next number.
    pub fn draw(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).draw()
    }
}
