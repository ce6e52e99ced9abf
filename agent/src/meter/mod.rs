//! Samples → intervals: whose each millisecond of each device was.
//!
//! Pure: time comes in with the samples. For each device of each [`Interval`]
//! `attributed + idle + unattributed + not observed = the interval`, the lines sum to the totals,
//! and each interval starts where the last one ended, over restarts of the agent too.

mod device;
mod ending;
mod gap;
mod holding;
mod interval;
mod lately;
mod planned;
mod share;
mod table;
mod tally;

use std::sync::Arc;

use affiant_proto::{
    usage::{MAX_DEVICES, MAX_INTERVAL_MS},
    v1,
};

pub use device::{MAX_MJ_PER_MS, MAX_WORKLOADS_PER_DEVICE};
pub use ending::Ending;
pub use gap::Gap;
pub use holding::{Holder, Holding};
pub use interval::Interval;
pub use planned::Planned;
pub use table::{KEEP_INTERVALS, WorkloadTable};

use crate::sample::{Instant, Sample};
use device::DeviceMeter;

/// Most periods for which one sample stands. At three a tick that came late, or one that got
/// lost, leaves no hole; after more than that nobody was looking.
pub const MAX_PERIODS: u64 = 3;

/// Longest sampling period, so that [`MAX_PERIODS`] of them stay far below an interval's limit:
/// 3 × 60 s = 180 s of 3,600 s.
pub const MAX_PERIOD_MS: u64 = 60_000;

/// Why a meter cannot be made, or cannot take what it is given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadMeter {
    /// More devices than a record can hold.
    #[error("{0} devices are more than the {MAX_DEVICES} that one record can hold")]
    Devices(usize),
    /// A pace that makes no sense.
    #[error(
        "a period of {period_ms} ms and an interval of {interval_ms} ms: the period must be \
         1 to {MAX_PERIOD_MS}, the interval from the period to {MAX_INTERVAL_MS}"
    )]
    Pace {
        /// Between samples.
        period_ms: u64,
        /// Between records.
        interval_ms: u64,
    },
    /// A sample that is not of the devices in force.
    #[error(
        "sample of {sample} devices with holders of {holdings}, but {due} devices are in force"
    )]
    Mismatch {
        /// Entries of the sample.
        sample: usize,
        /// Entries of the holders.
        holdings: usize,
        /// Devices in force.
        due: usize,
    },
}

/// How often there is a sample, and how long an interval is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    period_ms: u64,
    interval_ms: u64,
}

impl Pace {
    /// Checks the two, in milliseconds: 1 ≤ period ≤ [`MAX_PERIOD_MS`],
    /// period ≤ interval ≤ [`MAX_INTERVAL_MS`].
    pub fn new(period_ms: u64, interval_ms: u64) -> Result<Self, BadMeter> {
        if !(1..=MAX_PERIOD_MS).contains(&period_ms)
            || !(period_ms..=MAX_INTERVAL_MS).contains(&interval_ms)
        {
            return Err(BadMeter::Pace {
                period_ms,
                interval_ms,
            });
        }
        Ok(Self {
            period_ms,
            interval_ms,
        })
    }
}

/// Folds samples into intervals.
#[derive(Debug)]
pub struct Meter {
    pace: Pace,
    devices: Vec<DeviceMeter>,
    table: WorkloadTable,
    workloads: Arc<[Arc<v1::Workload>]>,
    /// True once an interval has asked for the first `workloads` statement of this run.
    stated: bool,
    clock: Clock,
    planned: Option<Planned>,
    /// Most that the host is known to have slept since its boot.
    slept_ms: u64,
}

/// How far the time is accounted for.
#[derive(Clone, Copy, Debug)]
enum Clock {
    /// No sample yet and nothing to continue: the first sample is the start.
    Unset,
    /// No sample yet; all since this instant was not observed.
    Resuming(Instant),
    /// The open interval began at the first and is accounted for up to the second.
    Running(Instant, Instant),
}

