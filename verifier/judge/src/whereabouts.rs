//! Whereabouts: in which host a device was when, as records say that cite inventories with it.
//!
//! Time is that of the records, so that what comes late is set where it belongs: a host that sends
//! its backlog after its device was carried to another one has not doubled it. Chains of one host's
//! name are one place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::chains::ByChain;

type Chain = [u8; 32];

/// Most closed stays kept of one device: it is carried over, or its host is away, that often
/// before the oldest are forgotten. 16 × 100 bytes.
const STAYS: usize = 16;

/// Most devices followed of one chain, four sets of the most that a host can have. Of a host that
/// lists ever new ones the oldest are forgotten. 256 × 50 bytes are 13 KiB of a chain.
const DEVICES: usize = 256;

/// A device in one host, without a break.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stay {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    pub(crate) first_index: u64,
    pub(crate) last_index: u64,
    pub(crate) host: String,
    pub(crate) chain: Chain,
}

impl Stay {
    /// The time in which both are, if it is longer than `grace_ms`.
    fn overlap(&self, other: &Self, grace_ms: u64) -> Option<(u64, u64)> {
        let span = (self.from_ms.max(other.from_ms), self.to_ms.min(other.to_ms));
        (span.1.saturating_sub(span.0) > grace_ms).then_some(span)
    }

    fn grow(&mut self, record: &Sighting) {
        self.from_ms = self.from_ms.min(record.from_ms);
        self.to_ms = self.to_ms.max(record.to_ms);
        self.last_index = self.last_index.max(record.index);
    }
}

/// One record, which says that the devices of its inventory are in its host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sighting {
    pub(crate) chain: Chain,
    pub(crate) inventory: u64,
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    pub(crate) index: u64,
}

/// Two stays of one device in two hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meeting {
    pub(crate) device: String,
    pub(crate) earlier: Stay,
    pub(crate) later: Stay,
    /// The time in which the device is in both; `None` when it moved.
    pub(crate) both_ms: Option<(u64, u64)>,
}

impl Meeting {
    fn double(device: &str, one: &Stay, other: &Stay, both_ms: (u64, u64)) -> Self {
        let (earlier, later) = if one.first_index <= other.first_index {
            (one, other)
        } else {
            (other, one)
        };
        Self {
            device: device.to_owned(),
            earlier: earlier.clone(),
            later: later.clone(),
            both_ms: Some(both_ms),
        }
    }

    fn moved(device: &str, earlier: &Stay, later: &Stay) -> Self {
        Self {
            device: device.to_owned(),
            earlier: earlier.clone(),
            later: later.clone(),
            both_ms: None,
        }
    }
}

/// Records of one host in a row that cite one inventory.
#[derive(Clone, Debug)]
struct Run {
    inventory: u64,
    stay: Stay,
    devices: Vec<Number>,
}

/// A device, by its place among [`Traces`].
type Number = usize;

/// Where one device is and was.
#[derive(Clone, Debug, Default)]
struct Trace {
    device: String,
    /// Chains whose run has it.
    now: BTreeSet<Chain>,
    past: VecDeque<Stay>,
    /// How many chains follow it.
    followers: usize,
}

/// All devices, each looked up by its name once: a fleet that comes back ends and begins the stays of
/// all of its devices within seconds.
#[derive(Clone, Debug, Default)]
struct Traces {
    numbers: BTreeMap<String, Number>,
    traces: Vec<Trace>,
    /// Places of devices that were forgotten.
    free: Vec<Number>,
}

impl Traces {
    fn number(&mut self, device: String) -> Number {
        if let Some(number) = self.numbers.get(&device) {
            return *number;
        }
        let trace = Trace {
            device: device.clone(),
            ..Trace::default()
        };
        let number = match self.free.pop() {
            Some(number) => number,
            None => self.traces.len(),
        };
        match self.traces.get_mut(number) {
            Some(place) => *place = trace,
            None => self.traces.push(trace),
        }
        self.numbers.insert(device, number);
        number
    }

    fn get(&self, number: Number) -> Option<&Trace> {
        self.traces.get(number)
    }

    fn get_mut(&mut self, number: Number) -> Option<&mut Trace> {
        self.traces.get_mut(number)
    }

    /// In the order of the devices' names.
    fn iter(&self) -> impl Iterator<Item = &Trace> {
        self.numbers.values().filter_map(|number| self.get(*number))
    }

