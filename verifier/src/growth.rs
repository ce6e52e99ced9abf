//! How fast the log grows, from what this process wrote.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use crate::clock::Clock;

/// How often a mark is set: segments close each second, a minute is fine enough for days.
const MARK_MS: u64 = 60_000;

/// Marks kept: a day of them, 1,440 × 16 bytes.
const MARKS: usize = 1_440;

/// Least time from which a rate is told: ten minutes. Before that it is not known.
const LEAST_MS: u64 = 600_000;

/// The counter; the writer counts, `status` asks.
#[derive(Clone, Default)]
pub struct Growth(Arc<Mutex<Counted>>);

#[derive(Default)]
struct Counted {
    bytes: u64,
    /// (milliseconds since 1970, bytes until then), oldest first.
    marks: VecDeque<(u64, u64)>,
}

impl Growth {
    /// Counts what was appended, before compression: the disk holds less.
    pub fn appended(&self, bytes: u64) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.bytes = counted.bytes.saturating_add(bytes);
    }

    /// A segment was closed.
    pub fn segment(&self, clock: &Clock) {
        let now = clock.now_ms();
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = counted.marks.back().map(|(at, _)| *at);
        // A clock that was set back begins anew.
        if last.is_some_and(|last| now < last) {
            counted.marks.clear();
        } else if last.is_some_and(|last| now < last.saturating_add(MARK_MS)) {
            return;
        }
        if counted.marks.len() == MARKS {
            counted.marks.pop_front();
        }
        let bytes = counted.bytes;
        counted.marks.push_back((now, bytes));
    }

    /// Bytes a day at the rate since the oldest mark; none while that is too short a time.
    pub fn bytes_per_day(&self) -> Option<u64> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ((from, before), (to, now)) = (*counted.marks.front()?, *counted.marks.back()?);
        let span = to.checked_sub(from).filter(|span| *span >= LEAST_MS)?;
        let rate = u128::from(now.saturating_sub(before)) * 86_400_000 / u128::from(span);
        u64::try_from(rate).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_rate_is_told_once_it_is_known_and_marks_are_bounded() {
        let now = Arc::new(AtomicU64::new(0));
        let clock = Clock::of({
            let now = now.clone();
            move || now.load(Ordering::SeqCst)
        });
        let growth = Growth::default();
        for _ in 0..10 {
            growth.segment(&clock);
            growth.appended(100);
            now.fetch_add(MARK_MS, Ordering::SeqCst);
        }
        assert_eq!(growth.bytes_per_day(), None, "nine minutes");
        for _ in 0..3_000 {
            growth.segment(&clock);
            growth.appended(100);
            now.fetch_add(MARK_MS, Ordering::SeqCst);
        }
        assert_eq!(growth.bytes_per_day(), Some(144_000));
        assert_eq!(
            growth
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .marks
                .len(),
            MARKS
        );
        now.store(0, Ordering::SeqCst);
        growth.segment(&clock);
        assert_eq!(growth.bytes_per_day(), None, "a clock that was set back");
    }
}