impl Meter {
    /// Makes a meter for `devices` devices.
    ///
    /// `ended` is where the last interval of the same boot ended, if there was one: what lies
    /// between it and the first sample is then not observed, agent stopped.
    pub fn new(devices: usize, pace: Pace, ended: Option<Instant>) -> Result<Self, BadMeter> {
        let mut meter = Self {
            pace,
            devices: Vec::new(),
            table: WorkloadTable::default(),
            workloads: Arc::new([]),
            stated: false,
            clock: ended.map_or(Clock::Unset, Clock::Resuming),
            planned: None,
            slept_ms: 0,
        };
        meter.set_devices(devices)?;
        Ok(meter)
    }

    /// Takes note of the last planned pause: what was not observed in it has its reason.
    pub fn planned(&mut self, planned: Option<Planned>) {
        self.planned = planned;
    }

    /// Takes another number of devices, closing the open interval: its lines point into the
    /// inventory that was in force until now.
    pub fn set_devices(&mut self, devices: usize) -> Result<Option<Interval>, BadMeter> {
        if devices > MAX_DEVICES {
            return Err(BadMeter::Devices(devices));
        }
        let closed = self.finish();
        self.devices.resize_with(devices, DeviceMeter::default);
        Ok(closed)
    }

    /// Takes one sample with the holders of each device and gives the intervals that it ends:
    /// most often none, one when the interval is full, more after a gap.
    ///
    /// A sample stands for the time since the one before, up to [`MAX_PERIODS`] periods. After a
    /// longer time it stands for one period and the rest was not observed: in the planned pause
    /// as planned, else suspended when the host slept for at least half of it, else agent stopped
    /// (it was not let run). The first sample stands for no time. One that is not after the last
    /// is passed over.
    ///
    /// Take all intervals that the answer holds: each is given once.
    pub fn push(
        &mut self,
        sample: &Sample,
        holdings: &[Holding],
    ) -> Result<impl Iterator<Item = Interval> + use<>, BadMeter> {
        let due = self.devices.len();
        if sample.devices.len() != due || holdings.len() != due {
            return Err(BadMeter::Mismatch {
                sample: sample.devices.len(),
                holdings: holdings.len(),
                due,
            });
        }
        let (before, gap, after) = self.account(sample, holdings);
        Ok(before
            .into_iter()
            .chain(gap.into_iter().flatten())
            .chain(after))
    }

    /// Gives the time from which on a sample ends the open interval; `None` while there is none.
    pub fn full_at_ms(&self) -> Option<u64> {
        let start = match self.clock {
            Clock::Unset => return None,
            Clock::Resuming(ended) => ended,
            Clock::Running(start, _) => start,
        };
        // Half a period of grace: a tick that is a little early ends the interval all the same.
        let length_ms = self.pace.interval_ms - self.pace.period_ms / 2;
        Some(start.boot_ms.saturating_add(length_ms))
    }

    /// Ends the open interval where the last sample left it; `None` when it is empty.
    pub fn finish(&mut self) -> Option<Interval> {
        let Clock::Running(start, end) = self.clock else {
            return None;
        };
        self.clock = Clock::Running(end, end);
        (end.boot_ms > start.boot_ms).then(|| self.close(start, end))
    }