    /// Lets one chain follow a device no more, and forgets its stays.
    fn unfollow(&mut self, number: Number, chain: &Chain) {
        let Some(trace) = self.traces.get_mut(number) else {
            return;
        };
        trace.followers = trace.followers.saturating_sub(1);
        trace.past.retain(|stay| stay.chain != *chain);
        if trace.followers == 0 && trace.now.is_empty() && trace.past.is_empty() {
            self.numbers.remove(&trace.device);
            *trace = Trace::default();
            self.free.push(number);
        }
    }
}

/// Where all devices are and were.
#[derive(Clone, Debug)]
pub(crate) struct Whereabouts {
    grace_ms: u64,
    runs: ByChain<Run>,
    traces: Traces,
    /// Devices of each chain, in the order in which they were first listed.
    followed: ByChain<VecDeque<Number>>,
}

impl Whereabouts {
    /// Takes stays for one that are less than `grace_ms` apart, and so much overlap for none.
    pub(crate) fn new(grace_ms: u64) -> Self {
        Self {
            grace_ms,
            runs: ByChain::default(),
            traces: Traces::default(),
            followed: ByChain::default(),
        }
    }

    /// Takes a record of `host`, `devices` giving the uuids of the inventory that it cites; gives
    /// the meetings that are certain now.
    pub(crate) fn record(
        &mut self,
        seen: Sighting,
        host: &str,
        devices: impl FnOnce() -> BTreeSet<String>,
    ) -> Vec<Meeting> {
        let grace = self.grace_ms;
        let goes_on = |run: &&mut Run| {
            let after = seen.from_ms <= run.stay.to_ms.saturating_add(grace);
            let before = run.stay.from_ms <= seen.to_ms.saturating_add(grace);
            run.inventory == seen.inventory && after && before
        };
        if let Some(run) = self.runs.get_mut(&seen.chain).filter(goes_on) {
            run.stay.grow(&seen);
            return Vec::new();
        }
        let (mut met, last) = self.close(&seen.chain);
        let devices = match last.filter(|last| last.inventory == seen.inventory) {
            Some(last) => last.devices,
            None => devices()
                .into_iter()
                .map(|device| self.traces.number(device))
                .collect(),
        };
        let stay = Stay {
            from_ms: seen.from_ms,
            to_ms: seen.to_ms,
            first_index: seen.index,
            last_index: seen.index,
            host: host.to_owned(),
            chain: seen.chain,
        };
        for number in &devices {
            if let Some(trace) = self.traces.get_mut(*number) {
                trace.now.insert(stay.chain);
            }
        }
        for number in &devices {
            self.follow(&stay.chain, *number);
            let Some(trace) = self.traces.get(*number) else {
                continue;
            };
            let before = self.stays(trace, &stay);
            let before = before.filter(|one| one.from_ms <= stay.from_ms);
            let last = before.max_by_key(|one| (one.from_ms, one.to_ms, one.first_index));
            met.extend(
                last.filter(|last| last.host != stay.host && last.to_ms <= stay.from_ms)
                    .map(|last| Meeting::moved(&trace.device, last, &stay)),
            );
        }
        let run = Run {
            inventory: seen.inventory,
            stay,
            devices,
        };
        self.runs.insert(seen.chain, run);
        met
    }

    /// Devices that are in two hosts, as far as a run of at least one of them still lasts.
    pub(crate) fn doubled(&self) -> Vec<Meeting> {
        let mut met = Vec::new();
        for trace in self.traces.iter() {
            if trace.now.len() < 2 && trace.past.is_empty() {
                continue;
            }
            let runs: Vec<&Stay> = self.lasting(trace).collect();
            for (place, run) in runs.iter().enumerate() {
                let later = runs.iter().skip(place + 1).copied();
                met.extend(self.overlaps(&trace.device, run, later.chain(&trace.past)));
            }
        }
        met
    }

