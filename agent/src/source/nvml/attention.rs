//! When the list of a device's processes is worth reading.
//!
//! What it costs differs a thousandfold: 0.3 ms on an H100 (driver 580, with one process), 4.5 ms
//! on a desktop GPU (measured by MangoHud), under the driver's global lock. So the last reads say
//! what the next one costs, and time is saved up for it.

use std::time::Duration;

/// Ticks after which the list is read even if nothing changed: a minute at 1 Hz.
const RARELY: u32 = 60;

/// A device's reader may hold it up for 0.1 % of the time. Lists get a fifth of that, a
/// five-thousandth of each tick: 0.2 ms at 1 Hz, so that a list of 0.3 ms is read every other tick.
const SHARE: u32 = 5_000;

/// Most reads that are saved up, so that a job that ends and its successors are each seen at once,
/// while a load that flickers for hours is not read more often than it pays for.
const SAVINGS: u32 = 6;

/// What a read costs at most: one that hangs for longer is not paid off for an hour.
const DEAREST: Duration = Duration::from_millis(5);

/// Bytes by which memory must have changed since the last read: a context takes hundreds of MiB.
const CHANGE: u64 = 1 << 20;

/// Remembers what the last list was read under, and what it cost.
#[derive(Debug)]
pub(super) struct Attention {
    read: Option<Seen>,
    since: u32,
    changed: bool,
    /// What each tick adds to `saved`.
    income: Duration,
    saved: Duration,
    /// How long the last read took, and the price that follows from it and the one before.
    took: Duration,
    price: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    busy: Option<bool>,
    memory: Option<u64>,
}

impl Attention {
    /// Begins with a full purse, and with the dearest list until one was read.
    pub(super) fn new(period: Duration) -> Self {
        Self {
            read: None,
            since: 0,
            changed: false,
            income: period / SHARE,
            saved: DEAREST * SAVINGS,
            took: DEAREST,
            price: DEAREST,
        }
    }

    /// Says whether the list is due on this tick, and takes it as read if so.
    ///
    /// It is when something changed and can be paid for, when nothing more can be saved, and after
    /// [`RARELY`] ticks. `fresh` is set when the reader of the samples lost one, so that the last
    /// list may never have reached it. A change that comes when the purse is empty is remembered,
    /// not forgotten.
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
        let most = self.price * SAVINGS;
        self.saved = (self.saved + self.income).min(most);
        let due = match self.read {
            None => true,
            Some(read) => {
                self.changed |= differs(read, seen);
                let affordable = self.saved >= self.price;
                fresh || self.since >= RARELY || self.saved >= most || (self.changed && affordable)
            }
        };
        if due {
            self.read = Some(seen);
            self.since = 0;
            self.changed = false;
            self.saved = self.saved.saturating_sub(self.price);
        }
        due
    }

    /// Takes note of how long the read took. The lesser of the last two is the price: one that
    /// waited for somebody else's lock says nothing of the list.
    pub(super) fn took(&mut self, time: Duration) {
        self.price = time.min(self.took).clamp(Duration::from_micros(1), DEAREST);
        self.took = time;
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

    /// As on a desktop GPU.
    const DEAR: Duration = Duration::from_micros(4_500);

    /// As on an H100.
    const CHEAP: Duration = Duration::from_micros(310);

    /// A device at 1 Hz on which each read of the list takes so long.
    struct Device {
        attention: Attention,
        cost: Duration,
    }

    impl Device {
        fn new(cost: Duration) -> Self {
            let attention = Attention::new(Duration::from_secs(1));
            Self { attention, cost }
        }

        fn is_listed(&mut self, utilization: u8, memory: u64) -> bool {
            let due = self.attention.due(Some(utilization), Some(memory), false);
            if due {
                self.attention.took(self.cost);
            }
            due
        }

        /// How often it is listed in an hour of this load.
        fn an_hour(&mut self, load: impl Fn(u32) -> u8) -> usize {
            (0..3_600)
                .filter(|tick| self.is_listed(load(*tick), GIB))
                .count()
        }
    }

    #[test]
    fn lists_take_a_fiftieth_of_a_percent_of_the_time_dear_or_cheap_steady_or_flickering() {
        let income = Duration::from_secs(3_600) / SHARE;
        for (cost, often) in [(DEAR, 150..=180), (CHEAP, 1_800..=2_400)] {
            let steady = |_| 97;
            let flickering = |tick| u8::from(tick % 2 == 0);
            for load in [steady, flickering] {
                let listed = Device::new(cost).an_hour(load);
                assert!(often.contains(&listed), "{listed} lists of {cost:?}");
                let spent = cost * u32::try_from(listed).unwrap_or(u32::MAX);
                assert!(spent <= income + DEAREST * (SAVINGS + 1), "{spent:?}");
            }
        }
    }

    #[test]
    fn a_process_that_comes_is_listed_on_the_next_tick() {
        for cost in [DEAR, CHEAP] {
            let mut device = Device::new(cost);
            for _ in 0..200 {
                device.is_listed(0, 0);
            }
            assert!(device.is_listed(0, GIB));
        }
    }

    #[test]
    fn jobs_that_follow_each_other_within_seconds_are_each_listed_at_once() {
        let mut device = Device::new(DEAR);
        for _ in 0..200 {
            device.is_listed(0, 0);
        }
        for job in 1..=4 {
            assert!(device.is_listed(90, job * GIB), "job {job}");
        }
    }

    #[test]
    fn where_a_list_is_cheap_a_job_that_takes_the_place_of_one_alike_is_listed_within_two_ticks() {
        let mut device = Device::new(CHEAP);
        for _ in 0..200 {
            device.is_listed(99, GIB);
        }
        let alike = (0..2).filter(|_| device.is_listed(99, GIB));
        assert!(alike.count() >= 1);
    }

    #[test]
    fn a_change_that_comes_when_the_purse_is_empty_is_not_forgotten() {
        let mut device = Device::new(DEAR);
        let mut memory = 0;
        while device.is_listed(50, memory) {
            memory += GIB;
        }
        let ticks = DEAR.as_micros() / 200 + 1;
        let later = (0..ticks).filter(|_| device.is_listed(50, memory));
        assert_eq!(later.count(), 1);
    }

    #[test]
    fn a_read_that_waited_for_a_lock_does_not_make_the_next_ones_rare() {
        let mut device = Device::new(CHEAP);
        device.is_listed(0, 0);
        device.is_listed(0, GIB);
        device.attention.took(Duration::from_secs(2));
        let listed = (0..10).filter(|_| device.is_listed(50, GIB)).count();
        assert!(listed >= 5, "{listed}");
    }

    #[test]
    fn a_lost_sample_makes_the_list_due_at_once() {
        let mut attention = Attention::new(Duration::from_secs(1));
        attention.due(Some(5), Some(GIB), false);
        assert!(attention.due(Some(5), Some(GIB), true));
    }

    #[test]
    fn a_refused_list_is_asked_for_again() {
        let mut device = Device::new(DEAR);
        for _ in 0..200 {
            device.is_listed(5, GIB);
        }
        device.attention.failed();
        assert!(device.is_listed(5, GIB));
    }
}
