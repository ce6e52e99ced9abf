//! One device in one open interval: what each span of its time was.
//!
//! | holders | utilization | the span is |
//! |---|---|---|
//! | none | 0 | idle |
//! | none, but some a second ago | above 0 | attributed to those, whose last work the driver still tells |
//! | none | above 0 | unattributed: somebody computes, and it is not told who |
//! | none | not told | not observed, driver error: nothing says that it was idle |
//! | not known | any | unattributed |
//! | some | any | attributed, shared among their workloads; the share of a holder that could not be resolved is unattributed |
//!
//! The share is by SM time where every holder tells it and one is above zero, else equal per
//! workload. Shares of SM time are as old as the process list that told them.
//!
//! The counter of energy may tell more rarely than the other figures. What it rose by is shared
//! among the lines by their time and the power in it, or where a power is missing by time alone.

use std::collections::BTreeMap;

use affiant_proto::v1;

use super::{
    holding::Holding,
    lately::Lately,
    share::split,
    table::WorkloadTable,
    tally::{Key, Sum, Tally},
};
use crate::sample::Reading;

/// Most workloads that one device's lines tell apart in one interval; time of more is
/// unattributed. 48 is what MPS lets share one GPU; with idle, unattributed and the 11 reasons
/// of not-observed lines these are 61 of the 64 lines that a device has in a record.
pub const MAX_WORKLOADS_PER_DEVICE: usize = 48;

/// Most millijoules that a device can use in a millisecond: 10 kW, about seven times the dearest
/// board of 2026 (1.4 kW). A counter that runs faster is not believed, so no sum can overflow:
/// 64 devices × 1 h × 10 kW = 2.3 × 10¹² mJ.
pub const MAX_MJ_PER_MS: u64 = 10_000;

/// The open lines of one device and the energy that they do not have yet.
#[derive(Debug, Default)]
pub(super) struct DeviceMeter {
    lines: BTreeMap<Key, Tally>,
    /// The energy counter when it last answered.
    counter: Option<u64>,
    /// Since then, by line.
    pending: BTreeMap<Key, Pending>,
    /// Who held it last.
    lately: Lately,
}

/// What a line used of the energy that is not told yet.
#[derive(Debug, Default)]
struct Pending {
    time_ms: u64,
    /// Milliwatts × milliseconds.
    work: Sum,
}

/// What one line gets of one span.
struct Part {
    key: Key,
    time_ms: u64,
    memory: Option<u64>,
}

#[derive(Default)]
struct Group {
    sm: Option<u64>,
    memory: Option<u64>,
    holders: u32,
}

impl DeviceMeter {
    /// Counts `span_ms` for which `reading` stands.
    pub(super) fn observe(
        &mut self,
        span_ms: u64,
        reading: &Reading,
        holding: &Holding,
        table: &mut WorkloadTable,
    ) {
        // A figure that cannot be is a figure that is missing.
        let utilization = reading.utilization.filter(|percent| *percent <= 100);
        let share = |value: Option<u32>| value.filter(|v| *v <= 1_000).map(u64::from);
        let (sm, tensor) = (share(reading.sm_permille), share(reading.tensor_permille));
        let active = utilization.is_some_and(|percent| percent > 0) || sm.is_some_and(|v| v > 0);
        let gone = self.lately.see(span_ms, holding, active);
        let holding = gone.as_ref().unwrap_or(holding);
        for part in self.parts(span_ms, utilization, reading.memory_used, holding, table) {
            let by_time = |value: Option<u64>| value.map(|v| v.saturating_mul(part.time_ms));
            let line = self.lines.entry(part.key).or_default();
            line.time_ms += part.time_ms;
            line.allocated_ms += span_ms;
            line.busy.add(by_time(utilization.map(u64::from)));
            line.sm.add(by_time(sm));
            line.tensor.add(by_time(tensor));
            line.memory_peak = line.memory_peak.max(part.memory);
            line.samples += u32::from(part.key.observed());
            line.missing += u32::from(utilization.is_none());
            let pending = self.pending.entry(part.key).or_default();
            pending.time_ms += part.time_ms;
            pending.work.add(by_time(reading.power_mw.map(u64::from)));
        }
        if let Some(counter) = reading.energy_mj {
            self.settle(Some(counter));
        }
    }

    /// Takes the first reading after a time that it does not stand for.
    pub(super) fn start(&mut self, reading: &Reading, holding: &Holding) {
        self.lately.see(0, holding, false);
        if let Some(counter) = reading.energy_mj {
            self.settle(Some(counter));
        }
    }

