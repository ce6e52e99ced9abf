//! Coverage: whether a host's time is accounted for, and who is silent.
//!
//! A host is expected from its enrolment or approval, at the latest from its first record, until
//! it is retired, evicted, banned, transferred or continued by another chain; maintenance excuses
//! it until its next record. For its first record it has as long as for a reconnection. Two things are gaps: a *hole* between the time that one record covers and the next,
//! and a *silence*, when the log's clock has gone on and no record arrived. A silence stays a gap
//! even if records come later that cover it; the figures then count its time as recorded.

use std::collections::{BTreeMap, BTreeSet};

use crate::parameters::Parameters;

type Chain = [u8; 32];

/// A span of a host's time that nothing covers, or did not when it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    /// Log index of what the host said last before it.
    pub(crate) first_index: u64,
    /// Log index of what ended it, or the same.
    pub(crate) last_index: u64,
    pub(crate) why: &'static str,
}

/// What is counted of one host's time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) expected_ms: u128,
    pub(crate) recorded_ms: u128,
    pub(crate) hole_ms: u128,
    pub(crate) records: u64,
    pub(crate) covered_to_ms: Option<u64>,
    pub(crate) silent_since_ms: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Watch {
    /// Since when it is expected; `None` while it is not.
    since_ms: Option<u64>,
    covered_to_ms: u64,
    index: u64,
    due_ms: Option<u64>,
    excused: bool,
    /// Whether it has yet to report for the first time.
    new: bool,
    silent: bool,
    past: Counted,
}

/// The watch over all hosts.
#[derive(Clone, Debug)]
pub(crate) struct Coverage {
    interval_ms: u64,
    grace_ms: u64,
    reconnect_ms: u64,
    from_ms: u64,
    to_ms: u64,
    now_ms: Option<u64>,
    watches: BTreeMap<Chain, Watch>,
    due: BTreeSet<(u64, Chain)>,
}

