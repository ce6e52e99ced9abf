//! Whether a child that answers, or does not, is still of use.

use super::frame::{Cause, Outcome};

/// Ticks in a row without one device that answers, after which a child is killed: long enough for
/// one slow call under the driver's global lock, short against an interval of ten ticks.
const HUNG_TICKS: u32 = 3;

/// Ticks in a row in which every device fails, though calls return, after which a child is started
/// again: NVML has to be opened anew after a driver was reloaded or a device reset.
const FAILING_TICKS: u32 = 30;

/// Counts the ticks in which nothing was learned.
#[derive(Debug, Default)]
pub(super) struct Health {
    hung: u32,
    failing: u32,
}

/// What the ticks so far say of the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Some device was read, or there is none.
    Well,
    /// Nothing was learned, but not yet for long.
    Poorly,
    /// Calls do not return.
    Hung,
    /// Calls return, and fail.
    Failing(Cause),
}

impl Health {
    /// Takes in one tick; `None` when the child did not answer at all.
    pub(super) fn after(&mut self, outcomes: Option<&[Outcome]>) -> Verdict {
        let causes: Option<Vec<Cause>> = outcomes.map(|outcomes| {
            let missing = |outcome: &Outcome| match outcome {
                Outcome::Missing(cause) => Some(*cause),
                Outcome::Read(_) => None,
            };
            outcomes.iter().filter_map(missing).collect()
        });
        let learned = match (outcomes, &causes) {
            (Some(outcomes), Some(causes)) => outcomes.is_empty() || causes.len() < outcomes.len(),
            _ => false,
        };
        if learned {
            *self = Self::default();
            return Verdict::Well;
        }
        let causes = causes.unwrap_or_default();
        self.failing += 1;
        self.hung = if causes.iter().all(|cause| *cause == Cause::Hung) {
            self.hung + 1
        } else {
            0
        };
        if self.hung >= HUNG_TICKS {
            Verdict::Hung
        } else if self.failing >= FAILING_TICKS {
            Verdict::Failing(causes.first().copied().unwrap_or(Cause::Hung))
        } else {
            Verdict::Poorly
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Figures;
    use super::*;

    const HUNG: Outcome = Outcome::Missing(Cause::Hung);
    const LOST: Outcome = Outcome::Missing(Cause::Lost);

    fn read() -> Outcome {
        Outcome::Read(Figures::default())
    }

    #[test]
    fn silence_and_hanging_devices_end_a_child_after_three_ticks() {
        let mut health = Health::default();
        assert_eq!(health.after(None), Verdict::Poorly);
        assert_eq!(health.after(Some(&[HUNG, HUNG])), Verdict::Poorly);
        assert_eq!(health.after(None), Verdict::Hung);
    }

    #[test]
    fn one_device_that_answers_keeps_the_child() {
        let mut health = Health::default();
        for _ in 0..100 {
            assert_eq!(health.after(Some(&[HUNG, read(), LOST])), Verdict::Well);
        }
    }

    #[test]
    fn a_tick_that_is_answered_starts_the_count_over() {
        let mut health = Health::default();
        for _ in 0..10 {
            assert_eq!(health.after(None), Verdict::Poorly);
            assert_eq!(health.after(None), Verdict::Poorly);
            assert_eq!(health.after(Some(&[read()])), Verdict::Well);
        }
    }

    #[test]
    fn a_host_whose_every_device_is_lost_opens_nvml_anew_after_thirty_ticks() {
        let mut health = Health::default();
        for _ in 1..FAILING_TICKS {
            assert_eq!(health.after(Some(&[LOST, HUNG])), Verdict::Poorly);
        }
        let verdict = health.after(Some(&[LOST, HUNG]));
        assert_eq!(verdict, Verdict::Failing(Cause::Lost));
    }

    #[test]
    fn a_host_without_devices_is_well() {
        assert_eq!(Health::default().after(Some(&[])), Verdict::Well);
    }
}
