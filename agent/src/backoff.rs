//! How long to wait before the verifier is tried again.

use std::{sync::Arc, time::Duration};

use ring::rand::{SecureRandom as _, SystemRandom};

/// First wait is up to this.
pub const FIRST: Duration = Duration::from_secs(1);

/// Where the chance in a wait comes from: nothing secret hangs on it.
#[derive(Clone)]
pub struct Chance(Arc<dyn Fn() -> Option<u64> + Send + Sync>);

impl Chance {
    /// The system's randomness.
    pub fn system() -> Self {
        let random = SystemRandom::new();
        Self::of(move || {
            let mut bytes = [0; 8];
            random.fill(&mut bytes).ok()?;
            Some(u64::from_be_bytes(bytes))
        })
    }

    /// Any function that gives numbers, or none when it has none.
    pub fn of(draw: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }
}

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
    pub fn next(&mut self, chance: &Chance) -> Duration {
        // 2^16 s are 18 hours, more than any `most` that makes sense.
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let whole = u64::try_from(doubled.min(self.most).as_millis()).unwrap_or(u64::MAX);
        let drawn = (chance.0)().map_or(whole, |drawn| drawn % whole.saturating_add(1).max(1));
        Duration::from_millis(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_stay_below_their_most_and_differ() {
        let random = Chance::system();
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
