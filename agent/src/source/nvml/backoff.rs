//! How long to wait before a reader is started again.

use std::time::Duration;

/// Doubles from `first` to `most`, each wait shortened by up to half so that hosts that failed
/// together do not come back together.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts with no failure.
    pub(super) fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            failures: 0,
        }
    }

    /// Counts a failure and gives the wait after it; `random` sets how much it is shortened.
    pub(super) fn wait(&mut self, random: u8) -> Duration {
        let whole = 1_u32
            .checked_shl(self.failures)
            .and_then(|factor| self.first.checked_mul(factor))
            .map_or(self.most, |wait| wait.min(self.most));
        self.failures = self.failures.saturating_add(1);
        whole - whole / 2 * u32::from(random) / 255
    }

    /// Forgets the failures: the reader has been well for a while.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_start_over_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let waits: Vec<u64> = (0..8).map(|_| backoff.wait(0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(
            (0..100).map(|_| backoff.wait(0)).max().map(|w| w.as_secs()),
            Some(60)
        );
        backoff.reset();
        assert_eq!(backoff.wait(0), Duration::from_secs(1));
    }

    #[test]
    fn jitter_shortens_a_wait_by_half_at_most() {
        let mut backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(60));
        assert_eq!(backoff.wait(255), Duration::from_secs(30));
        let between = backoff.wait(100);
        assert!(between > Duration::from_secs(30) && between < Duration::from_secs(60));
    }
}