impl Coverage {
    /// Watches the time from `from_ms` to `to_ms`.
    pub(crate) fn new(parameters: &Parameters, from_ms: u64, to_ms: u64) -> Self {
        Self {
            interval_ms: parameters.interval_ms,
            grace_ms: parameters.gap_grace_ms,
            reconnect_ms: parameters.reconnect_ms,
            from_ms,
            to_ms,
            now_ms: None,
            watches: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// The log's clock, within the time watched.
    fn now(&self) -> u64 {
        self.now_ms.unwrap_or(0).clamp(self.from_ms, self.to_ms)
    }

    /// Takes the log's clock: hosts whose record is overdue fall silent.
    ///
    /// When the clock leaps by more than two intervals the log itself stood still, and so each
    /// host that is overdue is excused once, long enough to reconnect.
    pub(crate) fn clock(&mut self, unix_ms: u64) {
        let leap = self.now_ms.map_or(0, |now| unix_ms.saturating_sub(now));
        self.now_ms = self.now_ms.max(Some(unix_ms));
        let now = self.now();
        while let Some((due, chain)) = self.due.first().copied().filter(|(due, _)| *due < now) {
            self.due.remove(&(due, chain));
            let Some(watch) = self.watches.get_mut(&chain) else {
                continue;
            };
            if leap > self.interval_ms.saturating_mul(2) && !watch.excused {
                let more = if leap > self.grace_ms {
                    self.reconnect_ms
                } else {
                    self.grace_ms
                };
                watch.excused = true;
                watch.due_ms = Some(now.saturating_add(more));
                self.due.extend(watch.due_ms.map(|due| (due, chain)));
            } else {
                watch.due_ms = None;
                watch.silent = true;
            }
        }
    }

    /// Expects records of a host from now on.
    pub(crate) fn expect(&mut self, chain: Chain, index: u64) {
        let now = self.now();
        let watch = self.watches.entry(chain).or_default();
        if watch.since_ms.is_none() {
            watch.since_ms = Some(now);
            watch.covered_to_ms = now;
            watch.index = index;
            watch.new = true;
            self.wait(chain, now, self.reconnect_ms.max(self.grace_ms));
        }
    }

    /// Expects no more records of a host; gives the silence in which it ends.
    pub(crate) fn end(&mut self, chain: Chain, index: u64) -> Option<Gap> {
        let now = self.now();
        let watch = self.watches.get_mut(&chain)?;
        if let Some(due) = watch.due_ms.take() {
            self.due.remove(&(due, chain));
        }
        let since = watch.since_ms.take()?;
        watch.past.expected_ms += u128::from(now.saturating_sub(since));
        watch.past.hole_ms += u128::from(now.saturating_sub(watch.covered_to_ms));
        let silent = std::mem::take(&mut watch.silent);
        silent.then_some(Gap {
            from_ms: watch.covered_to_ms,
            to_ms: now,
            first_index: watch.index,
            last_index: index,
            why: "no record arrived",
        })
    }

    /// Lets one chain take the place of another: what was expected of the old is expected of it.
    pub(crate) fn inherit(&mut self, chain: Chain, index: u64, old: Chain) -> Option<Gap> {
        let expected = self
            .watches
            .get(&old)
            .is_some_and(|watch| watch.since_ms.is_some());
        let covered = self.watches.get(&old).map(|watch| watch.covered_to_ms);
        let gap = self.end(old, index);
        if expected {
            self.expect(chain, index);
            if let (Some(watch), Some(covered)) = (self.watches.get_mut(&chain), covered) {
                watch.covered_to_ms = covered.min(watch.covered_to_ms);
                watch.new = false;
            }
            // The time since is the new chain's to cover, not a hole of the old as well.
            let now = self.now();
            if let (Some(watch), Some(covered)) = (self.watches.get_mut(&old), covered) {
                let open = u128::from(now.saturating_sub(covered));
                watch.past.hole_ms = watch.past.hole_ms.saturating_sub(open);
            }
        }
        gap
    }

    /// Takes a record of the interval `start_ms`..`end_ms` by the host's wall clock; gives the
    /// silence that it ends and the hole before it.
    ///
    /// A record cannot cover a future that the log has not reached by more than an interval.
    pub(crate) fn record(
        &mut self,
        chain: Chain,
        index: u64,
        start_ms: u64,
        end_ms: u64,
    ) -> Vec<Gap> {
        let now = self.now();
        let horizon = self
            .now_ms
            .map_or(u64::MAX, |_| now.saturating_add(self.interval_ms));
        let end_ms = end_ms.min(horizon);
        let start_ms = start_ms.clamp(self.from_ms, end_ms.max(self.from_ms));
        let watch = self.watches.entry(chain).or_default();
        if watch.since_ms.is_none() {
            watch.since_ms = Some(start_ms);
            watch.covered_to_ms = start_ms;
            watch.index = index;
        }
        let mut gaps = Vec::new();
        let first = std::mem::take(&mut watch.new);
        let grace = if first {
            self.reconnect_ms.max(self.grace_ms)
        } else {
            self.grace_ms
        };
        let hole = start_ms.saturating_sub(watch.covered_to_ms);
        let gap = Gap {
            from_ms: watch.covered_to_ms,
            to_ms: start_ms,
            first_index: watch.index,
            last_index: index,
            why: "nothing covers the time between two records",
        };
        if std::mem::take(&mut watch.silent) {
            let late = hole <= grace;
            let why = if late {
                "no record arrived; later ones cover the time"
            } else {
                "no record arrived"
            };
            gaps.push(Gap {
                to_ms: now.max(gap.from_ms),
                why,
                ..gap
            });
        }
        if hole > grace {
            gaps.push(gap);
        }
        let fresh = end_ms.saturating_sub(start_ms.max(watch.covered_to_ms));
        watch.past.recorded_ms += u128::from(fresh);
        watch.past.hole_ms += u128::from(hole);
        watch.past.records += 1;
        watch.covered_to_ms = watch.covered_to_ms.max(end_ms);
        watch.index = index;
        let heard = self.now_ms.map_or(end_ms, |_| now);
        self.wait(chain, heard, self.grace_ms);
        gaps
    }

    /// The silence of a host that still lasts. Once the period watched is over, nobody is excused.
    pub(crate) fn silences(&self) -> impl Iterator<Item = (&Chain, Gap)> {
        let now = self.now();
        let over = self.now_ms >= Some(self.to_ms);
        let silent = self
            .watches
            .iter()
            .filter(move |(_, watch)| watch.silent || (over && watch.excused));
        silent.map(move |(chain, watch)| {
            let gap = Gap {
                from_ms: watch.covered_to_ms,
                to_ms: now.max(watch.covered_to_ms),
                first_index: watch.index,
                last_index: watch.index,
                why: "no record arrived",
            };
            (chain, gap)
        })
    }

    /// What was counted of a host, up to the log's clock.
    pub(crate) fn counted(&self, chain: &Chain) -> Counted {
        let Some(watch) = self.watches.get(chain) else {
            return Counted::default();
        };
        let mut counted = watch.past;
        if let Some(since) = watch.since_ms {
            counted.expected_ms += u128::from(self.now().saturating_sub(since));
        }
        counted.covered_to_ms = (counted.records > 0).then_some(watch.covered_to_ms);
        counted.silent_since_ms = watch.silent.then_some(watch.covered_to_ms);
        counted
    }

    fn wait(&mut self, chain: Chain, heard_ms: u64, grace_ms: u64) {
        let Some(watch) = self.watches.get_mut(&chain) else {
            return;
        };
        if let Some(due) = watch.due_ms.take() {
            self.due.remove(&(due, chain));
        }
        watch.excused = false;
        let due = heard_ms.saturating_add(grace_ms);
        watch.due_ms = Some(due);
        self.due.insert((due, chain));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Chain = [7; 32];
    const S: u64 = 1_000;

    fn coverage() -> Coverage {
        let mut coverage = Coverage::new(&Parameters::default(), 0, u64::MAX);
        coverage.clock(1_000 * S);
        coverage
    }

    /// Ten-second records from `from` to `to`, each logged with a clock as it ends.
    fn stream(coverage: &mut Coverage, from: u64, to: u64) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for start in (from..to).step_by(10) {
            coverage.clock((start + 10) * S);
            gaps.extend(coverage.record(HOST, start, start * S, (start + 10) * S));
        }
        gaps
    }

    #[test]
    fn a_steady_host_has_no_gap() {
        let mut coverage = coverage();
        coverage.expect(HOST, 1);
        assert_eq!(stream(&mut coverage, 1_000, 1_100), []);
        assert_eq!(coverage.silences().count(), 0);
        let counted = coverage.counted(&HOST);
        assert_eq!(
            (counted.expected_ms, counted.recorded_ms),
            (100_000, 100_000)
        );
    }

    #[test]
    fn a_live_host_that_stops_falls_silent_after_the_grace_and_the_gap_grows_until_it_speaks() {
        let mut coverage = coverage();
        stream(&mut coverage, 1_000, 1_100);
        for now in 1_101..=1_130 {
            coverage.clock(now * S);
        }
        assert_eq!(coverage.silences().count(), 0);
        coverage.clock(1_131 * S);
        let silence = coverage
            .silences()
            .next()
            .map(|(_, gap)| (gap.from_ms, gap.to_ms));
        assert_eq!(silence, Some((1_100 * S, 1_131 * S)));
        let gaps = coverage.record(HOST, 5_000, 1_100 * S, 1_110 * S);
        assert_eq!(gaps.len(), 1, "covered after all, but late: {gaps:?}");
        assert!(
            gaps.iter()
                .all(|gap| gap.to_ms == 1_131 * S && gap.why.contains("later"))
        );
        assert_eq!(coverage.silences().count(), 0);
        assert_eq!(coverage.counted(&HOST).hole_ms, 0);
    }

    #[test]
    fn a_host_that_was_approved_and_never_reports_is_silent() {
        let mut coverage = coverage();
        coverage.expect(HOST, 3);
        for now in 1_001..1_300 {
            coverage.clock(now * S);
        }
        assert_eq!(
            coverage.silences().count(),
            0,
            "it may take its time to begin"
        );
        coverage.clock(1_301 * S);
        assert_eq!(coverage.silences().count(), 1);
    }

    #[test]
    fn a_host_that_fell_silent_while_the_log_stood_still_is_not_excused_past_the_period() {
        let mut coverage = Coverage::new(&Parameters::default(), 0, 2_000 * S);
        coverage.clock(1_000 * S);
        stream(&mut coverage, 1_000, 1_100);
        coverage.clock(1_990 * S);
        assert_eq!(coverage.silences().count(), 0);
        coverage.clock(2_001 * S);
        let silence = coverage
            .silences()
            .next()
            .map(|(_, gap)| (gap.from_ms, gap.to_ms));
        assert_eq!(silence, Some((1_100 * S, 2_000 * S)));
    }

    #[test]
    fn time_between_two_records_is_a_hole() {
        let mut coverage = coverage();
        stream(&mut coverage, 1_000, 1_100);
        coverage.clock(1_170 * S);
        let gaps = coverage.record(HOST, 9, 1_160 * S, 1_170 * S);
        assert_eq!(
            gaps.first().map(|gap| (gap.from_ms, gap.to_ms)),
            Some((1_100 * S, 1_160 * S))
        );
        assert_eq!(coverage.counted(&HOST).hole_ms, 60_000);
    }

    #[test]
    fn when_the_log_itself_stood_still_hosts_are_excused_once() {
        let mut coverage = coverage();
        stream(&mut coverage, 1_000, 1_100);
        coverage.clock(5_000 * S);
        assert_eq!(coverage.silences().count(), 0, "the log was asleep");
        coverage.clock(9_000 * S);
        assert_eq!(coverage.silences().count(), 1, "not excused twice");
    }

    #[test]
    fn a_retired_host_owes_no_records() {
        let mut coverage = coverage();
        stream(&mut coverage, 1_000, 1_100);
        assert_eq!(coverage.end(HOST, 9), None);
        for now in 1_101..1_300 {
            coverage.clock(now * S);
        }
        assert_eq!(coverage.silences().count(), 0);
        assert_eq!(coverage.counted(&HOST).expected_ms, 100_000);
    }

    #[test]
    fn a_new_chain_owes_the_time_since_the_old_one() {
        let mut coverage = coverage();
        stream(&mut coverage, 1_000, 1_100);
        coverage.clock(1_105 * S);
        coverage.inherit([8; 32], 20, HOST);
        coverage.clock(1_170 * S);
        let gaps = coverage.record([8; 32], 21, 1_160 * S, 1_170 * S);
        assert_eq!(gaps.first().map(|gap| gap.from_ms), Some(1_100 * S));
        assert_eq!(coverage.counted(&HOST).hole_ms, 0);
        assert_eq!(coverage.counted(&[8; 32]).hole_ms, 60_000);
    }

    #[test]
    fn a_claim_on_the_future_covers_none_of_it() {
        let mut coverage = coverage();
        coverage.record(HOST, 1, 0, u64::MAX);
        for now in 1_001..1_060 {
            coverage.clock(now * S);
        }
        assert_eq!(coverage.silences().count(), 1);
        coverage.record(HOST, 2, u64::MAX, 0);
        coverage.clock(u64::MAX);
        coverage.record(HOST, u64::MAX, u64::MAX, u64::MAX);
    }

    #[test]
    fn time_outside_the_period_is_not_expected() {
        let mut coverage = Coverage::new(&Parameters::default(), 2_000 * S, 3_000 * S);
        coverage.clock(1_000 * S);
        coverage.expect(HOST, 1);
        coverage.clock(1_500 * S);
        coverage.clock(2_005 * S);
        assert_eq!(coverage.record(HOST, 2, 1_995 * S, 2_005 * S), []);
        assert_eq!(coverage.counted(&HOST).recorded_ms, 5_000);
        assert_eq!(stream(&mut coverage, 2_005, 3_005), []);
        coverage.clock(9_000 * S);
        coverage.clock(99_000 * S);
        assert_eq!(coverage.silences().count(), 0);
        assert_eq!(coverage.counted(&HOST).expected_ms, 1_000_000);
    }
}
