//! The clocks of the host, named in one place.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use affiant_proto::v1;
use rustix::time::{ClockId, Timespec, clock_gettime};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;

use crate::{sample::Instant, seal::Now};

/// Tells the time: the host's own clocks, or any others that are given.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Now + Send + Sync>);

impl Clock {
    /// The clocks of this host.
    pub fn system() -> Self {
        Self::of(|| Now {
            header: header_time(),
            boot_ms: now().boot_ms,
        })
    }

    /// Any function that tells both clocks.
    pub fn of(now: impl Fn() -> Now + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time at which something is sealed.
    pub fn read(&self) -> Now {
        (self.0)()
    }

    /// The wall clock, milliseconds since 1970-01-01 UTC.
    pub fn wall_ms(&self) -> u64 {
        self.read().header.unix_ms
    }

    /// The wall clock as the file system tells time.
    pub fn system_time(&self) -> SystemTime {
        let since = Duration::from_millis(self.wall_ms());
        UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
    }
}

/// Certificates are judged by the same clock as everything else.
impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = Duration::from_millis(self.wall_ms());
        Some(UnixTime::since_unix_epoch(since))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.read()).finish()
    }
}

/// What the kernel says of its wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelClock {
    /// Whether something keeps it right (STA_UNSYNC is not set).
    pub synchronized: bool,
    /// Its own bound on the error, microseconds.
    pub max_error_us: u64,
}

/// Tells the instant on both clocks.
pub fn now() -> Instant {
    // In this order a thread that is held up between the two has slept less, never more.
    let boot_ms = millis(clock_gettime(ClockId::Boottime));
    let awake_ms = millis(clock_gettime(ClockId::Monotonic));
    Instant {
        boot_ms,
        wall_ms: wall_ms(),
        slept_ms: boot_ms.saturating_sub(awake_ms),
    }
}

/// Tells the wall clock, milliseconds since 1970-01-01 UTC.
pub fn wall_ms() -> u64 {
    millis(clock_gettime(ClockId::Realtime))
}

/// Tells the time as it stands in the header of a statement, with the kernel's clock state.
pub fn header_time() -> v1::Time {
    time(wall_ms(), kernel_clock())
}

fn time(unix_ms: u64, kernel: Option<KernelClock>) -> v1::Time {
    let (clock, max_error_ms) = match kernel {
        None => (v1::ClockState::Unknown, None),
        // The bound of a clock that nobody keeps is a number that nobody keeps.
        Some(kernel) if !kernel.synchronized => (v1::ClockState::Unsynchronized, None),
        Some(kernel) => {
            let millis = kernel.max_error_us.div_ceil(1_000);
            let bound = u32::try_from(millis).unwrap_or(u32::MAX);
            (v1::ClockState::Synchronized, Some(bound))
        }
    };
    v1::Time {
        unix_ms,
        clock: clock.into(),
        max_error_ms,
    }
}

fn millis(time: Timespec) -> u64 {
    // Before 1970 or before boot: as early as can be said.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000)
        .saturating_add(nanos / 1_000_000)
}

/// Asks the kernel how well its clock is kept; `None` where it may not be asked (a sandbox that
/// forbids `adjtimex`).
#[allow(unsafe_code)]
pub fn kernel_clock() -> Option<KernelClock> {
    let mut timex = std::mem::MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: the pointer is to a whole `timex`, all of whose fields may be zero; `modes` zero
    // asks and changes nothing. No safe crate of weight wraps this call.
    let (state, timex) = unsafe {
        let state = libc::adjtimex(timex.as_mut_ptr());
        (state, timex.assume_init())
    };
    if state < 0 {
        return None;
    }
    Some(KernelClock {
        synchronized: state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0,
        max_error_us: u64::try_from(timex.maxerror).ok()?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_advance_and_the_wall_clock_is_of_this_century() {
        let (first, second) = (now(), now());
        assert!(second.boot_ms >= first.boot_ms);
        assert!(first.wall_ms > 1_700_000_000_000);
    }

    #[test]
    fn an_error_bound_stands_only_beside_a_synchronized_clock() {
        let kept = |synchronized| {
            Some(KernelClock {
                synchronized,
                max_error_us: 1_001,
            })
        };
        let told = time(5, kept(true));
        assert_eq!(
            (told.clock(), told.max_error_ms),
            (v1::ClockState::Synchronized, Some(2))
        );
        let told = time(5, kept(false));
        assert_eq!(
            (told.clock(), told.max_error_ms),
            (v1::ClockState::Unsynchronized, None)
        );
        let told = time(5, None);
        assert_eq!(
            (told.clock(), told.max_error_ms),
            (v1::ClockState::Unknown, None)
        );
    }

    #[test]
    fn the_kernel_answers_or_is_not_asked() {
        let time = header_time();
        assert_ne!(time.clock(), v1::ClockState::Unspecified);
    }
}
