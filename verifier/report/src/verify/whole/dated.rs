//! By how much a log can be back-dated at most, as far as its witnesses vouch for it.
//!
//! What a cosigned checkpoint is over was there when it was cosigned. So an entry can be younger than
//! the log's clock says by the time from that clock to the cosignature, and by no more.

use std::collections::VecDeque;

/// Clocks closer than this count as the first of them: a year without a witness is then 525,600
/// clocks of 16 bytes, 8 MB.
const GRAIN_MS: u64 = 60_000;

/// What is vouched for so far.
#[derive(Default)]
pub(super) struct Dated {
    /// Log index and time of the clocks of entries that nobody has cosigned yet, rising.
    open: VecDeque<(u64, u64)>,
    /// Entries that a cosigned checkpoint is over.
    covered: u64,
    most_ms: u64,
}

impl Dated {
    /// Takes the clock at `index`.
    pub(super) fn clock(&mut self, index: u64, unix_ms: u64) {
        let close = |&(_, last): &(u64, u64)| unix_ms.saturating_sub(last) < GRAIN_MS;
        // The first clock that is not covered stays apart from those that are.
        let first = self
            .open
            .back()
            .is_some_and(|&(at, _)| at < self.covered && index >= self.covered);
        if first || !self.open.back().is_some_and(close) {
            self.open.push_back((index, unix_ms));
        }
    }

    /// Takes a cosigned state of this log, of which the reader's quorum stood at `unix_ms`.
    pub(super) fn cosigned(&mut self, size: u64, unix_ms: u64) {
        if size <= self.covered {
            return;
        }
        // The clock that holds at the first entry that was not covered.
        let covered = self.covered;
        while self.open.get(1).is_some_and(|&(index, _)| index <= covered) {
            self.open.pop_front();
        }
        if let Some(&(_, logged)) = self.open.front() {
            self.most_ms = self.most_ms.max(unix_ms.saturating_sub(logged));
        }
        self.covered = size;
    }

    /// How many entries are vouched for, and by how many milliseconds they may be back-dated; none
    /// where no quorum of the reader's witnesses cosigned.
    pub(super) fn most(&self) -> Option<(u64, u64)> {
        (self.covered > 0).then_some((self.covered, self.most_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn witnesses_who_cosign_each_minute_leave_a_minute_to_back_date() {
        let mut dated = Dated::default();
        assert_eq!(dated.most(), None);
        for minute in 0..100 {
            dated.clock(10 * minute, MINUTE * minute);
            dated.cosigned(10 * (minute + 1), MINUTE * minute + 50_000);
        }
        assert_eq!(dated.most(), Some((1_000, 50_000)));
    }

    #[test]
    fn what_waits_longer_to_be_cosigned_may_be_back_dated_by_as_much() {
        let mut dated = Dated::default();
        for second in 0..7_200 {
            dated.clock(2 * second, 1_000 * second);
            if second == 60 || second == 3_660 {
                dated.cosigned(2 * second, 1_000 * second);
            }
        }
        let (covered, most) = dated.most().unwrap_or_default();
        assert_eq!(covered, 7_320);
        // An hour passed between the two, and a minute is the grain.
        assert!((60 * MINUTE..=61 * MINUTE).contains(&most), "{most}");
    }

    #[test]
    fn the_same_tree_cosigned_again_says_nothing_new() {
        let mut dated = Dated::default();
        dated.clock(0, 0);
        dated.cosigned(10, 1_000);
        dated.cosigned(10, 900_000);
        dated.cosigned(4, 900_000);
        dated.clock(10, 900_000);
        dated.cosigned(20, 901_000);
        assert_eq!(dated.most(), Some((20, 1_000)));
    }
}