    fn account(
        &mut self,
        sample: &Sample,
        holdings: &[Holding],
    ) -> (Option<Interval>, Option<Gap>, Option<Interval>) {
        let at = sample.at;
        let (start, last, resuming) = match self.clock {
            Clock::Unset => (at, at, false),
            Clock::Resuming(ended) => (ended, ended, true),
            Clock::Running(start, last) => (start, last, false),
        };
        let running = matches!(self.clock, Clock::Running(..));
        let Some(span) = at.boot_ms.checked_sub(last.boot_ms) else {
            return (None, None, None);
        };
        if span == 0 && running {
            return (None, None, None);
        }
        let seen = match span {
            _ if resuming => 0,
            span if span > MAX_PERIODS * self.pace.period_ms => self.pace.period_ms,
            span => span,
        };
        let lost = span - seen;
        let slept = at.slept_ms.saturating_sub(self.slept_ms);
        self.slept_ms = self.slept_ms.max(at.slept_ms);
        let reason = if running && slept >= lost.div_ceil(2) {
            v1::Reason::Suspended
        } else {
            v1::Reason::AgentStopped
        };
        let (mut before, mut gap, mut start) = (None, None, start);
        if at.boot_ms - start.boot_ms > MAX_INTERVAL_MS {
            self.clock = Clock::Running(start, last);
            before = self.finish();
            start = Instant {
                boot_ms: last.boot_ms + lost,
                slept_ms: last.slept_ms,
                wall_ms: if lost > 0 {
                    at.wall_ms.saturating_sub(seen)
                } else {
                    last.wall_ms
                },
            };
            if lost > 0 {
                gap = Some(self.gap(last, start, reason));
            }
        } else if lost > 0 {
            self.lose(last.boot_ms, last.boot_ms + lost, reason);
        }
        self.count(seen, sample, holdings);
        self.clock = Clock::Running(start, at);
        let full = self.full_at_ms().is_some_and(|full| at.boot_ms >= full);
        let after = if full { self.finish() } else { None };
        (before, gap, after)
    }

    /// Counts a span in which there was no sample into the open interval.
    fn lose(&mut self, mut from_ms: u64, to_ms: u64, reason: v1::Reason) {
        while from_ms < to_ms {
            let (reason, until) = Planned::at(self.planned, from_ms, reason);
            let span = to_ms.min(until) - from_ms;
            let due = u32::try_from((span / self.pace.period_ms).max(1)).unwrap_or(u32::MAX);
            for device in &mut self.devices {
                device.lose(span, reason, due);
            }
            from_ms += span;
        }
    }

    fn count(&mut self, span_ms: u64, sample: &Sample, holdings: &[Holding]) {
        let devices = self.devices.iter_mut().zip(&sample.devices).zip(holdings);
        for ((device, reading), holding) in devices {
            match reading {
                Ok(reading) if span_ms > 0 => {
                    device.observe(span_ms, reading, holding, &mut self.table);
                }
                Ok(reading) => device.start(reading, holding),
                Err(reason) if span_ms > 0 => device.lose(span_ms, *reason, 1),
                Err(_) => {}
            }
        }
    }

    fn gap(&mut self, start: Instant, end: Instant, reason: v1::Reason) -> Gap {
        for device in &mut self.devices {
            device.forget_energy();
        }
        Gap {
            start,
            end,
            next_boot_ms: start.boot_ms,
            reason,
            planned: self.planned,
            devices: u32::try_from(self.devices.len()).unwrap_or(u32::MAX),
            workloads: Arc::clone(&self.workloads),
            state_workloads: !std::mem::replace(&mut self.stated, true),
        }
    }

    fn close(&mut self, start: Instant, end: Instant) -> Interval {
        let settled = self.table.settle();
        if settled.changed {
            self.workloads = self.table.snapshot();
        }
        let mut lines = Vec::new();
        for (index, device) in (0_u32..).zip(&mut self.devices) {
            for (key, tally) in device.close() {
                let mut line = tally.line(index, key);
                // A line's own entry was seen in this interval: it stays, and the order with it.
                let place = |old: u32| settled.places.get(old as usize).copied().flatten();
                line.workload = line.workload.and_then(place);
                lines.push(line);
            }
        }
        let first = !std::mem::replace(&mut self.stated, true);
        let state = first || settled.changed;
        let devices = u32::try_from(self.devices.len()).unwrap_or(u32::MAX);
        let workloads = Arc::clone(&self.workloads);
        Interval::new(start, end, devices, lines, workloads, state)
    }
}
