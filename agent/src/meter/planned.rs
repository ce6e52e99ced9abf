//! A span in which nobody looked, as was planned.

use affiant_proto::v1;

/// A planned pause on CLOCK_BOOTTIME, milliseconds: what the agent did not see in it has its
/// reason, whether the agent ran or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Why.
    pub reason: v1::Reason,
    /// Its beginning.
    pub from_ms: u64,
    /// Its end.
    pub to_ms: u64,
}

impl Planned {
    /// The reason for what was not observed at `at_ms`, else `reason`, and until when that holds.
    pub(super) fn at(plan: Option<Self>, at_ms: u64, reason: v1::Reason) -> (v1::Reason, u64) {
        match plan {
            Some(plan) if at_ms < plan.from_ms => (reason, plan.from_ms),
            Some(plan) if at_ms < plan.to_ms => (plan.reason, plan.to_ms),
            Some(_) | None => (reason, u64::MAX),
        }
    }
}
