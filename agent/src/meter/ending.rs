//! When the open interval will end, told across threads.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// When the open interval will be full: for who reads what is dear to read only then. Clones are
/// of the same interval.
#[derive(Clone, Debug, Default)]
pub struct Ending(
    /// CLOCK_BOOTTIME, milliseconds; 0 while it is not known.
    Arc<AtomicU64>,
);

impl Ending {
    /// Tells it; `None` while it is not known.
    pub fn tell(&self, full_at_ms: Option<u64>) {
        self.0.store(full_at_ms.unwrap_or(0), Ordering::Release);
    }

    /// Says whether a sample at `boot_ms` ends the interval, or may: one that is told late, or not
    /// at all, costs a reading too many and never one too few.
    pub fn is_due(&self, boot_ms: u64) -> bool {
        boot_ms >= self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_due_until_an_ending_is_told_and_then_those_from_it_on() {
        let ending = Ending::default();
        let told = ending.clone();
        assert!(told.is_due(0));
        ending.tell(Some(9_500));
        assert!(!told.is_due(9_499));
        assert!(told.is_due(9_500));
        ending.tell(None);
        assert!(told.is_due(1));
    }
}
