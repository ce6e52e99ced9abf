//! When the list of a device's processes is worth reading.
//!
//! The list takes about 4.5 ms under the driver's global lock, a thousand times the other calls
//! (facts of a MangoHud measurement on a desktop GPU): it is read when something changed.

/// Ticks after which the list is read even if nothing changed: a minute at 1 Hz.
const RARELY: u32 = 60;

/// Ticks that pay for one read: 4.5 ms in 5 s is 0.09 % of the time, under the 0.1 % that a device
/// may be held up by its reader.
const PRICE: u32 = 5;

/// Most ticks that are saved up: six reads, so that a job that ends and its successors are each
/// seen at once, while a load that flickers for hours is not read more often than it pays for.
const SAVINGS: u32 = 6 * PRICE;

/// Bytes by which memory must have changed since the last read: a context takes hundreds of MiB.
const CHANGE: u64 = 1 << 20;

/// Remembers what the last list was read under.
#[derive(Debug)]
pub(super) struct Attention {
    read: Option<Seen>,
    since: u32,
    changed: bool,
    saved: u32,
}

impl Default for Attention {
    fn default() -> Self {
        Self {
            read: None,
            since: 0,
            changed: false,
            saved: SAVINGS,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    busy: Option<bool>,
    memory: Option<u64>,
}

impl Attention {
    /// Says whether the list is due on this tick, and takes it as read if so.
    ///
    /// `fresh` is set when the reader of the samples lost one, so that the last list may never
    /// have reached it. A change that comes when reads are used up is remembered, not forgotten.
    pub(super) fn due(
        &mut self,
        utilization: Option<u8>,
        memory: Option<u64>,
        fresh: bool,
    ) -> bool {
        let seen = Seen {
            busy: utilization.map(|percent| percent > 0),
            memory,
        };
        self.since = self.since.saturating_add(1);
        self.saved = (self.saved + 1).min(SAVINGS);
        let due = match self.read {
            None => true,
            Some(read) => {
                self.changed |= differs(read, seen);
                fresh || self.since >= RARELY || (self.changed && self.saved >= PRICE)
            }
        };
        if due {
            *self = Self {
                read: Some(seen),
                since: 0,
                changed: false,
                saved: self.saved.saturating_sub(PRICE),
            };
        }
        due
    }

    /// Takes the last read back: it failed, and is due again.
    pub(super) fn failed(&mut self) {
        self.changed = true;
    }
}

fn differs(read: Seen, seen: Seen) -> bool {
    let memory = match (read.memory, seen.memory) {
        (Some(then), Some(now)) => then.abs_diff(now) > CHANGE,
        (then, now) => then != now,
    };
    memory || read.busy != seen.busy
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_steady_device_is_listed_once_a_minute() {
        let mut attention = Attention::default();
        let reads = (0..180)
            .filter(|_| attention.due(Some(97), Some(GIB), false))
            .count();
        assert_eq!(reads, 3);
    }

    #[test]
    fn a_process_that_comes_is_listed_on_the_next_tick() {
        let mut attention = Attention::default();
        for _ in 0..10 {
            attention.due(Some(0), Some(0), false);
        }
        assert!(attention.due(Some(0), Some(GIB), false));
    }

    #[test]
    fn jobs_that_follow_each_other_within_seconds_are_each_listed_at_once() {
        let mut attention = Attention::default();
        attention.due(Some(0), Some(0), false);
        for job in 1..=4 {
            assert!(attention.due(Some(90), Some(job * GIB), false), "job {job}");
        }
    }

    #[test]
    fn a_load_that_flickers_for_hours_is_listed_every_fifth_tick() {
        let mut attention = Attention::default();
        let reads = (0..7200_u32)
            .filter(|tick| attention.due(Some(u8::from(tick % 2 == 0)), Some(GIB), false))
            .count();
        assert!((1400..=1450).contains(&reads), "{reads}");
    }

    #[test]
    fn a_change_that_comes_when_reads_are_used_up_is_not_forgotten() {
        let mut attention = Attention::default();
        let mut memory = 0;
        while attention.due(Some(50), Some(memory), false) {
            memory += GIB;
        }
        let later = (0..PRICE).filter(|_| attention.due(Some(50), Some(memory), false));
        assert_eq!(later.count(), 1);
    }

    #[test]
    fn a_lost_sample_makes_the_list_due_at_once() {
        let mut attention = Attention::default();
        attention.due(Some(5), Some(GIB), false);
        assert!(attention.due(Some(5), Some(GIB), true));
    }

    #[test]
    fn a_refused_list_is_asked_for_again() {
        let mut attention = Attention::default();
        attention.due(Some(5), Some(GIB), false);
        attention.failed();
        let reads = (0..6)
            .filter(|_| attention.due(Some(5), Some(GIB), false))
            .count();
        assert_eq!(reads, 1);
    }
}