    /// Counts `span_ms` of which `due` samples should have told and did not.
    pub(super) fn lose(&mut self, span_ms: u64, reason: v1::Reason, due: u32) {
        let key = Key::not_observed(reason);
        let line = self.lines.entry(key).or_default();
        line.time_ms += span_ms;
        line.missing = line.missing.saturating_add(due);
        let pending = self.pending.entry(key).or_default();
        pending.time_ms += span_ms;
        pending.work.add(None);
        self.lately = Lately::default();
    }

    /// Ends the interval. Lines whose energy is still open are sealed without: what the counter
    /// says later cannot be shared with a record that is signed.
    pub(super) fn close(&mut self) -> BTreeMap<Key, Tally> {
        if !self.pending.is_empty() {
            self.settle(None);
        }
        std::mem::take(&mut self.lines)
    }

    /// Takes note that time passed which no line of this device will have.
    pub(super) fn forget_energy(&mut self) {
        self.counter = None;
    }

    /// Shares what the counter rose since it last answered among the lines of that time. One
    /// that fell was set back by a new load of the driver: missing, for the rest is unknown.
    fn settle(&mut self, counter: Option<u64>) {
        let elapsed: u64 = self.pending.values().map(|pending| pending.time_ms).sum();
        let rise = counter
            .zip(self.counter)
            .and_then(|(now, before)| now.checked_sub(before))
            .filter(|rise| *rise <= elapsed.saturating_mul(MAX_MJ_PER_MS));
        let work: Option<Vec<u64>> = self.pending.values().map(|p| p.work.value()).collect();
        let time = || self.pending.values().map(|p| p.time_ms).collect();
        let weights = work
            .filter(|w| w.iter().any(|w| *w > 0))
            .unwrap_or_else(time);
        let shares = rise.map(|rise| split(rise, &weights));
        for (place, key) in self.pending.keys().enumerate() {
            let share = shares.as_ref().and_then(|s| s.get(place).copied());
            self.lines.entry(*key).or_default().energy_mj.add(share);
        }
        self.pending.clear();
        self.counter = counter;
    }

    fn parts(
        &self,
        span_ms: u64,
        utilization: Option<u8>,
        memory_used: Option<u64>,
        holding: &Holding,
        table: &mut WorkloadTable,
    ) -> Vec<Part> {
        let whole = |key| {
            vec![Part {
                key,
                time_ms: span_ms,
                memory: memory_used,
            }]
        };
        let holders = match (holding, utilization) {
            (Holding::Unknown, _) => return whole(Key::unattributed()),
            (Holding::Known(list), Some(0)) if list.is_empty() => return whole(Key::idle()),
            (Holding::Known(list), Some(_)) if list.is_empty() => {
                return whole(Key::unattributed());
            }
            (Holding::Known(list), None) if list.is_empty() => {
                return whole(Key::not_observed(v1::Reason::DriverError));
            }
            (Holding::Known(list), _) => list,
        };
        let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
        let mut room = MAX_WORKLOADS_PER_DEVICE.saturating_sub(self.workloads());
        for holder in holders {
            let key = holder
                .workload
                .as_ref()
                .and_then(|workload| table.intern(workload))
                .map_or(Key::unattributed(), Key::attributed);
            let new = key.workload.is_some()
                && !groups.contains_key(&key)
                && !self.lines.contains_key(&key);
            let key = if new && room == 0 {
                Key::unattributed()
            } else {
                room -= usize::from(new);
                key
            };
            groups
                .entry(key)
                .or_default()
                .add(holder.sm_percent.map(u64::from), holder.memory);
        }
        let told: Option<Vec<u64>> = groups.values().map(|group| group.sm).collect();
        let weights = told.unwrap_or_else(|| vec![0; groups.len()]);
        let shares = split(span_ms, &weights);
        groups
            .into_iter()
            .zip(shares)
            .map(|((key, group), time_ms)| Part {
                key,
                time_ms,
                memory: group.memory,
            })
            .collect()
    }

    fn workloads(&self) -> usize {
        self.lines.keys().filter(|k| k.workload.is_some()).count()
    }
}

impl Group {
    /// Adds one holder; a figure that one of them does not tell is missing for the group.
    fn add(&mut self, sm: Option<u64>, memory: Option<u64>) {
        let first = self.holders == 0;
        self.holders += 1;
        let sum = |so_far: Option<u64>, part: Option<u64>| {
            if first {
                part
            } else {
                so_far.zip(part).and_then(|(a, b)| a.checked_add(b))
            }
        };
        self.sm = sum(self.sm, sm);
        self.memory = sum(self.memory, memory);
    }
}
