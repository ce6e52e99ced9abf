//! How long to wait before a receiver is tried again.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

/// First wait is up to this.
const FIRST: Duration = Duration::from_secs(1);

/// No wait is longer.
const MOST: Duration = Duration::from_secs(300);

/// Doubles from a second to five minutes. Each wait is between half of that and the whole, so that
/// receivers that were lost together are not all tried together.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
}

impl Pause {
    /// Forgets all failures.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure and gives the time to wait after it. Without randomness it is the whole.
    pub(super) fn next(&mut self) -> Duration {
        // 2^9 s are more than the most.
        let whole = FIRST.saturating_mul(1 << self.failures.min(9)).min(MOST);
        self.failures = self.failures.saturating_add(1);
        let mut byte = [u8::MAX];
        // Nothing secret hangs on it.
        let _ = SystemRandom::new().fill(&mut byte);
        let half = whole / 2;
        half + half * u32::from(byte[0]) / u32::from(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_five_minutes_and_no_two_receivers_wait_alike() {
        let mut pause = Pause::default();
        let mut waits = Vec::new();
        for failure in 0..30_u32 {
            let whole = Duration::from_secs(300.min(1 << failure.min(9)));
            let wait = pause.next();
            assert!(wait >= whole / 2 && wait <= whole, "{failure}: {wait:?}");
            waits.push(wait);
        }
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 20, "jitter");
        pause.reset();
        assert!(pause.next() <= FIRST);
    }
}
