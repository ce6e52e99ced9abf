//! When the list of a device's processes is worth reading.
//!
//! The list takes about 4.5 ms under the driver's global lock, a thousand times the other calls
//! (facts of a MangoHud measurement on a desktop GPU): it is read when something changed.

/// Ticks after which the list is read even if nothing changed: a minute at 1 Hz.
const RARELY: u32 = 60;

/// Ticks that lie between two reads at least, unless a sample was lost: 4.5 ms in 5 s is 0.09 % of
/// the time, under the 0.1 % that a device may be held up by its reader.
const APART: u32 = 5;

/// Bytes by which memory must have changed since the last read: a context takes hundreds of MiB.
const CHANGE: u64 = 1 << 20;

/// Remembers what the last list was read under.
#[derive(Debug, Default)]
pub(super) struct Attention {
    read: Option<Seen>,
    since: u32,
    changed: bool,
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
    /// have reached it. A change that comes too soon after a read is remembered, not forgotten.
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
        let due = match self.read {
            None => true,
            Some(read) => {
                self.changed |= differs(read, seen);
                fresh || self.since >= RARELY || (self.changed && self.since >= APART)
            }
        };
        if due {
            *self = Self {
                read: Some(seen),
                since: 0,
                changed: false,
            };
        }
        due
    }

    /// Takes the last read back: it failed, and is due again as soon as reads may follow.
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
    fn a_flickering_load_is_listed_every_fifth_tick_and_its_last_change_is_not_forgotten() {
        let mut attention = Attention::default();
        let reads: Vec<u8> = (0..20)
            .filter(|tick| attention.due(Some(tick % 2), Some(GIB), false))
            .collect();
        assert_eq!(reads, [0, 5, 10, 15]);
        let mut attention = Attention::default();
        assert!(attention.due(Some(0), Some(0), false));
        assert!(!attention.due(Some(0), Some(GIB), false));
        let late = (0..4).filter(|_| attention.due(Some(0), Some(GIB), false));
        assert_eq!(late.count(), 1);
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