    /// Ends the run of a chain; gives what it met among the stays that are over, and the run.
    fn close(&mut self, chain: &Chain) -> (Vec<Meeting>, Option<Run>) {
        let mut met = Vec::new();
        let Some(run) = self.runs.remove(chain) else {
            return (met, None);
        };
        for number in &run.devices {
            if let Some(trace) = self.traces.get_mut(*number) {
                trace.now.remove(chain);
            }
            let Some(trace) = self.traces.get(*number) else {
                continue;
            };
            met.extend(self.overlaps(&trace.device, &run.stay, &trace.past));
            // A stay that was reported late: the one after it has begun without knowing of it.
            let after = self.stays(trace, &run.stay);
            let after = after.filter(|one| one.from_ms > run.stay.from_ms);
            let next = after.min_by_key(|one| (one.from_ms, one.to_ms, one.first_index));
            met.extend(
                next.filter(|next| {
                    next.host != run.stay.host
                        && next.first_index < run.stay.first_index
                        && run.stay.to_ms <= next.from_ms
                })
                .map(|next| Meeting::moved(&trace.device, &run.stay, next)),
            );
            let Some(trace) = self.traces.get_mut(*number) else {
                continue;
            };
            trace.past.push_back(run.stay.clone());
            let old = (trace.past.len() > STAYS).then(|| trace.past.pop_front());
            if let (Some(old), Some(trace)) = (old.flatten(), self.traces.get(*number)) {
                met.extend(self.overlaps(&trace.device, &old, self.lasting(trace)));
            }
        }
        (met, Some(run))
    }

