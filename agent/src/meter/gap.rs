//! A long span of which nothing is known, said in pieces.

use std::sync::Arc;

use affiant_proto::{usage::MAX_INTERVAL_MS, v1};

use super::{Interval, Planned};
use crate::sample::Instant;

/// The pieces of a gap, each at most [`MAX_INTERVAL_MS`] long; made one at a time, for a host
/// that was off for years has many.
#[derive(Debug)]
pub struct Gap {
    pub(super) start: Instant,
    pub(super) end: Instant,
    pub(super) next_boot_ms: u64,
    pub(super) reason: v1::Reason,
    pub(super) planned: Option<Planned>,
    pub(super) devices: u32,
    pub(super) workloads: Arc<[Arc<v1::Workload>]>,
    pub(super) state_workloads: bool,
}

impl Gap {
    /// The instant at `boot_ms`, its wall time on the line between the two ends.
    fn instant(&self, boot_ms: u64) -> Instant {
        if boot_ms == self.end.boot_ms {
            return self.end;
        }
        let gone = u128::from(boot_ms - self.start.boot_ms);
        let length = u128::from(self.end.boot_ms - self.start.boot_ms).max(1);
        let wall = u128::from(self.end.wall_ms.saturating_sub(self.start.wall_ms));
        let since = u64::try_from(wall * gone / length).unwrap_or(0);
        Instant {
            boot_ms,
            wall_ms: self.start.wall_ms.saturating_add(since),
            slept_ms: self.start.slept_ms,
        }
    }
}

impl Iterator for Gap {
    type Item = Interval;

    fn next(&mut self) -> Option<Interval> {
        let from = self.next_boot_ms;
        let left = self.end.boot_ms.checked_sub(from).filter(|ms| *ms > 0)?;
        let (reason, until) = Planned::at(self.planned, from, self.reason);
        let length = left.min(MAX_INTERVAL_MS).min(until - from);
        let (start, end) = (self.instant(from), self.instant(from + length));
        self.next_boot_ms = end.boot_ms;
        let line = |device| v1::UsageLine {
            device,
            kind: v1::LineKind::NotObserved.into(),
            reason: reason.into(),
            time_ms: length,
            ..Default::default()
        };
        let lines = (0..self.devices).map(line).collect();
        let state = std::mem::take(&mut self.state_workloads);
        let workloads = Arc::clone(&self.workloads);
        Some(Interval::new(
            start,
            end,
            self.devices,
            lines,
            workloads,
            state,
        ))
    }
}
