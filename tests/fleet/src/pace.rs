//! When each host's records are due.

use std::time::Duration;

use crate::random::Random;

/// The schedule of one host: every `period` from a random phase on, until the window ends.
///
/// Open loop: what is late is sent as soon as it can be, and is not taken off the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    phase: Duration,
    period: Duration,
    count: u32,
}

impl Pace {
    /// Spreads `rate` records a second over `hosts` for `window`; `None` when any of them is zero.
    pub fn new(hosts: u32, rate: f64, window: Duration, random: &mut Random) -> Option<Self> {
        let period = Duration::try_from_secs_f64(f64::from(hosts) / rate).ok()?;
        if hosts == 0 || period.is_zero() || window.is_zero() {
            return None;
        }
        let micros = u64::try_from(period.as_micros()).ok()?;
        let phase = Duration::from_micros(random.within(0, micros.saturating_sub(1)));
        let room = window.saturating_sub(phase).as_nanos();
        let count = u32::try_from(room.div_ceil(period.as_nanos())).ok()?;
        Some(Self {
            phase,
            period,
            count,
        })
    }

    /// How long a host waits between two records.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// The schedule of one record at the same phase, before the window.
    pub fn opening(&self) -> Self {
        Self { count: 1, ..*self }
    }

    /// How many records are due in the window.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// When record `index` is due, from the begin of the window; `None` past the last.
    pub fn due(&self, index: u32) -> Option<Duration> {
        (index < self.count).then(|| self.phase + self.period * index)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    #[test]
    fn a_fleet_sends_what_was_asked_and_all_of_it_within_the_window() {
        let mut random = Random::new(1, 1);
        let paces: Vec<Pace> = (0..1_000)
            .map(|_| Pace::new(1_000, 250.0, WINDOW, &mut random).unwrap())
            .collect();
        let total: u32 = paces.iter().map(Pace::count).sum();
        assert!((7_300..=7_700).contains(&total), "{total}");
        for pace in &paces {
            assert!(pace.due(pace.count() - 1).unwrap() < WINDOW);
            assert_eq!(pace.due(pace.count()), None);
        }
        let phases: std::collections::BTreeSet<_> = paces.iter().map(|p| p.phase).collect();
        assert!(phases.len() > 900, "hosts do not send in step");
    }

    #[test]
    fn a_rate_that_cannot_be_is_no_pace() {
        let mut random = Random::new(1, 1);
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Pace::new(10, rate, WINDOW, &mut random), None, "{rate}");
        }
        assert_eq!(Pace::new(0, 1.0, WINDOW, &mut random), None);
    }
}
