//! Time: one true time for the run, and the wrong clocks of its machines.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use affiant_agent::{clock, seal::Now};
use affiant_proto::v1;
use affiant_verifier::clock::Clock;

/// When every run begins, milliseconds since 1970: in March 2030.
pub const EPOCH_MS: u64 = 1_900_000_000_000;

/// How long the run has lasted, milliseconds; asked by a machine of the run.
pub fn elapsed_ms() -> u64 {
    turmoil::sim_elapsed().map_or(0, millis)
}

/// A duration in milliseconds.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The clocks of one machine.
#[derive(Debug, Default)]
pub struct Clocks {
    /// How far the wall clock is off, milliseconds.
    wrong_ms: AtomicI64,
    /// When the machine was booted, milliseconds of the run.
    booted_ms: AtomicU64,
}

impl Clocks {
    /// Sets the wall clock off by `wrong_ms`.
    pub fn set_wrong(&self, wrong_ms: i64) {
        self.wrong_ms.store(wrong_ms, Relaxed);
    }

    /// Begins the boot clock anew.
    pub fn boot(&self, at_ms: u64) {
        self.booted_ms.store(at_ms, Relaxed);
    }

    /// What the wall clock shows.
    pub fn wall_ms(&self) -> u64 {
        EPOCH_MS
            .saturating_add(elapsed_ms())
            .saturating_add_signed(self.wrong_ms.load(Relaxed))
    }

    /// What the clock since boot shows; a machine is never read in its first second.
    pub fn boot_ms(&self) -> u64 {
        let booted = self.booted_ms.load(Relaxed);
        elapsed_ms().saturating_sub(booted).saturating_add(1_000)
    }

    /// As an agent reads them.
    pub fn for_agent(self: &Arc<Self>) -> clock::Clock {
        let clocks = Arc::clone(self);
        clock::Clock::of(move || {
            let kept = clocks.wrong_ms.load(Relaxed) == 0;
            let state = if kept {
                v1::ClockState::Synchronized
            } else {
                v1::ClockState::Unsynchronized
            };
            Now {
                header: v1::Time {
                    unix_ms: clocks.wall_ms(),
                    clock: state.into(),
                    max_error_ms: kept.then_some(1),
                },
                boot_ms: clocks.boot_ms(),
            }
        })
    }

    /// As the verifier reads them.
    pub fn for_verifier(self: &Arc<Self>) -> Clock {
        let clocks = Arc::clone(self);
        Clock::of(move || clocks.wall_ms())
    }
}
