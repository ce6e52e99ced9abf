//! Who held a device until just now.
//!
//! The driver tells of work that is over: on an H100 (driver 580) utilization stays above zero for
//! a third of a second after a job was killed, when its process is no longer listed. One tick in
//! three at 1 Hz falls into it, and pipe activity since the last tick is told by every one. That
//! work is nobody's unless those who are gone did it.

use super::holding::Holding;

/// How long work is put down to those who are gone. The driver's own window is at most a second
/// (`nvmlUtilization_t`), and what a sample tells beyond it began after they left.
const WINDOW_MS: u64 = 1_000;

/// The last holders that were listed, and for how long they have been gone.
#[derive(Debug, Default)]
pub(super) struct Lately {
    holding: Option<Holding>,
    gone_ms: u64,
}

impl Lately {
    /// Takes what was listed at the end of a span; gives who did the work in it, when nobody is
    /// listed, there was some, and it began within [`WINDOW_MS`] of the last holders.
    pub(super) fn see(&mut self, span_ms: u64, listed: &Holding, active: bool) -> Option<Holding> {
        match listed {
            Holding::Known(list) if list.is_empty() => {
                let late = self.gone_ms >= WINDOW_MS;
                self.gone_ms = self.gone_ms.saturating_add(span_ms);
                self.holding.clone().filter(|_| active && !late)
            }
            Holding::Known(_) => {
                self.gone_ms = 0;
                if self.holding.as_ref() != Some(listed) {
                    self.holding = Some(listed.clone());
                }
                None
            }
            // Anybody may have come since.
            Holding::Unknown => {
                *self = Self::default();
                None
            }
        }
    }
}
