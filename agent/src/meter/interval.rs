//! What the meter gives: one interval of one host.

use std::sync::Arc;

use affiant_proto::v1::{self, LineKind};

use crate::sample::Instant;

/// One interval, whole: its lines sum to its totals, and these to its length.
///
/// Made by the meter only.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    start: Instant,
    end: Instant,
    lines: Vec<v1::UsageLine>,
    totals: v1::Totals,
    workloads: Arc<[Arc<v1::Workload>]>,
    workloads_changed: bool,
}

impl Interval {
    pub(super) fn new(
        start: Instant,
        end: Instant,
        devices: u32,
        lines: Vec<v1::UsageLine>,
        workloads: Arc<[Arc<v1::Workload>]>,
        workloads_changed: bool,
    ) -> Self {
        let mut totals = vec![v1::DeviceTotals::default(); devices as usize];
        for line in &lines {
            let Some(total) = totals.get_mut(line.device as usize) else {
                continue;
            };
            match LineKind::try_from(line.kind).unwrap_or_default() {
                LineKind::Attributed => total.attributed_ms += line.time_ms,
                LineKind::Idle => total.idle_ms += line.time_ms,
                LineKind::Unattributed => total.unattributed_ms += line.time_ms,
                LineKind::NotObserved | LineKind::Unspecified => {
                    total.not_observed_ms += line.time_ms;
                }
            }
            if let Some(energy) = line.energy_mj {
                total.energy_mj = Some(total.energy_mj.unwrap_or(0).saturating_add(energy));
            }
        }
        // The wall clock may have been set back meanwhile; an interval never runs backwards.
        let end = Instant {
            wall_ms: end.wall_ms.max(start.wall_ms),
            ..end
        };
        Self {
            start,
            end,
            lines,
            totals: v1::Totals { devices: totals },
            workloads,
            workloads_changed,
        }
    }

    /// Where it starts: within a boot where the one before ended.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// Where it ends.
    pub fn end(&self) -> Instant {
        self.end
    }

    /// Its length in milliseconds, at least 1.
    pub fn length_ms(&self) -> u64 {
        self.end.boot_ms - self.start.boot_ms
    }

    /// Its lines, ordered by (device, kind, workload, reason).
    pub fn lines(&self) -> &[v1::UsageLine] {
        &self.lines
    }

    /// Leaf 0: per device the sums of the lines; energy is the sum of those lines that have it,
    /// absent when none has.
    pub fn totals(&self) -> &v1::Totals {
        &self.totals
    }

    /// The workloads that its lines point into.
    pub fn workloads(&self) -> &Arc<[Arc<v1::Workload>]> {
        &self.workloads
    }

    /// True when [`Interval::workloads`] must be stated before this interval: it is the first of
    /// the run, or the entries are not those of the interval before.
    pub fn workloads_changed(&self) -> bool {
        self.workloads_changed
    }
}
