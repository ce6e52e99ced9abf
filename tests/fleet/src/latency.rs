//! How long records waited.

use std::time::Duration;

use serde::Serialize;

/// Waits, in microseconds: 4 bytes each, 12,500/s for a minute are 3 MB. A wait above 71 minutes
/// counts as that.
#[derive(Clone, Debug, Default)]
pub struct Waits(Vec<u32>);

/// What is told of them, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half are at most this.
    pub p50_ms: f64,
    /// 99 of 100 are at most this.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Waits {
    /// Adds one.
    pub fn add(&mut self, wait: Duration) {
        self.0
            .push(u32::try_from(wait.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Sums up; `None` when there were none: that is not a wait of zero.
    pub fn percentiles(mut self) -> Option<Percentiles> {
        self.0.sort_unstable();
        let count = self.0.len();
        // Nearest rank: the smallest value that at least `percent` in a hundred do not exceed.
        let at = |percent: usize| {
            let rank = (count * percent).div_ceil(100).saturating_sub(1);
            self.0.get(rank).map(|micros| f64::from(*micros) / 1_000.0)
        };
        Some(Percentiles {
            p50_ms: at(50)?,
            p99_ms: at(99)?,
            max_ms: at(100)?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut waits = Waits::default();
        (1..=200)
            .rev()
            .for_each(|ms| waits.add(Duration::from_millis(ms)));
        let told = waits.percentiles().unwrap();
        assert_eq!(
            (told.p50_ms, told.p99_ms, told.max_ms),
            (100.0, 198.0, 200.0)
        );
    }

    #[test]
    fn no_waits_are_not_waits_of_zero() {
        assert_eq!(Waits::default().percentiles(), None);
    }
}
