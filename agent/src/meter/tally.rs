//! The sums of one usage line while its interval is open.

use affiant_proto::v1::{self, LineKind};

/// What tells the lines of one device apart, in the order in which they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    kind: i32,
    pub(super) workload: Option<u32>,
    reason: i32,
}

impl Key {
    pub(super) fn attributed(workload: u32) -> Self {
        Self {
            workload: Some(workload),
            ..Self::of(LineKind::Attributed)
        }
    }

    pub(super) fn idle() -> Self {
        Self::of(LineKind::Idle)
    }

    pub(super) fn unattributed() -> Self {
        Self::of(LineKind::Unattributed)
    }

    /// A reason that is not given would be a line that nobody admits: it becomes a driver error.
    pub(super) fn not_observed(reason: v1::Reason) -> Self {
        let reason = match reason {
            v1::Reason::Unspecified => v1::Reason::DriverError,
            reason => reason,
        };
        Self {
            reason: reason.into(),
            ..Self::of(LineKind::NotObserved)
        }
    }

    fn of(kind: LineKind) -> Self {
        Self {
            kind: kind.into(),
            workload: None,
            reason: v1::Reason::Unspecified.into(),
        }
    }

    pub(super) fn kind(self) -> LineKind {
        LineKind::try_from(self.kind).unwrap_or_default()
    }

    pub(super) fn observed(self) -> bool {
        self.kind() != LineKind::NotObserved
    }
}

/// A sum that is missing as soon as one of its parts is: a part unknown is not a part of zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum(Option<u64>);

impl Default for Sum {
    fn default() -> Self {
        Self(Some(0))
    }
}

impl Sum {
    pub(super) fn add(&mut self, part: Option<u64>) {
        self.0 = self
            .0
            .zip(part)
            .and_then(|(sum, part)| sum.checked_add(part));
    }

    pub(super) fn value(self) -> Option<u64> {
        self.0
    }
}

/// The sums of one line.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) time_ms: u64,
    pub(super) allocated_ms: u64,
    /// Percent × milliseconds, divided once at the end so that nothing is lost by rounding.
    pub(super) busy: Sum,
    pub(super) energy_mj: Sum,
    pub(super) memory_peak: Option<u64>,
    /// Thousandths × milliseconds.
    pub(super) sm: Sum,
    /// Thousandths × milliseconds.
    pub(super) tensor: Sum,
    pub(super) samples: u32,
    pub(super) missing: u32,
}

impl Tally {
    /// Writes the line as it is signed.
    pub(super) fn line(&self, device: u32, key: Key) -> v1::UsageLine {
        let seen = key.observed();
        let weighted = |sum: Sum| -> Option<u32> {
            let mean = sum.value()?.checked_div(self.time_ms)?;
            u32::try_from(mean).ok().filter(|_| seen)
        };
        v1::UsageLine {
            device,
            kind: key.kind,
            workload: key.workload,
            reason: key.reason,
            time_ms: self.time_ms,
            allocated_ms: key.workload.map(|_| self.allocated_ms),
            busy_ms: self.busy.value().map(|sum| sum / 100).filter(|_| seen),
            energy_mj: self.energy_mj.value(),
            memory_peak_bytes: self.memory_peak.filter(|_| seen),
            sm_permille: weighted(self.sm),
            tensor_permille: weighted(self.tensor),
            samples: self.samples,
            missing: self.missing,
        }
    }
}
