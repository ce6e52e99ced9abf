//! How long to wait before the verifier is tried again.

use std::time::Duration;

use ring::rand::SecureRandom;

/// First wait is up to this.
pub const FIRST: Duration = Duration::from_secs(1);

/// Doubles from [`FIRST`] to a most, with full jitter: each wait is anything from nothing to the
/// whole, so that a fleet that lost its verifier together does not come back together.
#[derive(Debug)]
pub struct Backoff {
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts with no failure; no wait is longer than `most`.
    pub fn new(most: Duration) -> Self {
        Self { most, failures: 0 }
    }

    /// Forgets all failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure and gives the time to wait after it. Without randomness it is the whole.
    pub fn next(&mut self, random: &dyn SecureRandom) -> Duration {
        // 2^16 s are 18 hours, more than any `most` that makes sense.
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let whole = u64::try_from(doubled.min(self.most).as_millis()).unwrap_or(u64::MAX);
        let mut bytes = [0; 8];
        match random.fill(&mut bytes) {
            Ok(()) => {
                Duration::from_millis(u64::from_be_bytes(bytes) % whole.saturating_add(1).max(1))
            }
            Err(_) => Duration::from_millis(whole),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;

    #[test]
    fn waits_grow_stay_below_their_most_and_differ() {
        let random = SystemRandom::new();
        let mut backoff = Backoff::new(Duration::from_secs(60));
        let mut waits = Vec::new();
        for failure in 0..40 {
            let wait = backoff.next(&random);
            let cap = Duration::from_secs(60.min(1 << failure.min(6)));
            assert!(wait <= cap, "{wait:?} after {failure} failures");
            waits.push(wait);
        }
        assert!(waits.iter().any(|wait| *wait > Duration::from_secs(10)));
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 30, "full jitter");
        backoff.reset();
        assert!(backoff.next(&random) <= FIRST);
    }
}