    fn overlaps<'a>(
        &self,
        device: &str,
        one: &Stay,
        others: impl IntoIterator<Item = &'a Stay>,
    ) -> Vec<Meeting> {
        let others = others.into_iter().filter(|other| other.host != one.host);
        others
            .filter_map(|other| {
                let both = one.overlap(other, self.grace_ms)?;
                Some(Meeting::double(device, one, other, both))
            })
            .collect()
    }

    /// The stays of a device that last.
    fn lasting<'a>(&'a self, trace: &'a Trace) -> impl Iterator<Item = &'a Stay> {
        let runs = trace.now.iter().filter_map(|chain| self.runs.get(chain));
        runs.map(|run| &run.stay)
    }

    /// All stays of a device but one.
    fn stays<'a>(&'a self, trace: &'a Trace, but: &Stay) -> impl Iterator<Item = &'a Stay> {
        let all = self.lasting(trace).chain(&trace.past);
        all.filter(move |one| *one != but)
    }

    fn follow(&mut self, chain: &Chain, number: Number) {
        let numbers = self.followed.entry(*chain).or_default();
        if numbers.contains(&number) {
            return;
        }
        numbers.push_back(number);
        // What the chain has now is not forgotten.
        let gone = |number: &Number| {
            let trace = self.traces.get(*number);
            trace.is_some_and(|trace| !trace.now.contains(chain))
        };
        let full = numbers.len() > DEVICES;
        let old = full.then(|| numbers.iter().position(gone)).flatten();
        let old = old.and_then(|place| numbers.remove(place));
        if let Some(trace) = self.traces.get_mut(number) {
            trace.followers += 1;
        }
        if let Some(old) = old {
            self.traces.unfollow(old, chain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000;

    struct Fleet(Whereabouts, u64, Vec<Meeting>);

    impl Fleet {
        fn new() -> Self {
            Self(Whereabouts::new(30 * S), 0, Vec::new())
        }

        /// Ten-second records of `host` from `from` to `to` s, of which `devices` are its inventory.
        fn works(&mut self, host: u8, from: u64, to: u64, devices: &[&str]) {
            for start in (from..to).step_by(10) {
                self.1 += 1;
                let seen = Sighting {
                    chain: [host; 32],
                    inventory: u64::try_from(devices.len()).unwrap_or(0),
                    from_ms: start * S,
                    to_ms: (start + 10) * S,
                    index: self.1,
                };
                let listed = || devices.iter().map(|one| (*one).to_owned()).collect();
                let met = self.0.record(seen, &format!("host-{host}"), listed);
                self.2.extend(met);
            }
        }

        /// (from host, to host, doubled) of all that is known to have met.
        fn met(&self) -> Vec<(String, String, bool)> {
            let all = self.2.iter().cloned().chain(self.0.doubled());
            let told = all.map(|one| (one.earlier.host, one.later.host, one.both_ms.is_some()));
            let told: BTreeSet<_> = told.collect();
            told.into_iter().collect()
        }
    }

    fn met(from: u8, to: u8, doubled: bool) -> (String, String, bool) {
        (format!("host-{from}"), format!("host-{to}"), doubled)
    }

    #[test]
    fn a_device_that_is_carried_over_has_moved_and_is_not_doubled() {
        let mut fleet = Fleet::new();
        fleet.works(1, 0, 100, &["g", "h"]);
        fleet.works(1, 100, 200, &["h"]);
        assert_eq!(fleet.met(), []);
        fleet.works(2, 400, 500, &["g"]);
        fleet.works(1, 200, 600, &["h"]);
        assert_eq!(fleet.met(), [met(1, 2, false)]);
    }

    #[test]
    fn two_hosts_that_record_one_device_at_once_have_doubled_it_while_it_lasts_and_after() {
        let mut fleet = Fleet::new();
        for start in (0..200).step_by(10) {
            fleet.works(1, start, start + 10, &["g"]);
            fleet.works(2, start, start + 10, &["g"]);
        }
        assert!(fleet.met().contains(&met(1, 2, true)), "{:?}", fleet.met());
        fleet.works(1, 900, 910, &["g"]);
        fleet.works(2, 9_000, 9_010, &["h"]);
        assert!(fleet.2.iter().any(|met| met.both_ms == Some((0, 200 * S))));
    }

    #[test]
    fn a_backlog_that_comes_after_the_device_was_carried_over_doubles_nothing() {
        let mut fleet = Fleet::new();
        fleet.works(1, 0, 100, &["g"]);
        fleet.works(2, 1_000, 1_100, &["g"]);
        fleet.works(1, 100, 600, &["g"]);
        fleet.works(1, 600, 1_200, &[]);
        assert_eq!(fleet.met(), [met(1, 2, false)]);
    }

    #[test]
    fn a_host_whose_own_backlog_comes_last_is_set_where_it_belongs() {
        let mut fleet = Fleet::new();
        fleet.works(2, 1_000, 1_100, &["g"]);
        fleet.works(1, 0, 100, &["g"]);
        fleet.works(1, 100, 200, &[]);
        assert_eq!(fleet.met(), [met(1, 2, false)]);
    }

    #[test]
    fn a_host_enrolled_anew_is_the_same_place() {
        let mut fleet = Fleet::new();
        fleet.works(1, 0, 100, &["g"]);
        let seen = Sighting {
            chain: [9; 32],
            inventory: 1,
            from_ms: 50 * S,
            to_ms: 200 * S,
            index: 99,
        };
        let listed = || BTreeSet::from(["g".to_owned()]);
        assert_eq!(fleet.0.record(seen, "host-1", listed), []);
        assert_eq!(fleet.met(), []);
    }

    #[test]
    fn a_device_that_stays_while_others_come_and_go_is_never_taken_for_another() {
        let mut fleet = Fleet::new();
        for round in 0..1_000_u64 {
            let new = format!("a-{round}");
            let listed = [new.as_str(), "z"];
            // One more or less of a third makes each round's inventory another one.
            let listed = if round % 2 == 0 {
                &listed[..]
            } else {
                &[new.as_str(), "y", "z"]
            };
            fleet.works(1, round * 100, round * 100 + 10, listed);
        }
        let traces = &fleet.0.traces;
        assert!(
            traces.traces.len() <= DEVICES + 3,
            "{}",
            traces.traces.len()
        );
        for (device, number) in &traces.numbers {
            assert_eq!(traces.get(*number).map(|trace| &trace.device), Some(device));
        }
        fleet.works(2, 99_900, 99_990, &["z"]);
        fleet.works(1, 99_910, 99_990, &["a-999", "y", "z"]);
        assert!(fleet.met().contains(&met(1, 2, true)), "{:?}", fleet.met());
    }

    #[test]
    fn a_host_that_lists_ever_new_devices_is_followed_within_bounds() {
        let mut fleet = Fleet::new();
        for round in 0..2_000_u64 {
            let names = format!("g-{round}");
            fleet.works(1, round * 100, round * 100 + 10, &[&names]);
        }
        assert!(fleet.0.traces.numbers.len() <= DEVICES + 1);
        assert!(fleet.0.traces.traces.len() <= DEVICES + 1);
        for round in 0..200 {
            fleet.works(2, round * 100, round * 100 + 10, &["g"]);
        }
        assert!(fleet.0.traces.iter().all(|trace| trace.past.len() <= STAYS));
    }
}
